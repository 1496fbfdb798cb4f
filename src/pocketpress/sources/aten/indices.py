"""Whole numbers and truth values that depend on the input: token indices and masks.

A program computes on float32.  A truth value is a float32 that is 1 or 0.  Whole numbers of the caller keep
their dtype while they are moved and looked up; what is computed of them is float32 (`whole`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pocketpress.sources.aten.bound import WHOLE, Bound, axis_of
from pocketpress.sources.aten.comparisons import compare, emit_not
from pocketpress.sources.aten.elementwise import emit_binary
from pocketpress.sources.aten.places import emit_index, emit_rows, index_computed, select_computed
from pocketpress.sources.aten.shapes import MAX_RUNS, emit_gather, emit_slice, runs_of
from pocketpress.sources.aten.whole import emit_truncated

_WHOLE_TORCH = (torch.int32, torch.int64)


def embedding_bag(b: Bound) -> list[str | None]:
    """aten::embedding_bag of bags of one size: the mean or sum of their rows (`torch.nn.EmbeddingBag`)."""
    table, index, offsets, mode = b["weight"], b["indices"], b["offsets"], int(b["mode"])
    if not isinstance(table, torch.Tensor) or not isinstance(index, str):
        raise b.refuse("a bag of a table that is computed, or of known rows", "make the table a parameter")
    count, bags = b.shape(index)[0], b.shape(offsets)[0]
    starts = [0] if bags == 1 else offsets.tolist() if isinstance(offsets, torch.Tensor) else None
    size = count // bags
    if starts != list(range(0, count, size)) or b.args.get("include_last_offset"):
        raise b.refuse("bags of several sizes", "give bags of one size as (bags, words)")
    padding = b.args.get("padding_idx")
    if mode not in (0, 1) or b["per_sample_weights"] is not None or (padding is not None and padding >= 0):
        raise b.refuse("a bag with weights, padding or maxima", "use nn.Embedding and reduce its rows")
    width = table.shape[1]
    lines = b.emit("reshape", [index], (bags, size), last=False, shape=(bags, size))
    rows = emit_rows(b, b.tensor(table, "table"), emit_index(b, lines))
    found = b.emit("mean", [rows], (bags, width), last=mode == 1, axes=(1,), keepdims=False)
    return [found if mode == 1 else emit_binary(b, "mul", found, float(size)), None, None, None]


def to_dtype(b: Bound) -> str:
    """A cast to float32, to a truth value, or to whole numbers, which cuts off what is behind the point."""
    x, wanted = b.activation(), b.node.meta["val"].dtype
    whole = b.builder.type(x).dtype in WHOLE or b.dtypes.get("self") in _WHOLE_TORCH
    if wanted in _WHOLE_TORCH:
        return x if whole or b.is_truth("self") else emit_truncated(b, x)
    if wanted is torch.float32:
        return _real(b, x)
    if wanted is torch.bool and b.is_truth("self"):
        return x
    if wanted is torch.bool and whole:
        return _differs(b, x, 0)
    if wanted is torch.bool:
        return compare(b, "ne", x, 0)
    raise b.refuse(f"cast to {wanted}", "keep the network in float32")


def _real(b: Bound, x: str, *, last: bool = True) -> str:
    if b.builder.type(x).dtype not in WHOLE:
        return x
    return b.emit("cast", [x], b.shape(x), last=last, dtype="float32")


def _differs(b: Bound, x: str, number: float, *, last: bool = True) -> str:
    """1 where a whole number is another than ``number``, as min(|x - number|, 1)."""
    distance = _real(b, x, last=False)
    if number:
        distance = emit_binary(b, "add", distance, -float(number), last=False)
    size = b.emit("abs", [distance], b.shape(x), last=False)
    return b.emit("clamp", [size], b.shape(x), last=last, low=None, high=1.0)


def _compared(kind: str) -> Callable[[Bound], str]:
    """A comparison; of whole numbers, exact in float32 below 2^24, a difference, limited to 0 and 1."""

    def handler(b: Bound) -> str:
        left, right = _whole(b, b["self"]), _whole(b, b["other"])
        if left is None or right is None:
            return compare(b, kind, _comparable(b, b["self"]), _comparable(b, b["other"]))
        if kind in ("eq", "ne") and isinstance(right, (int, float)):
            differs = _differs(b, b["self"], right, last=kind == "ne")
            return emit_not(b, differs) if kind == "eq" else differs
        first, second = (right, left) if kind in ("lt", "le") else (left, right)
        distance = emit_binary(b, "sub", first, second, last=False)
        if kind in ("eq", "ne"):
            size = b.emit("abs", [distance], b.out_shape, last=False)
            differs = b.emit("clamp", [size], b.out_shape, last=kind == "ne", low=None, high=1.0)
            return emit_not(b, differs) if kind == "eq" else differs
        if kind in ("le", "ge"):
            distance = emit_binary(b, "add", distance, 1.0, last=False)
        return b.emit("clamp", [distance], b.out_shape, low=0.0, high=1.0)

    return handler


def _comparable(b: Bound, value: Any) -> Any:
    """A number, or a real tensor."""
    if isinstance(value, torch.Tensor):
        return value.item() if value.numel() == 1 else value.float()
    return _real(b, value, last=False) if isinstance(value, str) else value


def _whole(b: Bound, value: Any) -> Any:
    """A whole number, or whole numbers as a real tensor; None for others."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype in _WHOLE_TORCH else None
    if isinstance(value, str):
        return _real(b, value, last=False) if b.builder.type(value).dtype in WHOLE else None
    return value if isinstance(value, int) else None


