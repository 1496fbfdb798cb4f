"""Convolutions as matrix products: the pixels under a kernel side by side, and what follows from it.

XNNPACK keeps 8-bit weights between float activations, and 4-bit weights between any, in its fully connected
operator only.  A convolution is that operator over windows ("im2col", Chellapilla et al. 2006): a position
holds ``kernel height * kernel width * channels`` numbers, in this order.  A transposed convolution of stride
``s`` is a convolution of stride 1 with ``s * s`` times the channels, one group for each place inside a step,
whose pixels are then spread over the finer grid ("sub-pixel convolution", Shi et al. 2016, arXiv:1609.05158).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pocketpress.core.program.ir import Array, TensorType
from pocketpress.targets.executorch.emit.movement import cut, join, pad_value, transpose
from pocketpress.targets.executorch.emit.site import Site

Pair = tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """Where kernels are laid.

    Attributes:
        kernel: height and width.
        stride: rows and columns from one position to the next.
        dilation: rows and columns between taps of the kernel.
        before: rows of zeros above, columns of zeros at the left; negative ones are cut off.
        size: positions, down and across.
    """

    kernel: Pair
    stride: Pair
    dilation: Pair
    before: Pair
    size: Pair


def windows(site: Site, value: int, type_: TensorType, grid: Grid) -> tuple[int, TensorType]:
    """Value of shape (n, *grid.size, kernel * channels) for one of shape (n, height, width, channels)."""
    for axis in (2, 1):
        value, type_ = _along(site, value, type_, axis, grid)
    return value, type_


def _along(site: Site, value: int, type_: TensorType, axis: int, grid: Grid) -> tuple[int, TensorType]:
    """Put the taps of one axis side by side in the channels."""
    index = axis - 1
    taps, stride, step = grid.kernel[index], grid.stride[index], grid.dilation[index]
    count = grid.size[index]
    steps = (taps - 1) * step // stride + count
    value, type_ = _framed(site, value, type_, axis, grid.before[index], steps * stride)
    held = _sized(type_, axis, count)
    out = _sized(held, 3, taps * type_.shape[3])
    if stride == 1:
        places = [[tap * step if a == axis else 0 for a in range(4)] for tap in range(taps)]
        beside = [(cut(site, value, type_, place, held.shape), type_.shape[3]) for place in places]
        return join(site, beside, 3, out), out
    outer, inner = _size(type_.shape[:axis]), _size(type_.shape[axis + 1 :])
    split = replace(type_, shape=(outer, steps, stride, inner))
    value = site.reshape(value, split)
    parts = []
    for offset in range(0, taps * step, step):
        place = (0, offset // stride, offset % stride, 0)
        part = cut(site, value, split, place, (outer, count, 1, inner))
        parts.append((site.reshape(part, held), type_.shape[3]))
    return join(site, parts, 3, out), out


def _framed(
    site: Site, value: int, type_: TensorType, axis: int, before: int, length: int
) -> tuple[int, TensorType]:
    """``length`` entries along ``axis`` from ``-before`` on, zeros where there are none."""
    held = type_.shape[axis]
    start, end = max(0, -before), min(held, length - before)
    kept = _sized(type_, axis, end - start)
    value = cut(site, value, type_, [start if a == axis else 0 for a in range(4)], kept.shape)
    left, right = max(0, before), length - max(0, before) - (end - start)
    full = _sized(type_, axis, length)
    if left or right:
        pads = [[size if a == axis else 0 for a in range(4)] for size in (left, right)]
        value = pad_value(site, value, pads[0], pads[1], 0.0, full)
    return value, full


def _sized(type_: TensorType, axis: int, size: int) -> TensorType:
    return replace(type_, shape=(*type_.shape[:axis], size, *type_.shape[axis + 1 :]))


def _size(dims: tuple[int, ...]) -> int:
    return int(np.prod(dims, dtype=np.int64))


def sub_pixel_weight(weight: Array, stride: Pair) -> Array:
    """The weight of the convolution that stands for a transposed one.

    Args:
        weight: (in, out, height, width).
        stride: rows and columns of a step.

    Returns:
        (stride[0] * stride[1] * out, taps down, taps across, in)

    Tap ``t`` from the end reads the input ``t`` pixels back: place ``r`` of a step gets kernel row
    ``r + stride * t``, zero where the kernel ends before.
    """
    inputs, outputs, height, width = weight.shape
    rows, columns = (-(-size // step) for size, step in zip((height, width), stride, strict=True))
    full = np.zeros((inputs, outputs, rows * stride[0], columns * stride[1]), weight.dtype)
    full[:, :, :height, :width] = weight
    split = full.reshape(inputs, outputs, rows, stride[0], columns, stride[1])[:, :, ::-1, :, ::-1]
    return split.transpose(3, 5, 1, 2, 4, 0).reshape(-1, rows, columns, inputs)


def spread(site: Site, value: int, type_: TensorType, stride: Pair, top_left: Pair) -> int:
    """Channels (rows, columns, rest) onto a grid ``stride`` times finer; the output is a window in it."""
    out = site.out_type
    n, height, width, _ = type_.shape
    channels = out.shape[3]
    split = replace(type_, shape=(n * height, width, stride[0], stride[1] * channels))
    swapped = replace(type_, shape=(n * height, stride[0], width, stride[1] * channels))
    moved = transpose(site, site.reshape(value, split), (0, 2, 1, 3), swapped)
    fine = replace(type_, shape=(n, height * stride[0], width * stride[1], channels))
    return cut(site, site.reshape(moved, fine), fine, (0, *top_left, 0), out.shape, site.out)
