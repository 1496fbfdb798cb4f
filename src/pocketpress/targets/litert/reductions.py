"""Means, softmax, layer normalisation, average pooling and bilinear resizing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pocketpress.core.program import Node
from pocketpress.core.program.ir import Array
from pocketpress.targets.litert.emission import Emission
from pocketpress.targets.litert.movement import pool_options, pool_window, reshape_to
from pocketpress.targets.litert.padding import SAME, Window, padded


def mean(e: Emission, node: Node) -> None:
    """MEAN."""
    rank = len(e.in_type(node).shape)
    axes = e.graph.integers("axes", sorted(int(a) % rank for a in node.attrs["axes"]))
    options = schema.ReducerOptionsT(keepDims=bool(node.attrs["keepdims"]))
    e.graph.operator("MEAN", [e.index(node.inputs[0]), axes], [e.out(node)], options)


def argmax(e: Emission, node: Node) -> None:
    """ARG_MAX, whose result lacks the axis, then CAST."""
    type_, out = e.in_type(node), e.out_type(node)
    axis = int(node.attrs["axis"]) % len(type_.shape)
    shape = tuple(d for i, d in enumerate(type_.shape) if i != axis)
    places = e.step(
        "ARG_MAX",
        [e.index(node.inputs[0]), e.graph.constant(f"axis_{axis}", np.asarray(axis, np.int32))],
        "places",
        replace(out, shape=shape, dtype="int32"),
        schema.ArgMaxOptionsT(outputType=schema.TensorType.INT32),
    )
    if shape == out.shape:
        e.graph.operator("CAST", [places], [e.out(node)])
        return
    real = e.step("CAST", [places], "real", replace(out, shape=shape))
    reshape_to(e, real, e.out(node))


def softmax(e: Emission, node: Node) -> None:
    """SOFTMAX over the last axis, between two TRANSPOSEs for another one."""
    type_ = e.in_type(node)
    rank = len(type_.shape)
    axis = int(node.attrs["axis"]) % rank
    options = schema.SoftmaxOptionsT(beta=1.0)
    if axis == rank - 1:
        e.graph.operator("SOFTMAX", [e.index(node.inputs[0])], [e.out(node)], options)
        return
    order = list(range(rank))
    order[axis], order[-1] = order[-1], order[axis]
    swap = e.graph.integers("order", order)
    like = replace(type_, shape=tuple(type_.shape[a] for a in order))
    turned = e.step("TRANSPOSE", [e.index(node.inputs[0]), swap], "turned", like)
    result = e.step("SOFTMAX", [turned], "softmax", like, options)
    e.graph.operator("TRANSPOSE", [result, swap], [e.out(node)])


def layer_norm(e: Emission, node: Node) -> None:
    """``(x - mean) * rsqrt(mean((x - mean)^2) + eps) * weight + bias`` in float."""
    source, weight, bias = e.inputs(node)
    type_ = e.in_type(node)
    rank = len(type_.shape)
    gone = {int(a) % rank for a in node.attrs["axes"]}
    axes = e.graph.integers("axes", sorted(gone))
    small = replace(type_, shape=tuple(1 if i in gone else d for i, d in enumerate(type_.shape)))
    keep = schema.ReducerOptionsT(keepDims=True)
    add, mul = schema.AddOptionsT, schema.MulOptionsT
    centre = e.step("MEAN", [source, axes], "mean", small, keep)
    away = e.step("SUB", [source, centre], "centred", type_, schema.SubOptionsT())
    square = e.step("SQUARE", [away], "square", type_)
    spread = e.step("MEAN", [square, axes], "variance", small, keep)
    safe = e.step("ADD", [spread, e.number(float(node.attrs["eps"]))], "safe", small, add())
    factor = e.step("RSQRT", [safe], "factor", small)
    unit = e.step("MUL", [away, factor], "unit", type_, mul())
    scaled = e.step("MUL", [unit, weight], "scaled", type_, mul())
    e.graph.operator("ADD", [scaled, bias], [e.out(node)], add())


def avg_pool2d(e: Emission, node: Node) -> None:
    """AVERAGE_POOL_2D, which does not count SAME padding; other paddings are counted or corrected."""
    window, counted = pool_window(e, node), bool(node.attrs["count_include_pad"])
    source, padding = padded(e, node, window, same=not counted)
    options = pool_options(window, padding)
    if counted or padding == SAME or not any(window.needed()):
        e.graph.operator("AVERAGE_POOL_2D", [source], [e.out(node)], options)
        return
    diluted = e.step("AVERAGE_POOL_2D", [source], "diluted", e.out_type(node), options)
    share = e.graph.constant("pool_share", _share(window))
    e.graph.operator("MUL", [diluted, share], [e.out(node)], schema.MulOptionsT())


def _share(window: Window) -> Array:
    """Window size over the number of real pixels in it, shape (1, H, W, 1)."""
    counts = []
    for i in (0, 1):
        start = np.arange(window.result[i]) * window.stride[i] - window.pads[i]
        end = np.minimum(start + window.kernel[i], window.image[i])
        counts.append(end - np.maximum(start, 0))
    real = counts[0][:, None] * counts[1][None, :]
    share: Array = (window.kernel[0] * window.kernel[1] / real).astype(np.float32)
    return share[None, :, :, None]


def resize_bilinear(e: Emission, node: Node) -> None:
    """RESIZE_BILINEAR."""
    corners = bool(node.attrs["align_corners"])
    size = e.graph.integers("size", [int(s) for s in node.attrs["size"]])
    options = schema.ResizeBilinearOptionsT(alignCorners=corners, halfPixelCenters=not corners)
    e.graph.operator("RESIZE_BILINEAR", [e.index(node.inputs[0]), size], [e.out(node)], options)


EMITTERS = {
    "mean": mean,
    "argmax": argmax,
    "softmax": softmax,
    "layer_norm": layer_norm,
    "avg_pool2d": avg_pool2d,
    "resize_bilinear": resize_bilinear,
}