def write(b: Bound) -> str:
    """aten::index_copy, and aten::index_put of one axis: the slice at a place that is computed is replaced.

    The place becomes a mask: 1 at the index, which is one whole number, and 0 elsewhere.
    """
    x, (axis, place), values = b.activation(), _place(b), b["source" if "source" in b.args else "values"]
    if not isinstance(place, str) or b.args.get("accumulate"):
        raise b.refuse("writing at places that are constant, or adding to them", "concatenate slices instead")
    if b.builder.type(place).elements != 1:
        raise b.refuse("writing at several places at once", "write at one index of the axis")
    if not isinstance(values, str) and not isinstance(values, torch.Tensor):
        raise b.refuse("writing of something that is no tensor")
    rank = len(b.shape(x))
    line = tuple(b.shape(x)[axis] if i == axis else 1 for i in range(rank))
    one = b.emit("reshape", [_real(b, place, last=False)], (1,) * rank, last=False, shape=(1,) * rank)
    distance = emit_binary(b, "add", one, -torch.arange(float(line[axis])).reshape(line), last=False)
    size = b.emit("abs", [distance], line, last=False)
    differs = b.emit("clamp", [size], line, last=False, low=None, high=1.0)
    kept = emit_binary(b, "mul", x, differs, last=False)
    return emit_binary(
        b, "add", kept, emit_binary(b, "mul", emit_not(b, differs, last=False), values, last=False)
    )


def index_add(b: Bound) -> str:
    """aten::index_add at constant places, as overlapping frames are summed.

    As many sums as elements fall on one place; each takes one more of them for every place of a run.
    """
    x, source, index = b.tensor(b["self"], "summed"), b.activation("source"), b["index"]
    if isinstance(index, str):
        raise b.refuse("adding at places that are computed", "add a product with a mask")
    axis = axis_of(int(b["dim"]), len(b.out_shape))
    added: list[list[int]] = [[] for _ in range(b.out_shape[axis])]
    for place, target in enumerate(index.reshape(-1).tolist()):
        added[target].append(place)
    levels = max(map(len, added))
    for level in range(levels):
        taken = [(target, places[level]) for target, places in enumerate(added) if len(places) > level]
        first, count = taken[0][0], taken[-1][0] - taken[0][0] + 1
        if count != len(taken):
            raise b.refuse("adding at places with gaps between them", "torch.cat of the parts, then a sum")
        part = emit_gather(b, source, axis, [place for _, place in taken], last=False)
        if b["alpha"] != 1:
            part = emit_binary(b, "mul", part, float(b["alpha"]), last=False)
        before = tuple(first if i == axis else 0 for i in range(len(b.out_shape)))
        after = tuple(b.out_shape[axis] - first - count if i == axis else 0 for i in range(len(before)))
        if any(before) or any(after):
            part = b.emit("pad", [part], b.out_shape, last=False, before=before, after=after, value=0.0)
        x = emit_binary(b, "add", x, part, last=level == levels - 1)
    return x


