"""Integer operators one element at a time, in Python integers: slow, plain enough to check by eye."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

Array = Any


def round_half_even(value: float) -> int:
    """Nearest integer, halves to the even neighbour (Python's own rule)."""
    return round(value)


def saturate(value: int, low: int = -128, high: int = 127) -> int:
    return max(low, min(high, value))


def scaled(accumulator: int, scale_in: float, scale_w: float, scale_out: float) -> int:
    """The contract's requantisation: int32 -> float32, times a float32 multiplier, half to even."""
    multiplier = np.float32(np.float32(np.float32(scale_in) * np.float32(scale_w)) / np.float32(scale_out))
    return round_half_even(float(np.float32(np.float32(accumulator) * multiplier)))


def conv2d(
    x: Array,
    zero_in: int,
    weight: Array,
    bias: Array | None,
    scale_in: float,
    scale_w: Sequence[float],
    scale_out: float,
    zero_out: int,
    *,
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
) -> Array:
    n, _, height, width = x.shape
    out_channels, per_group, rows, cols = weight.shape
    out_h = (height + pads[0] + pads[2] - dilation[0] * (rows - 1) - 1) // stride[0] + 1
    out_w = (width + pads[1] + pads[3] - dilation[1] * (cols - 1) - 1) // stride[1] + 1
    out = np.zeros((n, out_channels, out_h, out_w), np.int8)
    for b, o, i, j in product(range(n), range(out_channels), range(out_h), range(out_w)):
        total = 0 if bias is None else int(bias[o])
        first = o // (out_channels // groups) * per_group
        for c, r, s in product(range(per_group), range(rows), range(cols)):
            y, z = i * stride[0] + r * dilation[0] - pads[0], j * stride[1] + s * dilation[1] - pads[1]
            if 0 <= y < height and 0 <= z < width:
                total += (int(x[b, first + c, y, z]) - zero_in) * int(weight[o, c, r, s])
        out[b, o, i, j] = saturate(scaled(total, scale_in, scale_w[o], scale_out) + zero_out)
    return out


def conv_transpose2d(
    x: Array,
    zero_in: int,
    weight: Array,
    bias: Array | None,
    scale_in: float,
    scale_w: Sequence[float],
    scale_out: float,
    zero_out: int,
    *,
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    output_padding: tuple[int, int],
) -> Array:
    n, channels, height, width = x.shape
    _, out_channels, rows, cols = weight.shape
    out_h = (height - 1) * stride[0] + rows - pads[0] - pads[2] + output_padding[0]
    out_w = (width - 1) * stride[1] + cols - pads[1] - pads[3] + output_padding[1]
    totals = np.zeros((n, out_channels, out_h, out_w), np.int64)
    for b, c, i, j in product(range(n), range(channels), range(height), range(width)):
        for o, r, s in product(range(out_channels), range(rows), range(cols)):
            y, z = i * stride[0] + r - pads[0], j * stride[1] + s - pads[1]
            if 0 <= y < out_h and 0 <= z < out_w:
                totals[b, o, y, z] += (int(x[b, c, i, j]) - zero_in) * int(weight[c, o, r, s])
    out = np.zeros(totals.shape, np.int8)
    for b, o, i, j in np.ndindex(*totals.shape):
        total = int(totals[b, o, i, j]) + (0 if bias is None else int(bias[o]))
        out[b, o, i, j] = saturate(scaled(total, scale_in, scale_w[o], scale_out) + zero_out)
    return out


def linear(
    x: Array,
    zero_in: int,
    weight: Array,
    bias: Array | None,
    scale_in: float,
    scale_w: Sequence[float],
    scale_out: float,
    zero_out: int,
) -> Array:
    out = np.zeros((*x.shape[:-1], weight.shape[0]), np.int8)
    for index in np.ndindex(*out.shape):
        row, o = index[:-1], index[-1]
        total = sum((int(a) - zero_in) * int(w) for a, w in zip(x[row], weight[o], strict=True))
        total += 0 if bias is None else int(bias[o])
        out[index] = saturate(scaled(total, scale_in, scale_w[o], scale_out) + zero_out)
    return out


def max_pool2d(
    x: Array, *, kernel: tuple[int, int], stride: tuple[int, int], pads: tuple[int, int, int, int]
) -> Array:
    n, c, height, width = x.shape
    out_h = (height + pads[0] + pads[2] - kernel[0]) // stride[0] + 1
    out_w = (width + pads[1] + pads[3] - kernel[1]) // stride[1] + 1
    out = np.zeros((n, c, out_h, out_w), x.dtype)
    for b, k, i, j in np.ndindex(*out.shape):
        window = [
            x[b, k, y, z]
            for y in range(i * stride[0] - pads[0], i * stride[0] - pads[0] + kernel[0])
            for z in range(j * stride[1] - pads[1], j * stride[1] - pads[1] + kernel[1])
            if 0 <= y < height and 0 <= z < width
        ]
        out[b, k, i, j] = max(window)
    return out
