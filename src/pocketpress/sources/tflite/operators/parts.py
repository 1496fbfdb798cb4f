"""Parts of tensors, and tensors made of parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.sources.steps.call import Call, Operator
from pocketpress.sources.tflite.operators.activation import NONE, activated
from pocketpress.sources.tflite.operators.layout import narrowed
from pocketpress.sources.tflite.operators.shapes import axis_of, required

REFLECT, SYMMETRIC = 0, 1
MOST_MIRRORED = 64
"""Rows that are mirrored one by one; torch reflects more of them."""


def _parts(call: Call) -> list[Tensor]:
    parts = [call.input(i) for i in range(max(1, len(call.inputs)))]
    call.bounded([sum(part.numel() for part in parts)])
    return parts


def _concatenation(call: Call) -> Tensor:
    parts = _parts(call)
    axis = axis_of(call, int(call.attribute("axis")), parts[0].ndim)
    return activated(call, torch.cat(parts, axis), allowed=(NONE,))  # LiteRT would ignore any other


def _pack(call: Call) -> Tensor:
    parts = _parts(call)
    return torch.stack(parts, axis_of(call, int(call.attribute("axis")), parts[0].ndim + 1))


def _unpack(call: Call) -> Sequence[Tensor]:
    axis = axis_of(call, int(call.attribute("axis")), call.x.ndim)
    if call.x.shape[axis] != call.outputs:
        raise call.refuse("outputs", call.outputs, f"the {call.x.shape[axis]} of the axis")
    return call.x.unbind(axis)


def _split(call: Call) -> Sequence[Tensor]:
    """Axis first, then the tensor: into equal parts."""
    (axis,), x = required(call, 0, "axis"), call.input(1)
    axis = axis_of(call, axis, x.ndim)
    if x.shape[axis] % call.outputs:
        raise call.refuse("parts", call.outputs, f"a divisor of {x.shape[axis]}")
    return torch.split(x, x.shape[axis] // call.outputs, axis)


def _split_by_sizes(call: Call) -> Sequence[Tensor]:
    sizes, (axis,) = required(call, 1, "sizes"), required(call, 2, "axis")
    axis = axis_of(call, axis, call.x.ndim)
    rest = call.x.shape[axis] - sum(size for size in sizes if size != -1)
    return torch.split(call.x, [rest if size == -1 else size for size in sizes], axis)


def _slice(call: Call) -> Tensor:
    x = call.x
    begins, sizes = required(call, 1, "begin"), required(call, 2, "size")
    for axis, (begin, size) in enumerate(zip(begins, sizes, strict=True)):
        length = x.shape[axis] - begin if size == -1 else size
        if (begin, length) != (0, x.shape[axis]):
            x = narrowed(call, x, axis, begin, length)
    return x


def _strided_slice(call: Call) -> Tensor:
    """The five masks of TensorFlow's strided_slice, as an index of NumPy's kind."""
    begins, ends, steps = (required(call, i, "bounds") for i in (1, 2, 3))
    begin_mask, end_mask, ellipsis, new, shrink = (
        int(call.attribute(f"{name}Mask")) for name in ("begin", "end", "ellipsis", "newAxis", "shrinkAxis")
    )
    x, axis = call.x, 0
    rows = list(zip(begins, ends, steps, strict=True))
    for position, (begin, end, step) in enumerate(rows):
        bit = 1 << position
        if ellipsis & bit:
            rest = [i for i in range(position + 1, len(rows)) if not new & (1 << i)]
            axis = max(axis, x.ndim - len(rest))
        elif new & bit:
            x, axis = x.unsqueeze(axis), axis + 1
        elif shrink & bit:
            x = x.select(axis, begin)
        else:
            if call.attribute("offset"):
                end += begin
            first = None if begin_mask & bit else begin
            x = _window(x, axis, slice(first, None if end_mask & bit else end, step))
            axis += 1
    return x


def _window(x: Tensor, axis: int, window: slice) -> Tensor:
    chosen = range(x.shape[axis])[window]
    if chosen.step < 0:
        return x.index_select(axis, torch.tensor(list(chosen), dtype=torch.int64))
    stop = chosen[-1] + 1 if len(chosen) else chosen.start
    return x[(*[slice(None)] * axis, slice(chosen.start, stop, chosen.step))]


def _sides(call: Call) -> list[tuple[int, int]]:
    pads = call.array(1, "paddings")
    if pads is None or pads.shape != (call.x.ndim, 2) or (pads < 0).any():
        raise call.refuse("paddings", None if pads is None else pads.tolist(), f"{call.x.ndim} pairs")
    sides = [(int(before), int(after)) for before, after in pads]
    call.bounded([size + sum(side) for size, side in zip(call.x.shape, sides, strict=True)])
    return sides


def _pad(call: Call) -> Tensor:
    value = call.number(2, "value") or 0.0
    flat = [amount for side in reversed(_sides(call)) for amount in side]
    return F.pad(call.x, flat, value=value if call.x.is_floating_point() else int(value))


def _mirror_pad(call: Call) -> Tensor:
    """Rows of the border in reverse; REFLECT leaves out the border's own row."""
    mode = int(call.attribute("mode"))
    if mode not in (REFLECT, SYMMETRIC):
        raise call.refuse("mode", mode, [REFLECT, SYMMETRIC])
    x, skipped = call.x, 1 if mode == REFLECT else 0
    for axis, (before, after) in enumerate(_sides(call)):
        size = x.shape[axis]
        most = size - skipped if mode == REFLECT else min(size - skipped, MOST_MIRRORED)
        if max(before, after) > most:
            raise call.refuse("paddings", (before, after), f"at most {most}")
        if max(before, after) > MOST_MIRRORED:
            rows = F.pad(x.movedim(axis, -1).reshape(1, -1, size), [before, after], mode="reflect")
            moved = [*x.shape[:axis], *x.shape[axis + 1 :], rows.shape[-1]]
            x = rows.reshape(moved).movedim(-1, axis)
            continue
        front = [narrowed(call, x, axis, skipped + i, 1) for i in reversed(range(before))]
        back = [narrowed(call, x, axis, size - 1 - skipped - i, 1) for i in range(after)]
        x = torch.cat([*front, x, *back], axis) if front or back else x
    return x


