"""Run .pte files in the ExecuTorch runtime.

The runtime is loaded through its extension module: the package's own `executorch.runtime` imports the whole
exporter first, which takes ten seconds.  The runtime has one thread pool per process and every loaded program
points into it, so all programs are unloaded before the pool changes size, and loaded again at their next run.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pocketpress.core.errors import ArtifactError, UserError
from pocketpress.core.signature import Signature
from pocketpress.core.target import Array
from pocketpress.targets.executorch.container import read_container

_STDERR = 2


def open_runner(path: Path, threads: int) -> ExecuTorchRunner:
    """Load a .pte file written by Pocketpress.

    Raises:
        ArtifactError: not such a file, truncated, altered, or refused by the runtime.
    """
    if threads < 1:
        raise UserError("threads must be at least 1", got=threads)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError("cannot read artifact", got=f"{path}: {error.strerror}") from error
    signature = Signature.from_json(read_container(data).signature)
    return ExecuTorchRunner(data, signature, threads)


class ExecuTorchRunner:
    """A loaded program; see `pocketpress.core.target.Runner`."""

    def __init__(self, data: bytes, signature: Signature, threads: int) -> None:
        self._held: tuple[Any, Any] | None = None
        self._data, self._signature, self._threads = data, signature, threads
        _POOL.use(self)

    @property
    def signature(self) -> Signature:
        """The embedded signature."""
        return self._signature

    def run(self, feeds: list[Array]) -> list[Array]:
        """Compute one inference; the results are copies."""
        import torch

        with _POOL.lock:
            method = _POOL.use(self)
            tensors = [torch.from_numpy(np.require(feed, requirements=("C", "W"))) for feed in feeds]
            try:
                outputs = method(tensors, clone_outputs=True)
            except RuntimeError as error:
                raise ArtifactError("ExecuTorch could not run the program", got=_first_line(error)) from error
        return [np.asarray(output.numpy()) for output in outputs]

    def close(self) -> None:
        """Unload the program and drop its bytes."""
        with _POOL.lock:
            self.unload()
            self._data = b""

    def __del__(self) -> None:
        self.unload()  # before the bytes: the runtime reads them in place

    def unload(self) -> None:
        """Destroy the runtime's objects, the method before its program."""
        held, self._held = self._held, None
        if held is not None:
            program, method = held
            del held, method
            del program

    def load(self) -> Any:
        """The method ``forward``, loaded if it is not."""
        if self._held is None:
            if not self._data:
                raise ArtifactError("the artifact was closed", next_step="open it again")
            self._held = _load(self._data)
        return self._held[1]

    @property
    def threads(self) -> int:
        """Threads asked for."""
        return self._threads


def _load(data: bytes) -> tuple[Any, Any]:
    runtime = _runtime()
    with _captured_stderr() as said:
        try:
            program = runtime._load_program_from_buffer(
                data, program_verification=runtime.Verification.InternalConsistency
            )
            return program, program.load_method("forward")
        except (RuntimeError, ValueError) as error:
            raise ArtifactError(
                "ExecuTorch cannot load the program",
                got=said() or _first_line(error),
                next_step="build it again with the installed executorch",
            ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


class _ThreadPool:
    """The runtime's only thread pool, and the programs that point into it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._threads: int | None = None
        self._runners: weakref.WeakSet[ExecuTorchRunner] = weakref.WeakSet()

    def use(self, runner: ExecuTorchRunner) -> Any:
        """The runner's method, with the pool at the runner's size."""
        with self.lock:
            if self._threads != runner.threads:
                self._resize(runner.threads)
            self._runners.add(runner)
            return runner.load()

    def _resize(self, threads: int) -> None:
        for runner in self._runners:
            runner.unload()
        with _captured_stderr():
            _runtime()._unsafe_reset_threadpool(threads)
        self._threads = threads


_POOL = _ThreadPool()


@cache
def _runtime() -> Any:
    """The runtime's extension module; torch's libraries must be loaded before it."""
    import torch  # noqa: F401

    with _captured_stderr():
        return importlib.import_module("executorch.extension.pybindings._C")


@contextlib.contextmanager
def _captured_stderr() -> Iterator[Callable[[], str]]:
    """Divert stderr, where the runtime logs; yields a function that returns the complaint.

    The C++ code writes partly to Python's ``sys.stderr`` (pybind11 redirects it), partly to the descriptor.
    """
    sys.stderr.flush()
    kept = os.dup(_STDERR)
    with tempfile.TemporaryFile() as sink, contextlib.redirect_stderr(io.StringIO()) as text:

        def complaint() -> str:
            sink.seek(0)
            lines = (text.getvalue() + sink.read(1 << 16).decode(errors="replace")).strip().splitlines()
            return next((line for line in lines if "XNN" in line), lines[-1] if lines else "")

        os.dup2(sink.fileno(), _STDERR)
        try:
            yield complaint
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)
