"""Run a ``.ptl`` artifact in the lite interpreter that libtorch carries.

A TorchScript file is a zip archive of pickles and bytecode.  They are read by libtorch's own unpickler in
C++, which knows a few opcodes and types and never calls Python; but the bytecode may name any operator of
torch, and a damaged file can abort the process.  So an unknown file belongs in a child process, which is
where ``pocketpress.open(..., isolated=True)`` and every command open it.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch.jit.mobile import LiteScriptModule, _load_for_lite_interpreter

from pocketpress.core.errors import ArtifactError, DeviceError
from pocketpress.core.signature import Signature
from pocketpress.core.target import Array
from pocketpress.targets.pytorch_mobile.archive import read_signature


class PyTorchMobileRunner:
    """A module of the lite interpreter."""

    def __init__(self, module: LiteScriptModule, signature: Signature, threads: int) -> None:
        self._module: LiteScriptModule | None = module
        self._signature = signature
        self._threads = threads

    @property
    def signature(self) -> Signature:
        """The signature embedded in the artifact."""
        return self._signature

    def run(self, feeds: list[Array]) -> list[Array]:
        """Compute one inference; torch's thread count, which is the process's, is put back afterwards.

        Raises:
            DeviceError: the runtime fails, or its outputs are not those of the signature.
        """
        if self._module is None:
            raise DeviceError("the session is closed", next_step="open the artifact again")
        threads = torch.get_num_threads()
        try:
            if threads != self._threads:
                torch.set_num_threads(self._threads)
            with torch.no_grad():
                out = self._module(*(torch.from_numpy(np.ascontiguousarray(feed)) for feed in feeds))
        except (RuntimeError, TypeError, IndexError) as error:
            raise DeviceError("PyTorch Mobile failed to run the artifact", got=_first_line(error)) from error
        finally:
            if threads != self._threads:
                torch.set_num_threads(threads)
        return self._checked(out if isinstance(out, (tuple, list)) else (out,))

    def _checked(self, out: tuple[torch.Tensor, ...] | list[torch.Tensor]) -> list[Array]:
        results = [np.ascontiguousarray(value.detach().numpy()) for value in out]
        got = [(value.shape, str(value.dtype)) for value in results]
        allowed = [(spec.shape, spec.dtype) for spec in self._signature.outputs]
        if got != allowed:
            raise DeviceError("outputs differ from the embedded signature", got=got, allowed=allowed)
        return results

    def close(self) -> None:
        """Release the module."""
        self._module = None


def open_runner(path: Path, threads: int = 1) -> PyTorchMobileRunner:
    """Load an artifact.

    Raises:
        ArtifactError: the file is not one of this target's artifacts, or libtorch refuses it.
    """
    signature = read_signature(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = _load_for_lite_interpreter(str(path))  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise ArtifactError(f"PyTorch Mobile cannot load {path.name}", got=_first_line(error)) from error
    return PyTorchMobileRunner(module, signature, threads)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
