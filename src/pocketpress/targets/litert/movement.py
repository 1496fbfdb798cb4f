"""Operators that move values: concat, reshape, permute, slice, pad, max pooling, nearest resize."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pocketpress.core.program import Node, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.targets.litert.activation import dtype_limits
from pocketpress.targets.litert.emission import Emission
from pocketpress.targets.litert.padding import Window, padded

MOST_CONCAT_INPUTS = 5
_NON_NEGATIVE_OPS = frozenset({"sigmoid", "hardsigmoid", "exp", "sqrt", "abs", "softmax", "step", "argmax"})


def concat(e: Emission, node: Node) -> None:
    """CONCATENATION, in steps of five inputs, which is what XNNPACK takes."""
    axis = int(node.attrs["axis"]) % len(e.out_type(node).shape)
    parts = e.inputs(node)
    while len(parts) > MOST_CONCAT_INPUTS:
        head, parts = parts[:MOST_CONCAT_INPUTS], parts[MOST_CONCAT_INPUTS:]
        length = sum(e.graph.type(i).shape[axis] for i in head)
        shape = list(e.out_type(node).shape)
        shape[axis] = length
        like = replace(e.out_type(node), shape=tuple(shape))
        options = schema.ConcatenationOptionsT(axis=axis)
        parts.insert(0, e.step("CONCATENATION", head, f"first_{length}", like, options))
    if len(parts) == 1:
        reshape_to(e, parts[0], e.out(node))
        return
    e.graph.operator("CONCATENATION", parts, [e.out(node)], schema.ConcatenationOptionsT(axis=axis))


def reshape_to(e: Emission, source: int, target: int) -> None:
    """RESHAPE of one tensor into another, its shape a tensor that other operators share."""
    shape = e.graph.integers("shape", e.graph.type(target).shape)
    e.graph.operator("RESHAPE", [source, shape], [target])


def reshape(e: Emission, node: Node) -> None:
    """RESHAPE."""
    reshape_to(e, e.index(node.inputs[0]), e.out(node))


def embedding(e: Emission, node: Node) -> None:
    """GATHER along the rows of the table."""
    index, table = e.inputs(node)
    e.graph.operator("GATHER", [table, index], [e.out(node)], schema.GatherOptionsT(axis=0))


def cast(e: Emission, node: Node) -> None:
    """CAST to float32."""
    e.graph.operator("CAST", e.inputs(node), [e.out(node)])


def whole(e: Emission, node: Node) -> None:
    """CAST to int32."""
    e.graph.operator("CAST", e.inputs(node), [e.out(node)])


def permute(e: Emission, node: Node) -> None:
    """TRANSPOSE."""
    order = e.graph.integers("order", [int(a) for a in node.attrs["axes"]])
    e.graph.operator("TRANSPOSE", [e.index(node.inputs[0]), order], [e.out(node)])


def slice_(e: Emission, node: Node) -> None:
    """SLICE; a step other than 1 takes the first of every so many, for XNNPACK has no strided slices."""
    starts, sizes, steps = (tuple(map(int, node.attrs[k])) for k in ("starts", "sizes", "steps"))
    strided = [axis for axis, step in enumerate(steps) if step != 1 and sizes[axis] > 1]
    source = e.index(node.inputs[0])
    for axis in strided:
        source = every_nth(e, source, axis, starts[axis], sizes[axis], steps[axis])
    begin = e.graph.integers("begin", [0 if axis in strided else b for axis, b in enumerate(starts)])
    e.graph.operator("SLICE", [source, begin, e.graph.integers("size", sizes)], [e.out(node)])


def every_nth(e: Emission, source: int, axis: int, start: int, count: int, step: int) -> int:
    """``x[start::step][:count]`` along ``axis``."""
    return strided(e, source, axis, (start,), count, step)[0]


def strided(e: Emission, source: int, axis: int, starts: Sequence[int], count: int, step: int) -> list[int]:
    """``x[start::step][:count]`` along ``axis`` per start, from one view as (outer, groups, step, inner)."""
    type_ = e.graph.type(source)
    outer, inner = math.prod(type_.shape[:axis]), math.prod(type_.shape[axis + 1 :])
    low = min(starts) // step
    groups = max(starts) // step - low + count
    flat = _view(e, source, (outer, type_.shape[axis], inner))
    flat = _framed(e, flat, low * step, groups * step)
    split = _view(e, flat, (outer, groups, step, inner))
    taken = []
    for start in starts:
        begin, size = (0, start // step - low, start % step, 0), (outer, count, 1, inner)
        bounds = [e.graph.integers("begin", begin), e.graph.integers("size", size)]
        chosen = e.step("SLICE", [split, *bounds], "chosen", replace(type_, shape=size))
        taken.append(_view(e, chosen, (*type_.shape[:axis], count, *type_.shape[axis + 1 :])))
    return taken


def _view(e: Emission, source: int, shape: tuple[int, ...]) -> int:
    type_ = e.graph.type(source)
    if type_.shape == shape:
        return source
    out = e.scratch("view", replace(type_, shape=shape))
    reshape_to(e, source, out)
    return out


def _framed(e: Emission, source: int, start: int, length: int) -> int:
    """``length`` entries from ``start`` along the middle of three axes, zeros behind the last."""
    type_ = e.graph.type(source)
    outer, held, inner = type_.shape
    beyond = max(0, start + length - held)
    if beyond:
        widths = e.graph.integers("paddings", np.asarray([[0, 0], [0, beyond], [0, 0]]))
        type_ = replace(type_, shape=(outer, held + beyond, inner))
        source = e.step("PAD", [source, widths], "longer", type_)
    if type_.shape[1] == length:
        return source
    like = replace(type_, shape=(outer, length, inner))
    bounds = [e.graph.integers("begin", (0, start, 0)), e.graph.integers("size", like.shape)]
    return e.step("SLICE", [source, *bounds], "window", like)


def pad(e: Emission, node: Node) -> None:
    """PAD with real 0, or PADV2."""
    type_, value = e.in_type(node), float(node.attrs["value"])
    widths = e.graph.integers("paddings", np.stack([node.attrs["before"], node.attrs["after"]], axis=1))
    inputs = [e.index(node.inputs[0]), widths]
    filler = _filler(type_, value)
    zero = 0 if type_.quant is None else type_.quant.zero_point
    if filler == zero:
        e.graph.operator("PAD", inputs, [e.out(node)])
    else:
        inputs.append(e.graph.constant("padding_value", filler, type_.quant))
        e.graph.operator("PADV2", inputs, [e.out(node)])


def _filler(type_: TensorType, value: float) -> Array:
    if type_.quant is None:
        return np.asarray(value, type_.dtype)
    low, high = dtype_limits(type_)
    grid = np.rint(np.float32(value) / type_.quant.step) + type_.quant.zero_point
    return np.asarray(int(np.clip(grid, low, high)), type_.dtype)


def max_pool2d(e: Emission, node: Node) -> None:
    """MAX_POOL_2D; dilated windows as maxima of slices."""
    window = pool_window(e, node, tuple(node.attrs["dilation"]))
    value = None if _is_non_negative(e, node.inputs[0]) else _least(e.in_type(node))
    source, padding = padded(e, node, window, value, same=max(window.dilation) == 1)
    if max(window.dilation) > 1:
        _dilated_maximum(e, node, source, window)
        return
    e.graph.operator("MAX_POOL_2D", [source], [e.out(node)], pool_options(window, padding))


def pool_window(e: Emission, node: Node, dilation: tuple[int, ...] = (1, 1)) -> Window:
    """Geometry of a pooling node."""
    image, result = e.in_type(node).shape, e.out_type(node).shape
    return Window(
        (image[1], image[2]),
        (result[1], result[2]),
        tuple(node.attrs["kernel"]),
        tuple(node.attrs["stride"]),
        (int(dilation[0]), int(dilation[1])),
        tuple(node.attrs["pads"]),
    )


def pool_options(window: Window, padding: int) -> object:
    """Options of a pooling operator."""
    return schema.Pool2DOptionsT(
        padding=padding,
        strideH=window.stride[0],
        strideW=window.stride[1],
        filterHeight=window.kernel[0],
        filterWidth=window.kernel[1],
    )


def _least(type_: TensorType) -> Array:
    if type_.quant is None:
        return np.asarray(np.finfo(np.float32).min, np.float32)
    return np.asarray(dtype_limits(type_)[0], type_.dtype)


def _is_non_negative(e: Emission, name: str) -> bool:
    """Whether padding with real 0 can never win a maximum, which lets PAD replace PADV2."""
    type_ = e.program.type(name)
    if type_.quant is not None:
        return type_.quant.zero_point == dtype_limits(type_)[0]
    maker = e.program.producers().get(name)
    if maker is None:
        return False
    if maker.op in ("concat", "reshape", "permute", "slice", "max_pool2d", "resize_nearest", "dequantize"):
        return all(_is_non_negative(e, n) for n in maker.inputs)
    low = maker.attrs["low"] if maker.op == "clamp" else (maker.attrs.get("clamp") or (None, None))[0]
    return maker.op in _NON_NEGATIVE_OPS or (low is not None and low >= 0)


def _dilated_maximum(e: Emission, node: Node, source: int, window: Window) -> None:
    """Maximum over columns, then over rows, each of every n-th pixel."""
    for axis in (2, 1):
        source = _maximum_along(e, source, axis, window)
    reshape_to(e, source, e.out(node))


def _maximum_along(e: Emission, source: int, axis: int, window: Window) -> int:
    i = axis - 1
    like = replace(e.graph.type(source), shape=_with(e.graph.type(source).shape, axis, window.result[i]))
    best: int | None = None
    for tap in range(window.kernel[i]):
        start = tap * window.dilation[i]
        part = every_nth(e, source, axis, start, window.result[i], window.stride[i])
        best = part if best is None else e.step("MAXIMUM", [best, part], f"max_{axis}_{tap}", like)
    assert best is not None
    return best


def resize_nearest(e: Emission, node: Node) -> None:
    """Repeated pixels for whole factors (XNNPACK can), else RESIZE_NEAREST_NEIGHBOR, else two GATHERs."""
    image, size = e.in_type(node).shape[1:3], tuple(int(s) for s in node.attrs["size"])
    source = e.index(node.inputs[0])
    if all(o % i == 0 and o // i <= MOST_CONCAT_INPUTS for i, o in zip(image, size, strict=True)):
        _repeat(e, node, source, size[0] // image[0], size[1] // image[1])
        return
    if all(np.array_equal(_runtime_pixels(i, o), _pixels(i, o)) for i, o in zip(image, size, strict=True)):
        inputs = [source, e.graph.integers("size", size)]
        options = schema.ResizeNearestNeighborOptionsT()
        e.graph.operator("RESIZE_NEAREST_NEIGHBOR", inputs, [e.out(node)], options)
        return
    rows = e.graph.integers("rows", _pixels(image[0], size[0]))
    cols = e.graph.integers("cols", _pixels(image[1], size[1]))
    like = replace(e.out_type(node), shape=_with(e.in_type(node).shape, 1, size[0]))
    source = e.step("GATHER", [source, rows], "rows", like, schema.GatherOptionsT(axis=1))
    e.graph.operator("GATHER", [source, cols], [e.out(node)], schema.GatherOptionsT(axis=2))


def _repeat(e: Emission, node: Node, source: int, down: int, across: int) -> None:
    """Every pixel ``across`` times, then every row ``down`` times: a CONCATENATION with itself each."""
    type_ = e.in_type(node)
    batch, rows, cols, channels = type_.shape
    for count, outer, inner in (
        (across, batch * rows * cols, channels),
        (down, batch * rows, cols * across * channels),
    ):
        if count == 1:
            continue
        once = e.scratch("once", replace(type_, shape=(outer, inner)))
        reshape_to(e, source, once)
        like = replace(type_, shape=(outer, count * inner))
        options = schema.ConcatenationOptionsT(axis=1)
        source = e.step("CONCATENATION", [once] * count, "repeated", like, options)
    reshape_to(e, source, e.out(node))


def _with(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _pixels(image: int, size: int) -> Array:
    pixels: Array = np.arange(size) * image // size
    return pixels


def _runtime_pixels(image: int, size: int) -> Array:
    scale = np.float32(image) / np.float32(size)
    found = np.floor(np.arange(size, dtype=np.float32) * scale).astype(np.int64)
    return np.asarray(np.minimum(found, image - 1))


EMITTERS = {
    "embedding": embedding,
    "cast": cast,
    "whole": whole,
    "concat": concat,
    "reshape": reshape,
    "permute": permute,
    "slice": slice_,
    "pad": pad,
    "max_pool2d": max_pool2d,
    "resize_nearest": resize_nearest,
}
