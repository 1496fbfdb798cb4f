"""Activations as 256-entry look-up tables, computed in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketpress.core.program.ir import Array, Quantization

Real = npt.NDArray[np.float64]

FUNCTIONS: dict[str, Callable[[Real, Mapping[str, Any]], Real]] = {
    "sigmoid": lambda x, a: 1 / (1 + np.exp(-x)),
    "tanh": lambda x, a: np.tanh(x),
    "hardswish": lambda x, a: x * np.clip(x + 3, 0, 6) / 6,
    "hardsigmoid": lambda x, a: np.clip(x + 3, 0, 6) / 6,
    "leaky_relu": lambda x, a: np.where(x > 0, x, x * a["slope"]),
    "elu": lambda x, a: np.where(x > 0, x, a["alpha"] * np.expm1(np.minimum(x, 0))),
}


def real_table(op: str, attrs: Mapping[str, Any], quant_in: Quantization, quant_out: Quantization) -> Real:
    """The exact value of ``f(real)/scale_out`` for each of the 256 int8 inputs, before rounding."""
    q = np.arange(-128, 128, dtype=np.float64)
    real = (q - quant_in.zero_point) * float(quant_in.step)
    return np.asarray(FUNCTIONS[op](real, attrs) / float(quant_out.step))


def integer_table(
    op: str, attrs: Mapping[str, Any], quant_in: Quantization, quant_out: Quantization, dtype: str = "int8"
) -> Array:
    """The look-up table, entry 0 for input -128."""
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    grid = np.rint(real_table(op, attrs, quant_in, quant_out)) + quant_out.zero_point
    return np.asarray(np.clip(grid, low, high).astype(dtype))
