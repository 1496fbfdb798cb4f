"""Check an HDF5 file before Keras reads it: no links, nothing stored elsewhere, no absurd sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pocketpress.core.errors import SourceError

if TYPE_CHECKING:
    import h5py

MAX_OBJECTS = 200_000
MAX_DEPTH = 64
MAX_BYTES = 4 << 30
FREE_BYTES = 16 << 20
"""Below this a dataset may be stored in any number of bytes."""
MAX_RATIO = 100
KINDS = "fiub"
"""Floats, integers and booleans, by NumPy's letter."""
FILTERS = frozenset({1, 2, 3})
"""gzip, shuffle and checksums; others load plug-ins or code paths that Keras never writes."""


def check_hdf5(file: h5py.File, where: str) -> int:
    """Walk the whole file without following a link.

    Args:
        file: open for reading.
        where: names the file in errors.

    Returns:
        Bytes that all datasets hold once they are read.

    Raises:
        SourceError: a link, a dataset outside the file, or a size that its bytes do not justify.
    """
    total = 0
    for name, dataset in _datasets(file, where):
        total += _check_dataset(dataset, f"{where}: {name}")
        if total > MAX_BYTES:
            raise SourceError(f"{where} holds too many weights", allowed=f"{MAX_BYTES} bytes")
    return total


def _datasets(file: h5py.File, where: str) -> Iterator[tuple[str, h5py.Dataset]]:
    import h5py

    waiting: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    count = 0
    while waiting:
        prefix, group, depth = waiting.pop()
        for key in group:
            name = f"{prefix}/{key}"
            count += 1
            if count > MAX_OBJECTS or depth > MAX_DEPTH:
                raise SourceError(
                    f"{where} has too many or too deeply nested groups",
                    allowed=f"{MAX_OBJECTS} objects, {MAX_DEPTH} deep",
                )
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise SourceError(f"{where}: {name[:80]} is a link", got=type(link).__name__, allowed="data")
            found = group[key]
            if isinstance(found, h5py.Group):
                waiting.append((name, found, depth + 1))
            elif isinstance(found, h5py.Dataset):
                yield name[:80], found


def _check_dataset(dataset: h5py.Dataset, what: str) -> int:
    plist: Any = dataset.id.get_create_plist()
    if dataset.is_virtual or plist.get_external_count():
        raise SourceError(f"{what} is stored in another file", allowed="weights inside the file")
    if dataset.dtype.kind not in KINDS and not _is_bfloat16(dataset):
        raise SourceError(f"{what} holds no numbers", got=str(dataset.dtype)[:80])
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if not set(filters) <= FILTERS:
        raise SourceError(f"{what} is stored with unknown filters", got=filters, allowed=sorted(FILTERS))
    size = int(math.prod(dataset.shape or ()) * dataset.dtype.itemsize)
    stored = int(dataset.id.get_storage_size())
    if size > max(FREE_BYTES, MAX_RATIO * stored):
        raise SourceError(f"{what} claims more than it holds", got=f"{size} bytes in {stored}")
    return size


def _is_bfloat16(dataset: h5py.Dataset) -> bool:
    return bool(dataset.dtype.kind == "V" and dataset.dtype.itemsize == 2)
