"""Run .pte files in the ExecuTorch runtime.

The runtime is loaded through its extension module: the package's own `executorch.runtime` imports the whole
exporter first, which takes ten seconds.  The runtime has one thread pool per process and every loaded program
points into it, so all programs are unloaded before the pool changes size, and loaded again at their next run.
Where PyTorch is missing, as on a board, the extension module cannot be loaded; see `native` for the way then.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
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

from pocketpress.core.buffers import allocated, filled, small
from pocketpress.core.errors import ArtifactError, UserError
from pocketpress.core.signature import Signature
from pocketpress.core.target import Array
from pocketpress.targets.executorch import native
from pocketpress.targets.executorch.container import read_container

_STDERR = 2


def open_runner(path: Path, threads: int) -> ExecuTorchRunner:
    """Load a .pte file written by Pocketpress.

    Raises:
        ArtifactError: not such a file, truncated, altered, or refused by the runtime.
    """
    if threads < 1:
        raise UserError("threads must be at least 1", got=threads)
    data = _bytes(path)
    return ExecuTorchRunner(data, Signature.from_json(read_container(data).signature), threads)


def read_signature(path: Path) -> Signature:
    """The signature that this target embeds; raises ArtifactError."""
    return Signature.from_json(read_container(_bytes(path)).signature)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError("cannot read artifact", got=f"{path}: {error.strerror}") from error


class ExecuTorchRunner:
    """A loaded program; see `pocketpress.core.target.Runner`."""

    def __init__(self, data: bytes, signature: Signature, threads: int) -> None:
        self._held: _Loaded | native.NativeProgram | None = None
        self._data, self._signature, self._threads = data, signature, threads
        _POOL.use(self)

    @property
    def signature(self) -> Signature:
        """The embedded signature."""
        return self._signature

    def run(self, feeds: list[Array]) -> list[Array]:
        """Compute one inference; the results are copies."""
        with _POOL.lock:
            loaded = _POOL.use(self)
            try:
                return loaded.run(feeds)
            except RuntimeError as error:
                raise ArtifactError("ExecuTorch could not run the program", got=_first_line(error)) from error

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
            held.release()

    def load(self) -> _Loaded | native.NativeProgram:
        """The method ``forward``, loaded if it is not."""
        if self._held is None:
            if not self._data:
                raise ArtifactError("the artifact was closed", next_step="open it again")
            self._held = _load_held(self._data, self._signature)
        return self._held

    @property
    def is_loaded(self) -> bool:
        """Whether the runtime holds it."""
        return self._held is not None

    @property
    def threads(self) -> int:
        """Threads asked for."""
        return self._threads


class _Loaded:
    """A program and its method, and of a small one the memory for what goes in and comes out.

    Outputs lie in memory that the method holds, at the same place after every call.
    """

    def __init__(self, program: Any, method: Any, signature: Signature) -> None:
        self._program, self._method = program, method
        self._small = small((*signature.inputs, *signature.outputs))
        self._inputs = allocated(signature.inputs) if self._small else []
        self._tensors = [_tensor(array) for array in self._inputs]
        self._outputs: list[Array] | None = None

    def run(self, feeds: list[Array]) -> list[Array]:
        """Compute one inference; the results are copies."""
        if self._outputs is not None and filled(self._inputs, feeds):
            self._method.set_inputs(self._tensors)
            self._method.execute()
            return [value.copy() for value in self._outputs]
        outputs = self._method([_tensor(feed) for feed in feeds], clone_outputs=True)
        if self._small and self._outputs is None:
            self._outputs = [value.numpy() for value in self._method.get_outputs(clone_outputs=False)]
        return [np.asarray(output.numpy()) for output in outputs]

    def release(self) -> None:
        """Destroy the runtime's objects: what lies in the method's memory, the method, its program."""
        self._outputs = None
        self._method = None
        self._program = None


def _tensor(value: Array) -> Any:
    import torch

    return torch.from_numpy(value if value.flags.carray else np.require(value, requirements=("C", "W")))


def _load_held(data: bytes, signature: Signature) -> _Loaded | native.NativeProgram:
    if _has_torch():
        return _Loaded(*_load(data), signature)
    with _captured_stderr() as said:
        try:
            return native.NativeProgram(data, signature)
        except ArtifactError as error:
            raise ArtifactError("ExecuTorch cannot load the program", got=said() or error.got) from error


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

    def use(self, runner: ExecuTorchRunner) -> _Loaded | native.NativeProgram:
        """The runner's method, with the pool at the runner's size; whoever runs it holds the lock."""
        with self.lock:
            if self._threads != runner.threads:
                self._resize(runner.threads)
            if not runner.is_loaded:
                self._runners.add(runner)
            return runner.load()

    def _resize(self, threads: int) -> None:
        for runner in self._runners:
            runner.unload()
        with _captured_stderr():
            if _has_torch():
                _runtime()._unsafe_reset_threadpool(threads)
            else:
                native.reset_threadpool(threads)
        self._threads = threads


_POOL = _ThreadPool()


@cache
def _has_torch() -> bool:
    """Whether the extension module can be loaded; a PyTorch of another version may keep it from that."""
    if importlib.util.find_spec("torch") is None:
        return False
    try:
        _runtime()
    except ImportError:
        return False
    return True


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
