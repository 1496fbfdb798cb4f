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
_LARGEST_INPUT = {"int8": 255, "uint8": 255, "int16": 65535}


def multiplier(c: Context, axis_shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """``s_in * s_w[c] / s_out`` in float32, left to right, reshaped for broadcasting."""
    weight = c.quant(1)
    scales = weight.scales() if weight.axis is not None else np.asarray([weight.step])
    product = c.quant(0).step * scales / c.out_quant.step
    return product.astype(np.float32).reshape(axis_shape if weight.axis is not None else (1,))


def requantise(c: Context, accumulator: torch.Tensor, axis_shape: tuple[int, ...]) -> Array:
    """int32 accumulator -> float32, times the multiplier, round half to even, zero point, saturate.

    Past 2**24 a rounded value no longer takes the zero point exactly in float32, but saturates anyway.
    """
    scaled = accumulator.numpy().astype(np.float32, copy=False) * multiplier(c, axis_shape)
    return c.store(np.rint(scaled, out=scaled))


def _compute_dtype(c: Context, fan_axes: tuple[int, ...]) -> torch.dtype:
    reach = np.abs(c.inputs[1].astype(np.int64)).sum(axis=fan_axes).max(initial=0)
    reach *= _LARGEST_INPUT[c.in_type(0).dtype]
    if len(c.inputs) > 2:
        reach += np.abs(c.inputs[2].astype(np.int64)).max(initial=0)
    return torch.float32 if reach < _EXACT_FLOAT32 else torch.float64


def _with_bias(c: Context, out: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    if len(c.inputs) < 3:
        return out
    return out.add_(torch.from_numpy(c.inputs[2]).to(out.dtype).reshape(shape))


def _operand(value: Array, dtype: torch.dtype) -> torch.Tensor:
    return torch.from_numpy(value).to(dtype)


def _centred(c: Context, index: int, dtype: torch.dtype) -> torch.Tensor:
    return _operand(c.inputs[index], dtype).sub_(c.quant(index).zero_point)


def conv2d(c: Context) -> Array:
    """Integer 2-D convolution, per-channel weights, int32 bias."""
    dtype = _compute_dtype(c, (1, 2, 3))
    top, left, bottom, right = c.attr("pads")
    x = _centred(c, 0, dtype)
    if any((top, left, bottom, right)):
        x = torch.nn.functional.pad(x, (left, right, top, bottom))
    out = torch.nn.functional.conv2d(
        x,
        _operand(c.inputs[1], dtype),
        stride=tuple(c.attr("stride")),
        dilation=tuple(c.attr("dilation")),
        groups=c.attr("groups"),
    )
    return requantise(c, _with_bias(c, out, (1, -1, 1, 1)), (1, -1, 1, 1))


def conv_transpose2d(c: Context) -> Array:
    """Integer transposed convolution; ``pads`` are cut from the full result."""
    dtype = _compute_dtype(c, (0, 2, 3))
    top, left, bottom, right = c.attr("pads")
    out = torch.nn.functional.conv_transpose2d(
        _centred(c, 0, dtype),
        _operand(c.inputs[1], dtype),
        stride=tuple(c.attr("stride")),
        groups=c.attr("groups"),
    )
    grow_h, grow_w = c.attr("output_padding")
    out = torch.nn.functional.pad(out, (-left, grow_w - right, -top, grow_h - bottom))
    return requantise(c, _with_bias(c, out, (1, -1, 1, 1)), (1, -1, 1, 1))


def linear(c: Context) -> Array:
    """Integer fully connected layer over the last axis."""
    dtype = _compute_dtype(c, (1,))
    out = torch.nn.functional.linear(_centred(c, 0, dtype), _operand(c.inputs[1], dtype))
    return requantise(c, _with_bias(c, out, (-1,)), (-1,))


def matmul(c: Context) -> Array:
    """Integer product of two activations."""
    out = torch.matmul(_centred(c, 0, torch.float64), _centred(c, 1, torch.float64))
    return requantise(c, out, (1,))
