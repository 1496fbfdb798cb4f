"""Let Keras rebuild a checked network: first without memory, to know its sizes, then with its weights."""

from __future__ import annotations

import contextlib
import copy
import math
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pocketpress.core.errors import PocketpressError, SourceError, UnsupportedError
from pocketpress.sources.keras.backend import import_keras
from pocketpress.sources.keras.read import KerasFile

MAX_ACTIVATION = 1 << 28
"""Elements of one activation of a network whose shapes the file fixes."""


def build(file: KerasFile, where: str) -> Any:
    """A Keras model with the file's weights.

    Raises:
        SourceError: Keras refuses a layer, the weights do not fit, or sizes are absurd.
    """
    keras = import_keras()
    _check_inputs(file.config, where)
    with _errors(f"{where} cannot be rebuilt"):
        with keras.device("meta"):
            sketch = _from_config(keras, file)
        _check_built(sketch, where)
        _check_types(sketch, where)
        _check_sizes(sketch, file, where)
        with keras.device("cpu"):
            model = _from_config(keras, file)
    with _errors(f"{where}: the weights do not fit the network"), keras.device("cpu"):
        _load_weights(model, file)
    _check_weights(model, where)
    return model


def _from_config(keras: ModuleType, file: KerasFile) -> Any:
    return keras.saving.deserialize_keras_object(copy.deepcopy(file.config), safe_mode=True)


def _load_weights(model: Any, file: KerasFile) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / f"net{file.suffix}"
        path.write_bytes(file.weights)
        warnings.simplefilter("ignore")
        model.load_weights(path)


@contextlib.contextmanager
def _errors(what: str) -> Iterator[None]:
    """Whatever Keras raises on a file becomes one line."""
    try:
        yield
    except PocketpressError:
        raise
    except Exception as error:
        line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise SourceError(what, got=line) from error


def _check_inputs(config: Any, where: str) -> None:
    """Shapes in the configuration, before any layer is made."""
    waiting = [config]
    while waiting:
        found = waiting.pop()
        if isinstance(found, list):
            waiting.extend(found)
            if _is_shape(found) and math.prod(abs(d) for d in found if d) > MAX_ACTIVATION:
                raise SourceError(
                    f"{where}: a shape is too large", got=str(found)[:80], allowed=MAX_ACTIVATION
                )
        elif isinstance(found, dict):
            waiting.extend(found.values())


def _is_shape(value: list[Any]) -> bool:
    return 0 < len(value) <= 8 and all(d is None or type(d) is int for d in value)


def _check_built(model: Any, where: str) -> None:
    if not model.built or not getattr(model, "inputs", None):
        raise SourceError(
            f"{where} does not say the shape of its input",
            next_step="save the model with an Input layer, or after model.build(...)",
        )


def _check_types(model: Any, where: str) -> None:
    for layer in model._flatten_layers(include_self=False):
        computes = getattr(layer, "compute_dtype", "float32")
        if computes != "float32" and type(layer).__name__ != "InputLayer":
            raise UnsupportedError(
                f"{where}: layer {layer.name} does not compute in float32",
                got=computes,
                next_step="save the network in float32",
            )


def _check_sizes(sketch: Any, file: KerasFile, where: str) -> None:
    """Every weight is in the file, so there are not more; activations have a limit."""
    wanted = sum(math.prod(v.shape) * 4 for v in sketch.variables if "seed_generator" not in v.path)
    if wanted > max(2 * file.weight_bytes, 1 << 20):  # half-precision weights take twice their bytes
        raise SourceError(
            f"{where}: the network has more weights than the file holds",
            got=f"{wanted} bytes",
            allowed=f"{file.weight_bytes} bytes",
        )
    for layer in sketch._flatten_layers():
        for node in getattr(layer, "_inbound_nodes", ()):
            for tensor in node.output_tensors:
                size = math.prod(d or 1 for d in tensor.shape)
                if size > MAX_ACTIVATION:
                    raise SourceError(
                        f"{where}: the result of layer {layer.name} is too large",
                        got=tuple(tensor.shape),
                        allowed=f"{MAX_ACTIVATION} elements",
                    )


def _check_weights(model: Any, where: str) -> None:
    import torch

    for variable in model.variables:
        value = variable.value
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise SourceError(
                f"{where}: weight {variable.path} is missing, or holds NaN or infinity",
                got=f"{int((~torch.isfinite(value)).sum())} of {value.numel()} values",
                next_step="check the training run, or save the whole model again",
            )
