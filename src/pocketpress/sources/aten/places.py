"""Places: of the largest numbers, and what lies at places that are computed."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch

from pocketpress.sources.aten.bound import Bound, axis_of
from pocketpress.sources.aten.comparisons import emit_not, emit_step
from pocketpress.sources.aten.elementwise import emit_binary
from pocketpress.sources.aten.pooling import check_filled, emit_max, extreme
from pocketpress.sources.aten.shapes import emit_permute
from pocketpress.sources.aten.whole import EXACT, reach

MOST_LARGEST = 32
"""Numbers that topk and sort find one after the other."""
TAKEN = float(torch.finfo(torch.float32).min)
"""What stands in for a number that was found."""


def emit_place(b: Bound, x: str, axis: int, *, keep: bool, least: bool = False, last: bool = True) -> str:
    """Append the place of the largest (or least) number along an axis, of equal ones the first."""
    x = b.real(x)
    check_filled(b, x)
    shape = b.shape(x)
    if least:
        x = b.emit("neg", [x], shape, last=False)
    out = tuple(1 if i == axis else d for i, d in enumerate(shape) if keep or i != axis)
    return b.emit("argmax", [x], out, last=last, axis=axis, keepdims=keep)


def _place(*, least: bool) -> Callable[[Bound], str]:
    """aten::argmax and aten::argmin; without an axis, the place among all numbers."""

    def handler(b: Bound) -> str:
        x, dim, keep = b.activation(), b["dim"], bool(b["keepdim"])
        if dim is not None and b.shape(x):
            return emit_place(b, x, axis_of(int(dim), len(b.shape(x))), keep=keep, least=least)
        flat = (b.builder.type(x).elements,)
        line = b.emit("reshape", [x], flat, last=False, shape=flat)
        place = emit_place(b, line, 0, keep=True, least=least, last=False)
        return b.emit("reshape", [place], b.out_shape, shape=b.out_shape)

    return handler


def _is_read(b: Bound, index: int) -> bool:
    """Whether somebody reads a result of a call that has several."""
    return any(
        user.args[1] == index and user.users for user in b.node.users if user.target is operator.getitem
    )


def extreme_with_place(b: Bound, *, least: bool) -> tuple[str | None, str | None]:
    """aten::max and aten::min along an axis: the number and its place, as far as they are read."""
    x, keep = b.real(b.activation()), bool(b["keepdim"])
    axis, value, place = axis_of(int(b["dim"]), len(b.shape(x))), None, None
    if _is_read(b, 0) or not _is_read(b, 1):
        value = emit_max(b, x, [axis], least=least)
        value = b.emit("reshape", [value], b.out_shape, shape=b.out_shape)
    if _is_read(b, 1):
        place = emit_place(b, x, axis, keep=keep, least=least)
    return value, place


def _max_or_min(*, least: bool) -> Callable[[Bound], Any]:
    """aten::max and aten::min: of two tensors, of one, or along an axis."""

    def handler(b: Bound) -> Any:
        if "other" in b.args:
            return emit_binary(b, "minimum" if least else "maximum", b["self"], b["other"])
        return extreme_with_place(b, least=least) if "dim" in b.args else extreme(least=least)(b)

    return handler


def largest(b: Bound) -> tuple[str, str]:
    """aten::topk of a constant number: the largest, then the largest of what is left, and so on."""
    return _found_in_order(b, int(b["k"]), least=not b["largest"])


def in_order(b: Bound) -> tuple[str, str]:
    """aten::sort of few numbers; equal ones keep their order."""
    x = b.activation()
    size = b.shape(x)[axis_of(int(b["dim"]), len(b.shape(x)))] if b.shape(x) else 1
    return _found_in_order(b, size, least=not b["descending"])


def places_in_order(b: Bound) -> str:
    """aten::argsort of few numbers."""
    return in_order(b)[1]


def _found_in_order(b: Bound, count: int, *, least: bool) -> tuple[str, str]:
    x = b.real(b.activation())
    if not b.shape(x):
        raise b.refuse("the largest of a single number", "leave it out")
    if not 1 <= count <= MOST_LARGEST:
        raise b.refuse(
            f"{count} numbers in order, 1 to {MOST_LARGEST} are found one after the other",
            "let the network end before it and compute it from the outputs",
        )
    shape, axis = b.shape(x), axis_of(int(b["dim"]), len(b.shape(x)))
    if least:
        x = b.emit("neg", [x], shape, last=False)
    line = torch.arange(shape[axis]).float().reshape([-1 if i == axis else 1 for i in range(len(shape))])
    numbers, places = [], []
    for found in range(count):
        numbers.append(emit_max(b, x, [axis]))
        places.append(emit_place(b, x, axis, keep=True, last=False))
        if found + 1 < count:
            apart = b.emit("abs", [emit_binary(b, "sub", places[-1], line, last=False)], shape, last=False)
            left = emit_step(b, apart, last=False)
            kept = emit_binary(b, "mul", x, left, last=False)
            gone = emit_binary(b, "mul", emit_not(b, left, last=False), TAKEN, last=False)
            x = emit_binary(b, "add", kept, gone, last=False)
    value, place = (_joined(b, parts, axis) for parts in (numbers, places))
    return (b.emit("neg", [value], b.shape(value)) if least else value), place


def _joined(b: Bound, parts: list[str], axis: int) -> str:
    if len(parts) == 1:
        return parts[0]
    shape = tuple(len(parts) if i == axis else d for i, d in enumerate(b.shape(parts[0])))
    return b.emit("concat", parts, shape, axis=axis)


def emit_index(b: Bound, value: Any, *, last: bool = False) -> str:
    """Whole numbers as the rows of a table: as they are given, or int32 of real ones."""
    if isinstance(value, torch.Tensor):
        return b.builder.constant(f"{b.node.name}_index", value.to(torch.int32).numpy())
    if b.builder.type(value).dtype != "float32":
        return str(value)
    return b.emit("whole", [value], b.shape(value), last=last, dtype="int32")


def emit_rows(b: Bound, table: str, index: str, *, last: bool = False) -> str:
    """Append rows of ``table``, which has two axes."""
    shape = (*b.shape(index), b.shape(table)[1])
    return b.emit("embedding", [index, table], shape, last=last, dtype="float32")


def embedding(b: Bound) -> str:
    """aten::embedding: rows of a table that is constant or computed."""
    table, index = b.tensor(b["weight"], "table"), b["indices"]
    if len(b.shape(table)) != 2:
        raise b.refuse(f"embedding in a table of {len(b.shape(table))} axes", "make it two")
    return emit_rows(b, b.real(table), emit_index(b, index), last=True)


def _reals(b: Bound, value: Any, stem: str) -> str:
    """A tensor to look up in, in float32."""
    if isinstance(value, torch.Tensor):
        return b.tensor(value.float(), stem)
    return b.real(value)


def _from_the_end(b: Bound, index: Any, size: int) -> Any:
    """Places of which negative ones count from the end, as places that are not negative."""
    if isinstance(index, torch.Tensor):
        return torch.where(index < 0, index + size, index)
    if b.builder.type(index).dtype != "float32" or reach(b.builder, index)[0] >= 0:
        return index  # what the caller gives is held to the rows of the table
    opposite = b.emit("neg", [index], b.shape(index), last=False)
    negative = emit_step(b, opposite, last=False)
    return emit_binary(b, "add", index, emit_binary(b, "mul", negative, float(size), last=False), last=False)


def emit_taken(b: Bound, x: str, axes: Sequence[int], index: Any, at: int) -> str:
    """Append what lies at ``index`` among some axes as one; the axes of ``index`` come to place ``at``."""
    shape = b.shape(x)
    if math.prod(shape) > EXACT:
        raise b.refuse(f"computed places among {math.prod(shape)} numbers", "look up in less")
    rest = [i for i in range(len(shape)) if i not in axes]
    order = (*axes, *rest)
    if order != tuple(range(len(shape))):
        x = emit_permute(b, x, order, last=False)
    flat = (math.prod(shape[a] for a in axes), math.prod(shape[a] for a in rest))
    table = x if b.shape(x) == flat else b.emit("reshape", [x], flat, last=False, shape=flat)
    rows = emit_rows(b, table, emit_index(b, index))
    chosen = b.shape(rows)[:-1]
    full = (*chosen, *(shape[a] for a in rest))
    if full != b.shape(rows):
        rows = b.emit("reshape", [rows], full, last=False, shape=full)
    if not at:
        return b.emit("reshape", [rows], b.out_shape, shape=b.out_shape)
    back = (
        *range(len(chosen), len(chosen) + at), *range(len(chosen)), *range(len(chosen) + at, len(full)),
    )  # fmt: skip
    moved = emit_permute(b, rows, back, last=False)
    return b.emit("reshape", [moved], b.out_shape, shape=b.out_shape)


def select_computed(b: Bound) -> str:
    """aten::index_select by a computed index."""
    x = _reals(b, b["self"], "table")
    axis = axis_of(int(b["dim"]), len(b.shape(x)))
    return emit_taken(b, x, [axis], b["index"], axis)


def index_computed(b: Bound) -> str:
    """aten::index by indices of which some are computed: neighbouring axes are looked up as one."""
    x, chosen = _reals(b, b["self"], "table"), list(b["indices"])
    if any(_is_truth(value, b) for value in chosen):
        raise b.refuse("selection by a computed mask", "multiply by it: shapes must not depend on numbers")
    axes = [axis for axis, index in enumerate(chosen) if index is not None]
    together = axes == list(range(axes[0], axes[0] + len(axes)))
    flat: Any = None
    for axis in axes:
        place = _from_the_end(b, chosen[axis], b.shape(x)[axis])
        if flat is None:
            flat = place
            continue
        flat = emit_binary(b, "mul", _number_of(b, flat), float(b.shape(x)[axis]), last=False)
        flat = emit_binary(b, "add", flat, place, last=False)
    return emit_taken(b, x, axes, flat, axes[0] if together else 0)


def _number_of(b: Bound, value: Any) -> str:
    return b.tensor(value.float()) if isinstance(value, torch.Tensor) else str(value)


def _is_truth(value: Any, b: Bound) -> bool:
    if isinstance(value, torch.Tensor):
        return value.dtype is torch.bool
    nodes = [n for n in b.node.args[1] if n is not None]  # type: ignore[union-attr]
    made = [n for n in nodes if isinstance(n, torch.fx.Node) and n.meta["val"].dtype is torch.bool]
    return value is not None and bool(made)


def gather(b: Bound) -> str:
    """aten::gather: for every place of the index its number along an axis, all axes looked up as one."""
    x, index = _reals(b, b["self"], "table"), b["index"]
    shape, found = b.shape(x), b.shape(index)
    if math.prod(shape) > EXACT:
        raise b.refuse(f"computed places among {math.prod(shape)} numbers", "look up in less")
    axis = axis_of(int(b["dim"]), len(shape))
    strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    others = [torch.arange(size) * (0 if i == axis else strides[i]) for i, size in enumerate(found)]
    start = sum(
        (line.reshape([-1 if j == i else 1 for j in range(len(found))]) for i, line in enumerate(others)),
        start=torch.zeros((), dtype=torch.int64),
    )
    if isinstance(index, torch.Tensor):
        flat: Any = index * strides[axis] + start
    else:
        scaled = emit_binary(b, "mul", index, float(strides[axis]), last=False)
        flat = emit_binary(b, "add", scaled, start.float(), last=False)
    line = (math.prod(shape), 1)
    table = b.emit("reshape", [x], line, last=False, shape=line)
    rows = emit_rows(b, table, emit_index(b, flat))
    return b.emit("reshape", [rows], b.out_shape, shape=b.out_shape)


HANDLERS: dict[str, Callable[[Bound], Any]] = {
    "aten::argmax": _place(least=False),
    "aten::argmin": _place(least=True),
    "aten::max": _max_or_min(least=False),
    "aten::min": _max_or_min(least=True),
    "aten::embedding": embedding,
    "aten::gather": gather,
    "aten::topk": largest,
    "aten::sort": in_order,
    "aten::argsort": places_in_order,
}
