"""Run a ``.tflite`` artifact in the LiteRT interpreter, with its default XNNPACK delegate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pocketpress.core.errors import ArtifactError, DeviceError
from pocketpress.core.signature import Signature
from pocketpress.core.target import Array
from pocketpress.targets.litert.inspection import read_signature
from pocketpress.targets.litert.quiet import quiet_stderr


class LiteRTRunner:
    """An interpreter with its tensors allocated."""

    def __init__(self, interpreter: Any, signature: Signature) -> None:
        self._interpreter = interpreter
        self._signature = signature
        self._inputs = [d["index"] for d in interpreter.get_input_details()]
        self._outputs = [d["index"] for d in interpreter.get_output_details()]

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
            for index, value in zip(self._inputs, feeds, strict=True):
                self._interpreter.set_tensor(index, np.ascontiguousarray(value))
            self._interpreter.invoke()
            return [np.asarray(self._interpreter.get_tensor(index)) for index in self._outputs]
        except (RuntimeError, ValueError) as error:
            raise DeviceError("LiteRT failed to run the artifact", got=_first_line(error)) from error

    def close(self) -> None:
        """Release the interpreter."""
        self._interpreter = None


def open_runner(path: Path, threads: int = 1) -> LiteRTRunner:
    """Load an artifact.

    Raises:
        ArtifactError: the file is not one of this target's artifacts, or the runtime refuses it.
    """
    from ai_edge_litert.interpreter import Interpreter

    signature = read_signature(path)
    try:
        with quiet_stderr():
            interpreter = Interpreter(model_path=str(path), num_threads=threads)
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ArtifactError("LiteRT cannot load the artifact", got=_first_line(error)) from error
    _check_border(path, interpreter, signature)
    return LiteRTRunner(interpreter, signature)


def _check_border(path: Path, interpreter: Any, signature: Signature) -> None:
    for specs, details in (
        (signature.inputs, interpreter.get_input_details()),
        (signature.outputs, interpreter.get_output_details()),
    ):
        found = [(tuple(int(n) for n in d["shape"]), np.dtype(d["dtype"]).name) for d in details]
        wanted = [(spec.shape, spec.dtype) for spec in specs]
        if found != wanted:
            raise ArtifactError(
                f"{path.name}: tensors differ from the embedded signature", got=found, allowed=wanted
            )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
