"""Make one stored array fit one input of the network, or say in one line why it does not."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketpress.core.errors import DataError
from pocketpress.core.program.ir import Array
from pocketpress.core.signature import TensorSpec


def input_dtype(spec: TensorSpec) -> np.dtype[Any]:
    """Dtype in which real values are given: float32, or the file's integers where they are no reals."""
    integers = spec.scale is None and np.dtype(spec.dtype).kind in "iub"
    return np.dtype(spec.dtype if integers else "float32")


def sample_shape(shape: tuple[int, ...], spec: TensorSpec, *, step: bool = False) -> bool:
    """Whether a sample of ``shape`` fits, with or without its batch axis of 1.

    A step of a sequence may go without all its leading axes of 1.
    """
    if step:
        lead = spec.shape[: max(len(spec.shape) - len(shape), 0)]
        return shape == spec.shape[len(lead) :] and all(size == 1 for size in lead)
    return shape == spec.shape or (spec.shape[:1] == (1,) and shape == spec.shape[1:])


def fit_array(
    value: Array, spec: TensorSpec, where: str, *, keep_dtype: bool = False, step: bool = False
) -> Array:
    """Return ``value`` with the input's shape and dtype; ``step`` as in `sample_shape`.

    Raises:
        DataError: not numeric, another shape, integers out of range, or NaN or infinity.
    """
    value = np.asarray(value)
    if value.dtype.kind not in "fiub":
        raise DataError(f"{where}: {spec.name} is not numeric", got=value.dtype, allowed="float32")
    if not sample_shape(value.shape, spec, step=step):
        raise shape_error(where, value.shape, spec)
    value = value.reshape(spec.shape)
    if keep_dtype:
        return np.ascontiguousarray(value)
    wanted = input_dtype(spec)
    if wanted.kind in "iu":
        _check_integers(value, wanted, spec, where)
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(value, dtype=wanted)
    check_finite(array, f"{where}: {spec.name}")
    return array


def fit_target(value: Array, where: str) -> Array:
    """Return a target as a finite numeric array.

    Raises:
        DataError: not numeric, or NaN or infinity.
    """
    value = np.asarray(value)
    if value.dtype.kind not in "fiub":
        raise DataError(f"{where}: the target is not numeric", got=value.dtype, allowed="integers or reals")
    check_finite(value, f"{where}: the target")
    return value


def check_finite(value: Array, what: str) -> None:
    """Raise DataError when ``value`` holds NaN or infinity."""
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        bad = int(np.count_nonzero(~np.isfinite(value)))
        raise DataError(
            f"{what} holds NaN or infinity", got=f"{bad} of {value.size} values", allowed="finite numbers"
        )


def shape_error(where: str, shape: tuple[int, ...], spec: TensorSpec) -> DataError:
    """The error for an array of a shape that does not fit, with a hint where an axis order explains it."""
    wanted = spec.shape[1:] if spec.shape[:1] == (1,) else spec.shape
    hint = None
    inner = shape[1:] if len(shape) == len(wanted) + 1 and shape[0] == 1 else shape
    if len(wanted) == 3 and len(inner) == 3 and inner != wanted:
        if (inner[2], inner[0], inner[1]) == wanted:
            hint = "channels are last: transpose to channels first"
        elif (inner[1], inner[2], inner[0]) == wanted:
            hint = "channels are first: transpose to channels last"
    return DataError(
        f"{where}: {spec.name} has another shape than the network's input",
        got=shape,
        allowed=f"{wanted} per sample",
        next_step=hint,
    )


def _check_integers(value: Array, wanted: np.dtype[Any], spec: TensorSpec, where: str) -> None:
    info = np.iinfo(wanted)
    check_finite(value, f"{where}: {spec.name}")
    if value.size and (value.min() < info.min or value.max() > info.max):
        raise DataError(
            f"{where}: {spec.name} is out of range",
            got=f"{value.min()} to {value.max()}",
            allowed=f"{info.min} to {info.max}",
        )
    if value.dtype.kind == "f" and not (value == np.rint(value)).all():
        raise DataError(f"{where}: {spec.name} takes integers", got=value.dtype, allowed=wanted)
