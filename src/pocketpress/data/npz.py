"""A ``.npz`` of finished inputs: ``x`` (N, …) and optional ``y`` (N, …), or one array per input name.

Arrays are never loaded whole: those stored plainly are mapped into memory, compressed ones are decompressed
as a stream.  Nothing is unpickled.
"""

from __future__ import annotations

import itertools
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from pocketpress.core.errors import DataError
from pocketpress.core.program.ir import Array
from pocketpress.core.signature import Signature
from pocketpress.data.dataset import RawSample
from pocketpress.data.fit import sample_shape, shape_error

MALFORMED = (ValueError, EOFError, SyntaxError, TypeError, OverflowError, RecursionError, tokenize.TokenError)
"""What NumPy raises on a header that is none."""
MAX_MEMBER_BYTES = 64 << 30
MAX_SAMPLE_BYTES = 1 << 30
_LOCAL_HEADER_BYTES = 30


@dataclass(frozen=True)
class Member:
    """One array of the archive.

    Attributes:
        path: of the archive.
        name: of the array.
        shape: (N, …).
        dtype: as stored.
        offset: of the data in the file when stored plainly, or None when compressed.
        header_bytes: size of the array's own header.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    offset: int | None
    header_bytes: int

    @property
    def sample_bytes(self) -> int:
        """Size of one sample."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    def read(self, indices: Sequence[int]) -> Iterator[Array]:
        """Samples at ascending ``indices``."""
        return self._mapped(indices) if self.offset is not None else self._streamed(indices)

    def _mapped(self, indices: Sequence[int]) -> Iterator[Array]:
        data = np.memmap(self.path, dtype=self.dtype, mode="r", offset=self.offset or 0, shape=self.shape)
        for index in indices:
            yield np.array(data[index])

    def _streamed(self, indices: Sequence[int]) -> Iterator[Array]:
        size, position = self.sample_bytes, 0
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{self.name}.npy") as stream:
                _skip(stream, self.header_bytes)
                for index in indices:
                    _skip(stream, (index - position) * size)
                    content = stream.read(size)
                    if len(content) != size:
                        raise EOFError("unexpected end of data")
                    yield np.frombuffer(content, dtype=self.dtype).reshape(self.shape[1:]).copy()
                    position = index + 1
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise DataError(f"{self.path}: {self.name} is damaged", got=error) from error


@dataclass(frozen=True)
class NpzReader:
    """Samples of one archive."""

    path: Path
    inputs: dict[str, Member]
    target: Member | None
    skipped: tuple[tuple[str, str], ...]

    @property
    def labelled(self) -> bool:
        """Whether there is a ``y``."""
        return self.target is not None

    @property
    def size(self) -> int:
        """Number of samples."""
        return next(iter(self.inputs.values())).shape[0]

    def read(self, indices: Sequence[int] | None) -> Iterator[RawSample]:
        """Read samples one by one."""
        chosen = range(self.size) if indices is None else indices
        streams = [member.read(chosen) for member in self.inputs.values()]
        targets: Iterator[Array | None] = self.target.read(chosen) if self.target else itertools.repeat(None)
        for index, values, target in zip(chosen, zip(*streams, strict=True), targets, strict=False):
            named = dict(zip(self.inputs, values, strict=True))
            where = f"{self.path.name} sample {index}"
            yield RawSample(where, named, target)


def open_npz(path: Path, signature: Signature, *, images: bool) -> NpzReader:
    """Read the headers of an archive and match its arrays with the network's inputs.

    Args:
        path: of the ``.npz``.
        signature: of the network.
        images: uint8 arrays of rank 4 are images of any size, to be preprocessed.

    Raises:
        DataError: not a ``.npz``, an array is missing, pickled, of another length or shape, or too large.
    """
    members = _members(path)
    names = _input_arrays(path, signature, members)
    inputs = {name: members[key] for name, key in names.items()}
    target = members.get("y") if "y" not in names.values() else None  # an input may be called y
    for spec in signature.given:
        member = inputs[spec.name]
        if not member.shape or member.shape[0] == 0:
            raise DataError(f"{path}: {member.name} has no samples", got=f"shape {member.shape}")
        if member.dtype.kind not in "fiub":
            raise DataError(f"{path}: {member.name} is not numeric", got=member.dtype, allowed="float32")
        is_image = images and member.dtype == np.uint8 and len(member.shape) in (3, 4)
        shape = member.shape[1:]
        if signature.states and not shape:
            raise DataError(
                f"{path}: {member.name} holds no sequences", got=member.shape, allowed="(samples, steps, ...)"
            )
        shape = shape[1:] if signature.states else shape
        if not is_image and not sample_shape(shape, spec, step=bool(signature.states)):
            raise shape_error(f"{path}: {member.name}", shape, spec)
    lengths = {
        m.name: m.shape[0] if m.shape else 0 for m in (*inputs.values(), *([target] if target else []))
    }
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"{path}: arrays of different lengths",
            got=", ".join(f"{name} {length}" for name, length in lengths.items()),
            allowed="one entry per sample in each",
        )
    used = {m.name for m in inputs.values()} | {"y"}
    skipped = tuple((name, "not an input and not y") for name in members if name not in used)
    return NpzReader(path, inputs, target, skipped)


