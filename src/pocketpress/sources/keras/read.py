"""A Keras file as a checked configuration and checked weights."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketpress.core.errors import PocketpressError, SourceError
from pocketpress.sources.keras.archive import MAX_WEIGHT_BYTES, read_archive
from pocketpress.sources.keras.config import read_config
from pocketpress.sources.keras.hdf5 import check_hdf5

SUFFIXES = (".keras", ".h5", ".hdf5")
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class KerasFile:
    """What a file holds.

    Attributes:
        config: of the network, with modules and classes from our tables only.
        weights: the bytes of an HDF5 file whose every object was checked.
        suffix: how Keras names such weights, ``.weights.h5`` or ``.h5``.
        weight_bytes: of all weights once they are read.
    """

    config: dict[str, Any]
    weights: bytes
    suffix: str
    weight_bytes: int


def read_keras(path: Path) -> KerasFile:
    """Read a file, Keras' archive or whole-model HDF5, whatever its name says.

    Raises:
        SourceError: no such file, malformed, or beyond a limit.
        UnsupportedError: it names an object that is not one of Keras' own, or not supported.
    """
    if not path.is_file():
        raise SourceError("no such file", got=path)
    size = path.stat().st_size
    if size > MAX_WEIGHT_BYTES:
        raise SourceError(f"{path} is too large", got=size, allowed=f"{MAX_WEIGHT_BYTES} bytes")
    with path.open("rb") as stream:
        legacy = stream.read(len(HDF5_MAGIC)) == HDF5_MAGIC
    text, weights = (None, path.read_bytes()) if legacy else read_archive(path)
    found, weight_bytes = _check(weights, str(path), legacy)
    config = read_config(found if text is None else text, str(path))
    return KerasFile(config, weights, ".h5" if legacy else ".weights.h5", weight_bytes)


def _check(weights: bytes, where: str, legacy: bool) -> tuple[bytes, int]:
    """The configuration in the file's attributes (legacy files), and the bytes of its weights."""
    import h5py

    try:
        with h5py.File(io.BytesIO(weights), "r") as file:
            total = check_hdf5(file, where)
            return _configuration(file, where) if legacy else b"", total
    except PocketpressError:
        raise
    except Exception as error:  # a parser of untrusted bytes may raise anything
        line = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise SourceError(f"{where} is not a readable Keras file", got=line) from error


def _configuration(file: Any, where: str) -> bytes:
    found = file.attrs.get("model_config")
    if found is None:
        raise SourceError(
            f"{where} holds weights without a network",
            next_step="save the whole model, as model.save('net.keras')",
        )
    if isinstance(found, str):
        return found.encode()
    if not isinstance(found, bytes):
        raise SourceError(f"{where}: the configuration is not text", got=type(found).__name__)
    return bytes(found)
