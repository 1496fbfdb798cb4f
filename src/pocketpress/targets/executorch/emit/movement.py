"""Operators that move or compare values: pooling by maximum, concatenation, slices, padding, resizing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np

from pocketpress.core.program.ir import TensorType
from pocketpress.targets.executorch.emit.site import Emitter, Site
from pocketpress.targets.executorch.graph import INVALID_ID

_MAX_CONCAT = 5


def permute(site: Site) -> None:
    """Transpose."""
    transpose(site, site.value(0), site.attr("axes"), site.out_type, site.out)


def transpose(
    site: Site, source: int, axes: Sequence[int], type_: TensorType, target: int | None = None
) -> int:
    """Append a transpose; returns its output's id."""
    out = site.graph.new(type_) if target is None else target
    site.graph.node("XNNStaticTranspose", num_dims=len(axes), perm=list(axes), input_id=source, output_id=out)
    return out


def reshape(site: Site) -> None:
    """Same elements, new shape."""
    site.reshape(site.value(0), site.out_type, site.out)


def max_pool2d(site: Site) -> None:
    """Maximum over windows; a window of one pixel is a strided slice."""
    if tuple(site.attr("kernel")) == (1, 1):
        subsample(site)
        return
    site.graph.node(
        "XNNMaxPooling2d",
        **window(site),
        dilation_height=site.attr("dilation")[0],
        dilation_width=site.attr("dilation")[1],
        input_id=site.value(0),
        output_id=site.out,
    )


def window(site: Site) -> dict[str, Any]:
    """Fields that both poolings share, but for dilation."""
    top, left, bottom, right = site.attr("pads")
    return {
        "padding_top": top,
        "padding_right": right,
        "padding_bottom": bottom,
        "padding_left": left,
        "pooling_height": site.attr("kernel")[0],
        "pooling_width": site.attr("kernel")[1],
        "stride_height": site.attr("stride")[0],
        "stride_width": site.attr("stride")[1],
    }


def subsample(site: Site) -> None:
    """A pooling window of one pixel: every ``stride``-th pixel."""
    if any(site.attr("pads")):
        raise site.unsupported("a window of one pixel with padding", "remove the padding")
    value, type_ = site.value(0), site.type(0)
    for axis, stride in zip((1, 2), site.attr("stride"), strict=True):
        value, type_ = take(site, value, type_, axis, 0, site.out_type.shape[axis], stride)
    site.unary("XNNCopy", value, site.out_type, site.out)


def concat(site: Site) -> None:
    """Concatenate; more than five inputs are concatenated in groups."""
    axis = int(site.attr("axis")) % len(site.out_type.shape)
    parts = [(site.value(i), site.type(i).shape[axis]) for i in range(len(site.node.inputs))]
    join(site, parts, axis, site.out_type, site.out)


def join(
    site: Site, parts: list[tuple[int, int]], axis: int, type_: TensorType, target: int | None = None
) -> int:
    """Concatenate values, given with their size along ``axis``, to a value of ``type_``."""
    while len(parts) > _MAX_CONCAT:
        groups = [parts[i : i + _MAX_CONCAT] for i in range(0, len(parts), _MAX_CONCAT)]
        parts = [(join(site, g, axis, *_part(type_, axis, g)), sum(n for _, n in g)) for g in groups]
    if len(parts) == 1:
        return parts[0][0] if target is None else site.unary("XNNCopy", parts[0][0], type_, target)
    out = site.graph.new(type_) if target is None else target
    ids = [value for value, _ in parts] + [INVALID_ID] * (_MAX_CONCAT - len(parts))
    fields: dict[str, Any] = {f"input{i}_id": value for i, value in enumerate(ids, start=1)}
    site.graph.node(
        f"XNNConcatenate{len(parts)}",
        axis=axis,
        **fields,
        output_id=out,
    )
    return out


def _part(type_: TensorType, axis: int, group: list[tuple[int, int]]) -> tuple[TensorType]:
    return (_sized(type_, axis, sum(size for _, size in group)),)


def _sized(type_: TensorType, axis: int, size: int) -> TensorType:
    return replace(type_, shape=(*type_.shape[:axis], size, *type_.shape[axis + 1 :]))


def slice_(site: Site) -> None:
    """Window; steps are taken axis by axis, through a view that splits the axis."""
    starts, sizes, steps = site.attr("starts"), site.attr("sizes"), site.attr("steps")
    value, type_ = site.value(0), site.type(0)
    for axis, step in enumerate(steps):
        if step != 1:
            value, type_ = take(site, value, type_, axis, starts[axis], sizes[axis], step)
    offsets = [start if step == 1 else 0 for start, step in zip(starts, steps, strict=True)]
    cut(site, value, type_, offsets, sizes, site.out)