def _input_arrays(path: Path, signature: Signature, members: dict[str, Member]) -> dict[str, str]:
    """Which array is which input: ``x`` for a single one, else ``x_<name>`` or ``<name>``."""
    found: dict[str, str] = {}
    for spec in signature.given:
        candidates = [f"x_{spec.name}", spec.name]
        if len(signature.given) == 1:
            candidates.insert(0, "x")
        candidates = list(dict.fromkeys(candidates))
        key = next((c for c in candidates if c in members), None)
        if key is None:
            raise DataError(
                f"{path} has no array {candidates[0]}",
                got=", ".join(sorted(members)) or "no arrays",
                allowed=", ".join(candidates),
                next_step=f"save with np.savez(path, {candidates[0]}=…, y=…)",
            )
        found[spec.name] = key
    return found


def _members(path: Path) -> dict[str, Member]:
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as raw:
            return {
                info.filename[: -len(".npy")]: _member(path, archive, info, raw)
                for info in archive.infolist()
                if info.filename.endswith(".npy")
            }
    except FileNotFoundError:
        raise DataError("no such file", got=path) from None
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{path} is not a readable .npz", got=error, next_step="write it with np.savez"
        ) from error


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, raw: IO[bytes]) -> Member:
    name = info.filename[: -len(".npy")]
    try:
        with archive.open(info) as stream:
            version = npy.read_magic(stream)
            read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
            if read is None:
                raise ValueError(f"format version {version}")
            shape, fortran, dtype = read(stream)
            header_bytes = stream.tell()
    except MALFORMED as error:
        raise DataError(f"{path}: {name} is not a plain array", got=error) from error
    if dtype.hasobject:
        raise DataError(
            f"{path}: {name} holds pickled objects",
            got="dtype object",
            allowed="numbers",
            next_step="save a plain array with np.savez",
        )
    if fortran and len(shape) > 1:
        raise DataError(
            f"{path}: {name} is stored in Fortran order", next_step=f"save np.ascontiguousarray({name})"
        )
    _check_size(path, name, info, shape, dtype, header_bytes)
    offset = None
    if info.compress_type == zipfile.ZIP_STORED:
        raw.seek(info.header_offset)
        local = raw.read(_LOCAL_HEADER_BYTES)
        extra = int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
        offset = info.header_offset + _LOCAL_HEADER_BYTES + extra + header_bytes
        if offset + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize > path.stat().st_size:
            raise DataError(f"{path}: {name} is cut short", next_step="write the file again")
    return Member(path, name, tuple(int(d) for d in shape), dtype, offset, header_bytes)


def _check_size(
    path: Path,
    name: str,
    info: zipfile.ZipInfo,
    shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
    header: int,
) -> None:
    elements = 1
    for side in shape:
        elements *= int(side)
    data_bytes = elements * dtype.itemsize
    if data_bytes + header != info.file_size:
        raise DataError(
            f"{path}: {name} is cut short",
            got=f"{info.file_size - header} bytes",
            allowed=f"{data_bytes} bytes",
        )
    if data_bytes > MAX_MEMBER_BYTES:
        raise DataError(f"{path}: {name} is too large", got=data_bytes, allowed=f"{MAX_MEMBER_BYTES} bytes")
    if shape and shape[0] and data_bytes // int(shape[0]) > MAX_SAMPLE_BYTES:
        raise DataError(
            f"{path}: one sample of {name} is too large",
            got=data_bytes // int(shape[0]),
            allowed=f"{MAX_SAMPLE_BYTES} bytes",
        )


def _skip(stream: IO[bytes], size: int) -> None:
    while size > 0:
        content = stream.read(min(size, 1 << 20))
        if not content:
            raise EOFError("unexpected end of data")
        size -= len(content)
