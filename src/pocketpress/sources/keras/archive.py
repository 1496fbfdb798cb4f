"""The two parts of a ``.keras`` archive that are read, within limits; nothing else is unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path

from pocketpress.core.errors import SourceError
from pocketpress.sources.keras import config

WEIGHTS = "model.weights.h5"
CONFIG = "config.json"
MAX_WEIGHT_BYTES = 2 << 30
MAX_RATIO = 100
"""Weights hardly compress; Keras stores them as they are."""
FREE_BYTES = 16 << 20
"""Below this a member may have any ratio."""
_CHUNK = 1 << 20


def read_archive(path: Path) -> tuple[bytes, bytes]:
    """The configuration (JSON) and the weights (HDF5).

    Raises:
        SourceError: not such an archive, a part is missing, or it is larger than allowed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            limits = {CONFIG: config.MAX_BYTES, WEIGHTS: MAX_WEIGHT_BYTES}
            text, weights = (_member(archive, name, limit, path) for name, limit in limits.items())
    except SourceError:
        raise
    except Exception as error:  # a parser of untrusted bytes may raise anything
        line = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise SourceError(f"{path} is not a readable Keras file", got=line) from error
    return text, weights


def _member(archive: zipfile.ZipFile, name: str, limit: int, path: Path) -> bytes:
    found = [info for info in archive.infolist() if info.filename == name]
    if len(found) != 1:
        raise SourceError(
            f"{path} has no {name}" if not found else f"{path} has {name} more than once",
            next_step="save the whole model with model.save('net.keras')",
        )
    info = found[0]
    bomb = info.file_size > max(FREE_BYTES, MAX_RATIO * info.compress_size)
    if bomb or info.file_size > limit:
        raise SourceError(
            f"{path}: {name} is too large",
            got=f"{info.file_size} bytes in {info.compress_size}",
            allowed=f"{limit} bytes, compressed at most {MAX_RATIO} times",
        )
    return _read(archive, info, path)


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
    """Never more bytes than the archive's directory says."""
    parts, left = [], info.file_size
    with archive.open(info) as stream:
        while part := stream.read(_CHUNK):
            left -= len(part)
            if left < 0:
                raise SourceError(f"{path}: {info.filename} is longer than it says")
            parts.append(part)
    return b"".join(parts)
