"""Means, average pooling, softmax, layer normalisation and bilinear resizing.

XNNPACK's one reduction here is the mean over the second and third last axes; any mean is one of those after a
view (rows, reduced, 1, rest).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pocketpress.core.program.ir import TensorType
from pocketpress.targets.executorch.emit.movement import runs, subsample, transpose, window
from pocketpress.targets.executorch.emit.site import Emitter, Site

_KEEP_DIMS = 0x40
_ALIGN_CORNERS = 0x08


def mean(site: Site) -> None:
    """Mean over any axes."""
    shape = site.type(0).shape
    axes = sorted({int(a) % len(shape) for a in site.attr("axes")})
    if len(shape) == 4 and axes == [1, 2] and site.attr("keepdims"):
        _spatial_mean(site, site.value(0), site.out_type, site.out)
        return
    value, shape, axes = _with_adjacent(site, axes)
    outer, count = _size(shape[: axes[0]]), _size(shape[axes[0] : axes[-1] + 1])
    inner = _size(shape[axes[-1] + 1 :])
    viewed = site.reshape(value, replace(site.type(0), shape=(outer, count, 1, inner)))
    reduced = _spatial_mean(site, viewed, replace(site.out_type, shape=(outer, 1, 1, inner)))
    site.reshape(reduced, site.out_type, site.out)


def _with_adjacent(site: Site, axes: list[int]) -> tuple[int, tuple[int, ...], list[int]]:
    """The input, transposed if need be so that the reduced axes are adjacent."""
    shape = site.type(0).shape
    if len(runs(axes)) == 1:
        return site.value(0), shape, axes
    order = [a for a in range(len(shape)) if a not in axes] + axes
    moved = tuple(shape[a] for a in order)
    value = transpose(site, site.value(0), order, replace(site.type(0), shape=moved))
    return value, moved, list(range(len(shape) - len(axes), len(shape)))


def _size(dims: Sequence[int]) -> int:
    return int(np.prod(dims, dtype=np.int64))


def _spatial_mean(site: Site, value: int, type_: TensorType, target: int | None = None) -> int:
    out = site.graph.new(type_) if target is None else target
    site.graph.node("XNNGlobalAvgPooling2d", flags=_KEEP_DIMS, input_id=value, output_id=out)
    return out


def avg_pool2d(site: Site) -> None:
    """Mean over windows; XNNPACK leaves padding out of the count, so counted padding is made explicit."""
    if tuple(site.attr("kernel")) == (1, 1):
        subsample(site)
        return
    fields: dict[str, Any] = window(site)
    value = site.value(0)
    top, left, bottom, right = site.attr("pads")
    if any((top, left, bottom, right)) and site.attr("count_include_pad"):
        n, height, width, channels = site.type(0).shape
        grown = (n, height + top + bottom, width + left + right, channels)
        padded = site.graph.new(replace(site.type(0), shape=grown))
        site.graph.node(
            "XNNStaticConstantPad",
            pre_paddings=[0, top, left, 0],
            post_paddings=[0, bottom, right, 0],
            padding_value=0.0,
            input_id=value,
            output_id=padded,
        )
        value = padded
        fields = {name: 0 if name.startswith("padding") else size for name, size in fields.items()}
    site.graph.node(
        "XNNAvgPooling2d", **fields, dilation_height=1, dilation_width=1, input_id=value, output_id=site.out
    )


def softmax(site: Site) -> None:
    """Softmax over any axis; XNNPACK's is over the last."""
    type_ = site.type(0)
    axis, last = int(site.attr("axis")) % len(type_.shape), len(type_.shape) - 1
    if axis == last:
        site.unary("XNNSoftmax", site.value(0), site.out_type, site.out)
        return
    order = [last if a == axis else axis if a == last else a for a in range(len(type_.shape))]
    swapped = replace(type_, shape=tuple(type_.shape[a] for a in order))
    moved = transpose(site, site.value(0), order, swapped)
    transpose(site, site.unary("XNNSoftmax", moved, swapped), order, site.out_type, site.out)


def layer_norm(site: Site) -> None:
    """``(x - mean) / sqrt(variance + eps) * weight + bias`` over trailing axes, from single operators."""
    shape, graph = site.type(0).shape, site.graph
    count = site.constant(1).size
    rows = site.type(0).elements // count
    full, single = TensorType((rows, count, 1, 1)), TensorType((rows, 1, 1, 1))
    x = site.reshape(site.value(0), full)
    centred = site.binary("XNNSubtract", x, _spatial_mean(site, x, single), full)
    variance = _spatial_mean(site, site.unary("XNNSquare", centred, full), single)
    shifted = site.binary("XNNAdd", variance, graph.scalar(float(site.attr("eps"))), single)
    inverse = site.unary("XNNReciprocalSquareRoot", shifted, single)
    normal = site.binary("XNNMultiply", centred, inverse, full)
    weight, bias = (
        graph.constant(np.asarray(site.constant(i), np.float32).reshape(count, 1, 1)) for i in (1, 2)
    )
    scaled = site.binary("XNNMultiply", normal, weight, full)
    site.reshape(site.binary("XNNAdd", scaled, bias, full), TensorType(shape), site.out)


def resize_bilinear(site: Site) -> None:
    """Bilinear resize, half-pixel centres unless corners are aligned."""
    height, width = site.attr("size")
    site.graph.node(
        "XNNStaticResizeBilinear2D",
        flags=_ALIGN_CORNERS if site.attr("align_corners") else 0,
        new_height=height,
        new_width=width,
        input_id=site.value(0),
        output_id=site.out,
    )


EMITTERS: dict[str, Emitter] = {
    "mean": mean,
    "avg_pool2d": avg_pool2d,
    "softmax": softmax,
    "layer_norm": layer_norm,
    "resize_bilinear": resize_bilinear,
}
