"""A convolution's windows as rows of a matrix ("im2col"), in the order of an OHWI weight.

First the taps of a row are laid side by side along the channels, then the rows: ``kernel_h + kernel_w``
slices instead of ``kernel_h * kernel_w``.
"""

from __future__ import annotations

from dataclasses import replace

from ai_edge_litert import schema_py_generated as schema

from pocketpress.targets.litert.emission import Emission
from pocketpress.targets.litert.movement import MOST_CONCAT_INPUTS, every_nth
from pocketpress.targets.litert.padding import Window

ROWS, COLUMNS, CHANNELS = 1, 2, 3


def unfolded(e: Emission, source: int, window: Window) -> int:
    """Shape (N, H, W, kernel_h * kernel_w * C) from a padded image (N, H', W', C)."""
    for axis in (COLUMNS, ROWS):
        taps = [_tap(e, source, window, axis, tap) for tap in range(window.kernel[axis - 1])]
        source = _side_by_side(e, taps, "taps" if axis == COLUMNS else "windows")
    return source


def is_pointwise(window: Window) -> bool:
    """Whether every window is one pixel and every pixel a window."""
    return window.kernel == (1, 1) and window.stride == (1, 1) and not any(window.needed())


def _tap(e: Emission, source: int, window: Window, axis: int, tap: int) -> int:
    """Every pixel that this tap meets, along one axis."""
    i, type_ = axis - 1, e.graph.type(source)
    start, step, count = tap * window.dilation[i], window.stride[i], window.result[i]
    if step > 1 and count > 1:
        return every_nth(e, source, axis, start, count, step)
    if type_.shape[axis] == count:
        return source
    begin, size = [0] * 4, list(type_.shape)
    begin[axis], size[axis] = start, count
    bounds = [e.graph.integers("begin", begin), e.graph.integers("size", size)]
    return e.step("SLICE", [source, *bounds], f"tap_{axis}_{tap}", replace(type_, shape=tuple(size)))


def _side_by_side(e: Emission, parts: list[int], what: str) -> int:
    """Concatenation along the channels, in steps of what XNNPACK takes."""
    while len(parts) > 1:
        head, parts = parts[:MOST_CONCAT_INPUTS], parts[MOST_CONCAT_INPUTS:]
        type_ = e.graph.type(head[0])
        width = sum(e.graph.type(part).shape[CHANNELS] for part in head)
        like = replace(type_, shape=(*type_.shape[:CHANNELS], width))
        options = schema.ConcatenationOptionsT(axis=CHANNELS)
        parts.insert(0, e.step("CONCATENATION", head, f"{what}_{width}", like, options))
    return parts[0]
