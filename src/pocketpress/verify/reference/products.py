"""Convolutions and matrix products with exact accumulation.

Accumulators are integers below 2**31, so they are exact in float64; they are exact in float32 too, whatever
the order of summation, when no partial sum can reach 2**24, which is checked per layer because it is faster.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from pocketpress.core.program.ir import Array
from pocketpress.verify.reference.context import Context

_EXACT_FLOAT32 = 2**24
_LARGEST_INPUT = 255


def multiplier(c: Context, axis_shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """``s_in * s_w[c] / s_out`` in float32, left to right, reshaped for broadcasting."""
    weight = c.quant(1)
    scales = weight.scales() if weight.axis is not None else np.asarray([weight.step])
    product = c.quant(0).step * scales / c.out_quant.step
    return product.astype(np.float32).reshape(axis_shape if weight.axis is not None else (1,))


def requantise(c: Context, accumulator: npt.NDArray[np.float64], axis_shape: tuple[int, ...]) -> Array:
    """int32 accumulator -> float32, times the multiplier, round half to even, zero point, saturate."""
    scaled = accumulator.astype(np.float32) * multiplier(c, axis_shape)
    return c.store(np.rint(scaled).astype(np.float64))


def _compute_dtype(weight: Array, fan_axes: tuple[int, ...]) -> torch.dtype:
    reach = np.abs(weight.astype(np.int64)).sum(axis=fan_axes).max(initial=0) * _LARGEST_INPUT
    return torch.float32 if reach < _EXACT_FLOAT32 else torch.float64


def _bias(c: Context) -> npt.NDArray[np.float64] | float:
    return c.inputs[2].astype(np.float64) if len(c.inputs) > 2 else 0.0


def conv2d(c: Context) -> Array:
    """Integer 2-D convolution, per-channel weights, int32 bias."""
    weight = c.inputs[1]
    dtype = _compute_dtype(weight, (1, 2, 3))
    top, left, bottom, right = c.attr("pads")
    x = torch.from_numpy(c.centred(0)).to(dtype)
    x = torch.nn.functional.pad(x, (left, right, top, bottom))
    out = torch.nn.functional.conv2d(
        x,
        torch.from_numpy(weight.astype(np.int32)).to(dtype),
        stride=tuple(c.attr("stride")),
        dilation=tuple(c.attr("dilation")),
        groups=c.attr("groups"),
    )
    bias = np.reshape(_bias(c), (1, -1, 1, 1))
    return requantise(c, out.to(torch.float64).numpy() + bias, (1, -1, 1, 1))


def conv_transpose2d(c: Context) -> Array:
    """Integer transposed convolution; ``pads`` are cut from the full result."""
    weight = c.inputs[1]
    dtype = _compute_dtype(weight, (0, 2, 3))
    top, left, bottom, right = c.attr("pads")
    out = torch.nn.functional.conv_transpose2d(
        torch.from_numpy(c.centred(0)).to(dtype),
        torch.from_numpy(weight.astype(np.int32)).to(dtype),
        stride=tuple(c.attr("stride")),
        groups=c.attr("groups"),
    )
    grow_h, grow_w = c.attr("output_padding")
    out = torch.nn.functional.pad(out, (-left, grow_w - right, -top, grow_h - bottom))
    bias = np.reshape(_bias(c), (1, -1, 1, 1))
    return requantise(c, out.to(torch.float64).numpy() + bias, (1, -1, 1, 1))


def linear(c: Context) -> Array:
    """Integer fully connected layer over the last axis."""
    weight = c.inputs[1]
    dtype = _compute_dtype(weight, (1,))
    x = torch.from_numpy(c.centred(0)).to(dtype)
    out = torch.nn.functional.linear(x, torch.from_numpy(weight.astype(np.int32)).to(dtype))
    return requantise(c, out.to(torch.float64).numpy() + _bias(c), (-1,))


def matmul(c: Context) -> Array:
    """Integer product of two activations."""
    a = torch.from_numpy(c.centred(0)).to(torch.float64)
    b = torch.from_numpy(c.centred(1)).to(torch.float64)
    return requantise(c, torch.matmul(a, b).numpy(), (1,))