def _place(b: Bound) -> tuple[int, Any]:
    """The axis and the index of a write."""
    if "dim" in b.args:
        return axis_of(int(b["dim"]), len(b.shape(b["self"]))), b["index"]
    given = [(axis, i) for axis, i in enumerate(b["indices"]) if i is not None]
    if len(given) != 1:
        raise b.refuse("writing at indices of several axes", "write along one axis")
    return given[0]


def index(b: Bound) -> str:
    """aten::index by constant indices of one axis, or such that pick evenly spaced elements."""
    x, chosen = b.activation(), b["indices"]
    if any(isinstance(i, str) for i in chosen):
        return index_computed(b)
    given = [(axis, i) for axis, i in enumerate(chosen) if i is not None]
    if len(given) == 1 and given[0][1].ndim == 1:
        axis, places = given[0]
        return _selected(b, x, axis, places.nonzero()[:, 0] if places.dtype is torch.bool else places)
    picked = tuple(slice(None) if i is None else i for i in chosen)
    return _picked(b, x, _places(b, x)[picked])


def index_select(b: Bound) -> str:
    """aten::index_select by constant indices: a strided slice, or some slices joined."""
    x, chosen = b.activation(), b["index"]
    if isinstance(chosen, str):
        return select_computed(b)
    return _selected(b, x, axis_of(int(b["dim"]), len(b.shape(x))), chosen.reshape(-1))


def _selected(b: Bound, x: str, axis: int, chosen: torch.Tensor) -> str:
    places = (chosen % b.shape(x)[axis]).tolist()
    if not 1 <= len(runs_of(places)) <= MAX_RUNS:
        return _picked(b, x, _places(b, x).index_select(axis, chosen))
    return emit_gather(b, x, axis, places)


def _places(b: Bound, x: str) -> torch.Tensor:
    return torch.arange(b.builder.type(x).elements).reshape(b.shape(x))


def _picked(b: Bound, x: str, places: torch.Tensor) -> str:
    """The elements at ``places`` of the flat tensor, as a strided slice of it."""
    flat, size = places.reshape(-1).numpy(), b.builder.type(x).elements
    steps = set(np.diff(flat).tolist())
    if flat.size == 0 or len(steps) > 1 or min(steps, default=1) < 1:
        raise b.refuse("indices that are not evenly spaced", "slice instead")
    if flat.size < size:
        line = b.emit("reshape", [x], (size,), last=False, shape=(size,))
        x = emit_slice(b, line, 0, int(flat[0]), flat.size, int(min(steps, default=1)), last=False)
    return b.emit("reshape", [x], b.out_shape, shape=b.out_shape)


_OTHER_NAMES = {
    "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
}  # fmt: skip

HANDLERS: dict[str, Callable[[Bound], Any]] = {
    "aten::embedding_bag": embedding_bag,
    "aten::to": to_dtype,
    "aten::type_as": to_dtype,
    "aten::_to_copy": to_dtype,
    **{f"aten::{kind}": _compared(kind) for kind in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{f"aten::{name}": _compared(kind) for name, kind in _OTHER_NAMES.items()},
    **{f"aten::{name}": write for name in ("index_copy", "index_copy_", "index_put", "index_put_")},
    "aten::index": index,
    "aten::index_add": index_add,
    "aten::index_add_": index_add,
    "aten::index_select": index_select,
}
