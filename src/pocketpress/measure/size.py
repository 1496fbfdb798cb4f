"""Sizes of an artifact, a file or a folder: as it lies on the phone, and as a store ships it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from pocketpress.core.errors import ArtifactError

LEVEL = 9
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Size:
    """Attributes: ``raw_bytes`` of all files; ``compressed_bytes`` of each, deflated as in a zip."""

    raw_bytes: int
    compressed_bytes: int


def measure_size(path: Path) -> Size:
    """Measure a file, or all files below a folder (links are not followed).

    Raises:
        ArtifactError: nothing is there, or it cannot be read.
    """
    if path.is_dir():
        files = sorted(entry for entry in path.rglob("*") if entry.is_file() and not entry.is_symlink())
    else:
        files = [path]
    try:
        sizes = [_measure_file(file) for file in files]
    except OSError as error:
        raise ArtifactError("cannot measure the artifact", got=f"{path}: {error.strerror}") from error
    return Size(sum(size.raw_bytes for size in sizes), sum(size.compressed_bytes for size in sizes))


def _measure_file(path: Path) -> Size:
    raw = compressed = 0
    deflate = zlib.compressobj(LEVEL)
    with path.open("rb") as file:
        while part := file.read(CHUNK_BYTES):
            raw += len(part)
            compressed += len(deflate.compress(part))
    return Size(raw, compressed + len(deflate.flush()))