def cut(
    site: Site,
    value: int,
    type_: TensorType,
    offsets: Sequence[int],
    sizes: Sequence[int],
    target: int | None = None,
) -> int:
    """Append a slice of steps 1; returns its output's id."""
    cut = replace(type_, shape=tuple(sizes))
    if tuple(sizes) == type_.shape:
        return value if target is None else site.unary("XNNCopy", value, cut, target)
    out = site.graph.new(cut) if target is None else target
    site.graph.node(
        "XNNStaticSlice",
        num_dims=len(sizes),
        offsets=list(offsets),
        sizes=list(sizes),
        input_id=value,
        output_id=out,
    )
    return out


def take(
    site: Site, value: int, type_: TensorType, axis: int, start: int, count: int, step: int
) -> tuple[int, TensorType]:
    """Every ``step``-th entry: cut or pad to ``count * step``, view as (count, step), take the first."""
    shape = type_.shape
    span, left = count * step, shape[axis] - start
    offsets = [start if a == axis else 0 for a in range(len(shape))]
    held = _sized(type_, axis, min(span, left))
    value = cut(site, value, type_, offsets, held.shape)
    if left < span:
        value = _padded(site, value, _sized(type_, axis, span), axis, span - left)
    outer = int(np.prod(shape[:axis], dtype=np.int64))
    inner = int(np.prod(shape[axis + 1 :], dtype=np.int64))
    split = replace(type_, shape=(outer, count, step, inner))
    first = cut(site, site.reshape(value, split), split, (0, 0, 0, 0), (outer, count, 1, inner))
    taken = _sized(type_, axis, count)
    return site.reshape(first, taken), taken


def _padded(site: Site, value: int, type_: TensorType, axis: int, after: int) -> int:
    zeros = [0] * len(type_.shape)
    return pad_value(site, value, zeros, [after if a == axis else 0 for a in range(len(zeros))], 0.0, type_)


def pad(site: Site) -> None:
    """Constant padding, with the real value of the integer that the contract names."""
    value = float(site.attr("value"))
    if site.quantized:
        info, quant = np.iinfo(site.type(0).dtype), site.quant(0)
        integer = np.clip(np.rint(np.float32(value) / quant.step) + quant.zero_point, info.min, info.max)
        value = float(np.float32(integer - quant.zero_point) * quant.step)
    pad_value(site, site.value(0), site.attr("before"), site.attr("after"), value, site.out_type, site.out)


def pad_value(
    site: Site,
    source: int,
    before: Sequence[int],
    after: Sequence[int],
    value: float,
    type_: TensorType,
    target: int | None = None,
) -> int:
    """Append a padding with a real value; returns its output's id."""
    out = site.graph.new(type_) if target is None else target
    site.graph.node(
        "XNNStaticConstantPad",
        pre_paddings=list(before),
        post_paddings=list(after),
        padding_value=value,
        input_id=source,
        output_id=out,
    )
    return out


def resize_nearest(site: Site) -> None:
    """``out[i] = in[floor(i * in / out)]``: repeat runs of rows, then of columns, by concatenation."""
    value, type_ = site.value(0), site.type(0)
    for axis, size in zip((1, 2), site.attr("size"), strict=True):
        value, type_ = _repeat(site, value, type_, axis, size)
    site.unary("XNNCopy", value, site.out_type, site.out)


def _repeat(site: Site, value: int, type_: TensorType, axis: int, size: int) -> tuple[int, TensorType]:
    held = type_.shape[axis]
    sources = [i * held // size for i in range(size)]
    out = _sized(type_, axis, size)
    if size == held:
        return value, type_
    if held % size == 0:
        return take(site, value, type_, axis, 0, size, held // size)
    if size % held == 0:
        return _repeat_evenly(site, value, type_, axis, size // held), out
    rows = [
        (cut(site, value, type_, _at(axis, source), _sized(type_, axis, 1).shape), 1) for source in sources
    ]
    return join(site, rows, axis, out), out


def _at(axis: int, start: int) -> tuple[int, ...]:
    return tuple(start if a == axis else 0 for a in range(4))


def _repeat_evenly(site: Site, value: int, type_: TensorType, axis: int, times: int) -> int:
    shape = type_.shape
    outer = int(np.prod(shape[: axis + 1], dtype=np.int64))
    inner = int(np.prod(shape[axis + 1 :], dtype=np.int64))
    single = site.reshape(value, replace(type_, shape=(outer, 1, inner)))
    repeated = join(site, [(single, 1)] * times, 1, replace(type_, shape=(outer, times, inner)))
    return site.reshape(repeated, _sized(type_, axis, shape[axis] * times))


def runs(axes: Sequence[int]) -> list[list[int]]:
    """Consecutive axes grouped: (1, 2, 4) -> [[1, 2], [4]]."""
    indexed = list(enumerate(sorted(axes)))
    return [[axis for _, axis in group] for _, group in groupby(indexed, key=lambda pair: pair[1] - pair[0])]


EMITTERS: dict[str, Emitter] = {
    "permute": permute,
    "reshape": reshape,
    "max_pool2d": max_pool2d,
    "concat": concat,
    "slice": slice_,
    "pad": pad,
    "resize_nearest": resize_nearest,
}
