"""Read weights and saved programs without ever executing a pickle."""

from __future__ import annotations

import contextlib
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from pocketpress.core.errors import SourceError
from pocketpress.sources.vetted import check_readable

MAX_BYTES = 8 << 30
FREE_BYTES = 64 << 20
MAX_RATIO = 100
"""Weights hardly compress; torch stores them as they are."""


def load_weights(path: Path, *, vet: bool = True) -> dict[str, torch.Tensor]:
    """Read a state dict from ``.safetensors``, or ``.pt``/``.pth`` with ``weights_only=True``.

    Pickled ones are read in a child process first, unless ``vet`` is off.

    Raises:
        SourceError: no such file, not one of these formats, or more than tensors in it.
    """
    if not path.is_file():
        raise SourceError("no such weights file", got=path)
    if path.stat().st_size > MAX_BYTES:
        raise SourceError(f"{path} is too large", got=path.stat().st_size, allowed=f"{MAX_BYTES} bytes")
    if path.suffix == ".safetensors":
        return _safetensors(path)
    if path.suffix not in (".pt", ".pth"):
        raise SourceError("unknown weights format", got=path.suffix, allowed=".safetensors, .pt, .pth")
    if vet:
        check_readable("state", path)
    state = read_state(path)
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise SourceError(f"{path} is not a state dict", got=type(state).__name__, allowed="name -> tensor")
    return state


def read_state(path: Path) -> Any:
    """What ``torch.load(weights_only=True)`` finds in a file.

    Raises:
        SourceError: it holds more than tensors, or is damaged.
    """
    _check_archive(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise SourceError(
            f"{path} is not a plain state dict",
            got=type(error).__name__,
            next_step="save it with torch.save(module.state_dict(), path) or as safetensors",
        ) from error


def _check_archive(path: Path) -> None:
    """Refuse an archive whose members grow beyond all measure when they are unpacked."""
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise SourceError(f"{path} is a damaged archive", got=str(error)[:100]) from error
    allowed = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
    if unpacked > allowed:
        raise SourceError(f"{path} is too large unpacked", got=f"{unpacked} bytes", allowed=allowed)


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise SourceError(f"{path} is not a safetensors file", got=str(error).split("\n")[0]) from error


def load_exported(path: Path) -> torch.export.ExportedProgram:
    """Read a ``.pt2`` file saved by ``torch.export.save``.

    ``torch.export.load`` falls back to a full unpickler for archives with custom objects; that fallback
    is closed while it runs, so such archives are refused.

    Raises:
        SourceError: no such file, not such a file, or one that needs a pickle to be executed.
    """
    if not path.is_file():
        raise SourceError("no such file", got=path)
    if path.stat().st_size > MAX_BYTES:
        raise SourceError(f"{path} is too large", got=path.stat().st_size, allowed=f"{MAX_BYTES} bytes")
    _check_archive(path)
    if not zipfile.is_zipfile(path):
        raise SourceError(f"{path} is not a .pt2 program", next_step="save it with torch.export.save")
    try:
        with _no_pickle():
            return torch.export.load(str(path))
    except Exception as error:
        first = str(error).strip().split("\n")[0][:200]
        raise SourceError(
            f"{path} cannot be read as a .pt2 program",
            got=f"{type(error).__name__}: {first}",
            next_step="save it again with torch.export.save, without custom objects",
        ) from error


@contextlib.contextmanager
def _no_pickle() -> Iterator[None]:
    real_load = torch.load

    def load(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("weights_only") is False:
            raise pickle.UnpicklingError("the archive needs a pickle to be executed")
        return real_load(*args, **{**kwargs, "weights_only": True})

    def refuse(*_: Any, **__: Any) -> Any:
        raise pickle.UnpicklingError("the archive needs a pickle to be executed")

    with (
        mock.patch.object(torch, "load", load),
        mock.patch.object(pickle, "loads", refuse),
        mock.patch.object(pickle, "load", refuse),
    ):
        yield
