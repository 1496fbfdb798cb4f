"""A convolution's windows as rows of a matrix ("im2col"), in the order of an OHWI weight.

First the taps of a row are laid side by side along the channels, then the rows: ``kernel_h + kernel_w``
slices instead of ``kernel_h * kernel_w``.
"""

from __future__ import annotations

from dataclasses import replace

from ai_edge_litert import schema_py_generated as schema

from pocketpress.targets.litert.emission import Emission
from pocketpress.targets.litert.movement import MOST_CONCAT_INPUTS, strided
from pocketpress.targets.litert.padding import Window

ROWS, COLUMNS, CHANNELS = 1, 2, 3


def unfolded(e: Emission, source: int, window: Window) -> int:
    """Shape (N, H, W, kernel_h * kernel_w * C) from a padded image (N, H', W', C)."""
    for axis in (COLUMNS, ROWS):
        taps = _taps(e, source, window, axis)
        source = _side_by_side(e, taps, "taps" if axis == COLUMNS else "windows")
    return source


def is_pointwise(window: Window) -> bool:
    """Whether every window is one pixel and every pixel a window."""
    return window.kernel == (1, 1) and window.stride == (1, 1) and not any(window.needed())


def _taps(e: Emission, source: int, window: Window, axis: int) -> list[int]:
    """For every tap of the kernel along one axis the pixels that it meets."""
    i, type_ = axis - 1, e.graph.type(source)
    step, count = window.stride[i], window.result[i]
    starts = range(0, window.kernel[i] * window.dilation[i], window.dilation[i])
    if step > 1 and count > 1:
        return strided(e, source, axis, starts, count, step)
    if type_.shape[axis] == count:
        return [source] * len(starts)
    size = list(type_.shape)
    size[axis] = count
    like, taps = replace(type_, shape=tuple(size)), []
    for start in starts:
        begin = [start if a == axis else 0 for a in range(4)]
        bounds = [e.graph.integers("begin", begin), e.graph.integers("size", size)]
        taps.append(e.step("SLICE", [source, *bounds], "tap", like))
    return taps


def _side_by_side(e: Emission, parts: list[int], what: str) -> int:
    """Concatenation along the channels, in steps of what XNNPACK takes."""
    while len(parts) > 1:
        head, parts = parts[:MOST_CONCAT_INPUTS], parts[MOST_CONCAT_INPUTS:]
        type_ = e.graph.type(head[0])
        width = sum(e.graph.type(part).shape[CHANNELS] for part in head)
        like = replace(type_, shape=(*type_.shape[:CHANNELS], width))
        options = schema.ConcatenationOptionsT(axis=CHANNELS)
        parts.insert(0, e.step("CONCATENATION", head, what, like, options))
    return parts[0]
