"""Run a package with Core ML, which exists on macOS only."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pocketpress.core.errors import ArtifactError, UnsupportedError
from pocketpress.core.signature import Signature
from pocketpress.core.target import Array
from pocketpress.targets.coreml.package import read_model, signature_of_model

__all__ = ["CoreMLRunner", "open_runner"]


class CoreMLRunner:
    """A package loaded by Core ML, on the processor only: results do not depend on the machine's units."""

    def __init__(
        self, model: Any, signature: Signature, inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        self._model = model
        self._signature = signature
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)

    @property
    def signature(self) -> Signature:
        """The embedded signature."""
        return self._signature

    def run(self, feeds: list[Array]) -> list[Array]:
        """Compute one inference; 8-bit tensors travel as whole float32 numbers."""
        given = {
            name: np.ascontiguousarray(
                value, dtype="int32" if spec.dtype in ("int32", "int64") else "float32"
            )
            for name, spec, value in zip(self._inputs, self._signature.inputs, feeds, strict=True)
        }
        try:
            results = self._model.predict(given)
        except Exception as error:
            raise ArtifactError("Core ML cannot run the package", got=_first_line(error)) from error
        return [
            _to_file(np.asarray(results[name]).reshape(spec.shape), spec.dtype)
            for name, spec in zip(self._outputs, self._signature.outputs, strict=True)
        ]

    def close(self) -> None:
        """Release the model."""
        self._model = None


def open_runner(path: Path, threads: int) -> CoreMLRunner:
    """Load a package.  Core ML chooses its own number of threads; ``threads`` has no effect.

    Raises:
        ArtifactError: not a package of Pocketpress, or Core ML refuses it.
        UnsupportedError: this machine has no Core ML.
    """
    message = read_model(path)
    signature = signature_of_model(message, path)
    if sys.platform != "darwin":
        raise UnsupportedError(
            "Core ML executes on macOS only",
            got=sys.platform,
            next_step="open the package on a Mac; its signature can be read here",
        )
    model = _load(path)
    inputs = [feature.name for feature in message.description.input]
    outputs = [feature.name for feature in message.description.output]
    return CoreMLRunner(model, signature, inputs, outputs)


def read_signature(path: Path) -> Signature:
    """The signature that this target embeds; raises as `read_model`."""
    return signature_of_model(read_model(path), path)


def _load(path: Path) -> Any:
    coremltools = import_quietly()
    try:
        return coremltools.models.MLModel(str(path), compute_units=coremltools.ComputeUnit.CPU_ONLY)
    except Exception as error:
        raise ArtifactError(f"Core ML refuses {path.name}", got=_first_line(error)) from error


def import_quietly() -> Any:
    """Import coremltools without its warnings about versions of other packages."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            import coremltools
    finally:
        logging.disable(previous)
    return coremltools


def _to_file(values: Array, dtype: str) -> Array:
    whole = np.rint(values) if np.dtype(dtype).kind in "iu" and values.dtype.kind == "f" else values
    return np.asarray(whole.astype(dtype))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"[:300]