def _gather(call: Call) -> Tensor:
    if int(call.attribute("batchDims")):
        raise call.refuse("batchDims", call.attribute("batchDims"), 0)
    axis = axis_of(call, int(call.attribute("axis")), call.x.ndim)
    known = call.known.get(1)
    if known is not None and known.ndim == 0:
        return call.x.select(axis, int(known))
    indices = call.input(1).long()
    if axis == 0 and call.x.ndim == 2 and known is None:
        return F.embedding(indices, call.x)
    rows = _rows(call.x, axis, known) if known is not None else None
    flat = call.x.index_select(axis, indices.reshape(-1)) if rows is None else rows
    return flat.reshape([*call.x.shape[:axis], *indices.shape, *call.x.shape[axis + 1 :]])


def _rows(x: Tensor, axis: int, known: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Tensor | None:
    """Rows in a row are a window, which every runtime has."""
    listed = known.reshape(-1)
    steps = np.unique(np.diff(listed))
    if listed.size < 2 or len(steps) != 1 or steps[0] < 1 or not 0 <= listed[0] <= listed[-1] < x.shape[axis]:
        return None
    return _window(x, axis, slice(int(listed[0]), int(listed[-1]) + 1, int(steps[0])))


def _look_up(call: Call) -> Tensor:
    """EMBEDDING_LOOKUP: indices first, then the table."""
    return F.embedding(call.x.long(), call.input(1))


def _one_hot(call: Call) -> Tensor:
    (depth,) = required(call, 1, "depth")
    call.bounded([call.x.numel(), depth])
    axis = int(call.attribute("axis"))
    hits = call.x.unsqueeze(-1) == torch.arange(depth)
    found = torch.where(hits, call.input(2), call.input(3))
    return found if axis == -1 else found.movedim(-1, axis_of(call, axis, found.ndim))


def _space_to_batch(call: Call) -> Tensor:
    block, pads = required(call, 1, "block"), call.array(2, "paddings")
    if call.x.ndim != 4 or len(block) != 2 or min(block) < 1 or pads is None or pads.shape != (2, 2):
        raise call.refuse("block", block, "two numbers, of an image")
    (top, bottom), (left, right) = pads.tolist()
    call.bounded([*call.x.shape[::3], call.x.shape[1] + top + bottom, call.x.shape[2] + left + right])
    x = F.pad(call.x, [0, 0, left, right, top, bottom])
    n, h, w, c = x.shape
    high, wide = block
    cut = x.reshape(n, h // high, high, w // wide, wide, c).permute(2, 4, 0, 1, 3, 5)
    return cut.reshape(n * high * wide, h // high, w // wide, c)


def _batch_to_space(call: Call) -> Tensor:
    block, crops = required(call, 1, "block"), call.array(2, "crops")
    if call.x.ndim != 4 or len(block) != 2 or min(block) < 1 or crops is None or crops.shape != (2, 2):
        raise call.refuse("block", block, "two numbers, of an image")
    high, wide = block
    n, h, w, c = call.x.shape
    whole = call.x.reshape(high, wide, n // (high * wide), h, w, c).permute(2, 3, 0, 4, 1, 5)
    y = whole.reshape(n // (high * wide), h * high, w * wide, c)
    (top, bottom), (left, right) = crops.tolist()
    y = narrowed(call, y, 1, top, h * high - top - bottom)
    return narrowed(call, y, 2, left, w * wide - left - right)


TABLE: dict[str, Operator] = {
    "BATCH_TO_SPACE_ND": _batch_to_space,
    "CONCATENATION": _concatenation,
    "EMBEDDING_LOOKUP": _look_up,
    "GATHER": _gather,
    "MIRROR_PAD": _mirror_pad,
    "ONE_HOT": _one_hot,
    "PACK": _pack,
    "PAD": _pad,
    "PADV2": _pad,
    "REVERSE_V2": lambda call: call.x.flip(required(call, 1, "axes")),
    "SLICE": _slice,
    "SPACE_TO_BATCH_ND": _space_to_batch,
    "SPLIT": _split,
    "SPLIT_V": _split_by_sizes,
    "STRIDED_SLICE": _strided_slice,
    "UNPACK": _unpack,
}
