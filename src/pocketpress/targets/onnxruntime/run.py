"""Run an ``.onnx`` artifact in ONNX Runtime's CPU provider."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

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
            results = self._session.run(self._outputs, dict(zip(self._inputs, feeds, strict=True)))
        except Exception as error:
            raise DeviceError("ONNX Runtime failed to run the artifact", got=_first_line(error)) from error
        return [np.asarray(value) for value in results]

    def close(self) -> None:
        """Release the session."""
        self._session = None


def open_runner(path: Path, threads: int = 1) -> OnnxRuntimeRunner:
    """Load an artifact.

    Raises:
        ArtifactError: the file is not one of this target's artifacts, or the runtime refuses it.
    """
    import onnxruntime

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


def session_options(threads: int) -> Any:
    """Options for one inference at a time.

    On x86 without VNNI instructions the fast uint8 x int8 kernels saturate at 16 bits;
    ``session.x64quantprecision`` asks for the exact ones there.  With VNNI the fast ones are exact already,
    and the option would halve the speed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _FATAL_ONLY
    if _saturating_cpu():
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


@cache
def _saturating_cpu() -> bool:
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
