"""Parts of a tensor replaced by others, and constants of a tensor's shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pocketpress.sources.aten.bound import Bound, axis_of
from pocketpress.sources.aten.shapes import MAX_RUNS, emit_expanded, emit_slice


def slice_scatter(b: Bound) -> str:
    """aten::slice_scatter: a window of an axis replaced."""
    axis = axis_of(int(b["dim"]), len(b.out_shape))
    size = b.out_shape[axis]
    start = 0 if b["start"] is None else int(b["start"])
    start = max(start + size, 0) if start < 0 else min(start, size)
    end = size if b["end"] is None else int(b["end"])
    end = max(end + size, 0) if end < 0 else min(end, size)
    return _replaced(b, axis, range(start, end, int(b["step"])), b.tensor(b["src"], "written"))


def select_scatter(b: Bound) -> str:
    """aten::select_scatter: one index of an axis replaced."""
    axis = axis_of(int(b["dim"]), len(b.out_shape))
    index = axis_of(int(b["index"]), b.out_shape[axis])
    part = tuple(1 if i == axis else d for i, d in enumerate(b.out_shape))
    written = b.emit("reshape", [b.tensor(b["src"], "written")], part, last=False, shape=part)
    return _replaced(b, axis, range(index, index + 1), written)


def _replaced(b: Bound, axis: int, places: range, written: str) -> str:
    """The tensor with other elements at ``places`` of an axis: what lies between them, and they, joined."""
    size = b.out_shape[axis]
    if len(places) == size:
        return written
    if places.step != 1 and len(places) > MAX_RUNS // 2:
        raise b.refuse("writing into every so many elements", "join the parts with torch.stack")
    x = b.tensor(b["self"], "around")
    if b.builder.type(x).dtype != b.builder.type(written).dtype:
        raise b.refuse("writing of whole numbers among real ones", "make them real before, with .float()")
    blocks = [places] if places.step == 1 else [range(p, p + 1) for p in places]
    parts, done = [], 0
    for at, block in enumerate(block for block in blocks if len(block)):
        if block.start > done:
            parts.append(emit_slice(b, x, axis, done, block.start - done, last=False))
        offset = 0 if places.step == 1 else at
        whole = len(block) == b.shape(written)[axis]
        parts.append(written if whole else emit_slice(b, written, axis, offset, len(block), last=False))
        done = block.stop
    if done < size:
        parts.append(emit_slice(b, x, axis, done, size - done, last=False))
    return parts[0] if len(parts) == 1 else b.emit("concat", parts, b.out_shape, axis=axis)


def copy(b: Bound) -> Any:
    """aten::copy: the source in the shape of the destination."""
    source = b["src"]
    if not isinstance(source, str):
        return source.to(b.node.meta["val"].dtype).expand(b.out_shape).clone()
    if b.builder.type(source).dtype != "float32" or b.node.meta["val"].dtype is not torch.float32:
        raise b.refuse("copying of whole numbers", "keep the network in float32")
    return emit_expanded(b, source, b.out_shape)


def fill(b: Bound) -> Any:
    """aten::fill and what is like a computed tensor but constant: by its shape and type alone."""
    name = str(b.node.target).split(".")[1]
    value = b.args.get("value", b.args.get("fill_value", int("ones" in name)))
    if isinstance(value, str):
        raise b.refuse("filling with a computed number", "expand it")
    number = value.item() if isinstance(value, torch.Tensor) else value
    return torch.full(b.out_shape, number, dtype=b.node.meta["val"].dtype)


def written_input(b: Bound) -> str | None:
    """A write into an input of the network: what reads it afterwards reads what was written."""
    if not b.node.users:
        return None
    written = b.tensor(b["src"], "written")
    first = b.node.args[0]
    is_input = isinstance(first, torch.fx.Node) and first.op == "placeholder"
    if not is_input or b.builder.type(written) != b.builder.type(b["self"]):
        raise b.refuse("writing into a tensor", "compute a new one")
    return written


_CONSTANTS = ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "fill")

HANDLERS: dict[str, Callable[[Bound], Any]] = {
    **{f"aten::{name}": fill for name in _CONSTANTS},
    "aten::slice_scatter": slice_scatter,
    "aten::select_scatter": select_scatter,
    "aten::copy": copy,
    "aten::copy_": written_input,
}
