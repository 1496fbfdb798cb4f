"""Run an ``.onnx`` artifact in ONNX Runtime's CPU provider."""

from __future__ import annotations

import os
import platform
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pocketpress.core.buffers import allocated, filled, small
from pocketpress.core.errors import ArtifactError, DeviceError
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.core.target import Array
from pocketpress.targets.onnxruntime.model_file import read_checked

_FATAL_ONLY = 4
_DTYPES = {f"tensor({text})": name for text, name in (("float", "float32"), ("float16", "float16"))}
_DTYPES.update({f"tensor({name})": name for name in ("int8", "uint8", "int16", "int32", "int64", "bool")})


class OnnxRuntimeRunner:
    """An inference session."""

    def __init__(self, session: Any, signature: Signature) -> None:
        self._session = session
        self._signature = signature
        self._inputs = [spec.name for spec in signature.inputs]
        self._outputs = [spec.name for spec in signature.outputs]
        self._bound = _Bound(session, signature) if _Bound.pays(signature) else None

    @property
    def signature(self) -> Signature:
        """The signature embedded in the artifact."""
        return self._signature

    def run(self, feeds: list[Array]) -> list[Array]:
        """Compute one inference.

        Raises:
            DeviceError: the runtime fails.
        """
        try:
            if self._bound is not None and (bound := self._bound.run(feeds)) is not None:
                return bound
            results = self._session.run(self._outputs, dict(zip(self._inputs, feeds, strict=True)))
        except Exception as error:
            raise DeviceError("ONNX Runtime failed to run the artifact", got=_first_line(error)) from error
        return [np.asarray(value) for value in results]

    def close(self) -> None:
        """Release the session."""
        self._session = self._bound = None


class _Bound:
    """A session that knows where its inputs and outputs are."""

    def __init__(self, session: Any, signature: Signature) -> None:
        self._session, self._binding = session, session.io_binding()
        self._lock = threading.Lock()
        self._inputs, self._outputs = allocated(signature.inputs), allocated(signature.outputs)
        given = zip(signature.inputs, self._inputs, strict=True)
        got = zip(signature.outputs, self._outputs, strict=True)
        for bind, pairs in ((self._binding.bind_input, given), (self._binding.bind_output, got)):
            for spec, array in pairs:
                bind(spec.name, "cpu", 0, array.dtype.type, spec.shape, array.ctypes.data)

    @staticmethod
    def pays(signature: Signature) -> bool:
        """Whether inputs and outputs are small; empty ones have no place to be bound to."""
        specs = (*signature.inputs, *signature.outputs)
        return small(specs) and all(0 not in spec.shape for spec in specs)

    def run(self, feeds: list[Array]) -> list[Array] | None:
        """One inference; None where the feeds do not fit."""
        with self._lock:
            if not filled(self._inputs, feeds):
                return None
            self._session.run_with_iobinding(self._binding)
            return [value.copy() for value in self._outputs]


def quiet_runtime() -> Any:
    """The module ``onnxruntime``, which looks at its import whether it may report its use."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def open_runner(path: Path, threads: int = 1) -> OnnxRuntimeRunner:
    """Load an artifact.

    Raises:
        ArtifactError: the file is not one of this target's artifacts, or the runtime refuses it.
    """
    onnxruntime = quiet_runtime()
    data, signature = read_checked(path)
    try:
        session = onnxruntime.InferenceSession(
            data, session_options(threads), providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise ArtifactError(f"ONNX Runtime cannot load {path.name}", got=_first_line(error)) from error
    _check_border(path.name, session.get_inputs(), signature.inputs)
    _check_border(path.name, session.get_outputs(), signature.outputs)
    return OnnxRuntimeRunner(session, signature)


def read_signature(path: Path) -> Signature:
    """The signature that this target embeds; raises as `read_checked`."""
    return read_checked(path)[1]


def session_options(threads: int) -> Any:
    """Options for one inference at a time.

    On x86 without VNNI instructions the fast uint8 x int8 kernels saturate at 16 bits;
    ``session.x64quantprecision`` asks for the exact ones there.  With VNNI the fast ones are exact already,
    and the option would halve the speed.
    """
    onnxruntime = quiet_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _FATAL_ONLY
    if saturating_cpu():
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


@cache
def saturating_cpu() -> bool:
    """Whether this is an x86 processor that does not say it has VNNI."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return True
    return "avx512_vnni" not in flags and "avx_vnni" not in flags


def _check_border(name: str, found: list[Any], wanted: tuple[TensorSpec, ...]) -> None:
    got = [(arg.name, tuple(arg.shape), _DTYPES.get(arg.type, arg.type)) for arg in found]
    allowed = [(spec.name, spec.shape, spec.dtype) for spec in wanted]
    if got != allowed:
        raise ArtifactError(f"{name}: tensors differ from the embedded signature", got=got, allowed=allowed)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
