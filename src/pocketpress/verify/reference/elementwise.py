"""Borders and element-by-element integer arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketpress.core.program.ir import Array
from pocketpress.verify.reference.context import LIMITS, Context, clamp_limits


def quantize(c: Context) -> Array:
    """``round_half_even(x * (1/scale))`` with the reciprocal and the product in float32."""
    inverse = np.float32(1) / c.out_quant.step
    return c.store(np.rint(c.inputs[0].astype(np.float32) * inverse).astype(np.float64))


def dequantize(c: Context) -> Array:
    """``scale * (q - zero_point)`` in float32, per tensor or per channel."""
    quant, x = c.quant(0), c.inputs[0].astype(np.int32)
    if quant.axis is None:
        return (x - quant.zero_point).astype(np.float32) * quant.step
    shape = [1] * x.ndim
    shape[quant.axis] = -1
    return np.asarray(x.astype(np.float32) * quant.scales().reshape(shape))


def requantize(c: Context) -> Array:
    """``round_half_even((q - zero_point) * scale_in / scale_out)``."""
    ratio = np.float64(c.quant(0).step) / np.float64(c.out_quant.step)
    return c.store(np.rint(c.centred(0) * ratio))


def add(c: Context) -> Array:
    """``round_half_even((a - za) * sa/so + (b - zb) * sb/so)``, exact when the ratios are (see numerics)."""
    return c.store(np.rint(_scaled(c, 0) + _scaled(c, 1)))


def sub(c: Context) -> Array:
    """``round_half_even((a - za) * sa/so - (b - zb) * sb/so)``."""
    return c.store(np.rint(_scaled(c, 0) - _scaled(c, 1)))


def _scaled(c: Context, index: int) -> Any:
    ratio = np.float64(c.quant(index).step) / np.float64(c.out_quant.step)
    return c.centred(index) * ratio


def mul(c: Context) -> Array:
    """``round_half_even(float32((a - za) * (b - zb)) * (sa * sb / so))``."""
    multiplier = c.quant(0).step * c.quant(1).step / c.out_quant.step
    product = (c.centred(0) * c.centred(1)).astype(np.float32)
    return c.store(np.rint(product * multiplier))


def clamp(c: Context) -> Array:
    """Clamp integers to the integers nearest the real limits; scale and zero point do not change."""
    low, high = LIMITS[c.out_type.dtype]
    low, high = clamp_limits((c.attr("low"), c.attr("high")), c.out_quant, low, high)
    return np.clip(c.inputs[0], low, high)
