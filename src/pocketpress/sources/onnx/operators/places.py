"""Places: triangles, running sums, writing and reading at computed positions.

Exporters use them for masks and positions, mostly of constants; with activations they become products,
slices and choices, which every runtime has.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.sources.onnx.operators.elementwise import DTYPES
from pocketpress.sources.steps.call import Call, Known, Operator

COMBINED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add, "mul": torch.mul, "max": torch.maximum, "min": torch.minimum
}  # fmt: skip
"""What ScatterND makes of a place and what is written there."""
MOST_TURNS = 32
"""Writes to one place, which follow one another."""
MOST_LARGEST = 32
"""Numbers that TopK finds one after the other."""


def _triangle(call: Call) -> Tensor:
    rows, columns = call.x.shape[-2:]
    diagonal = int(call.number(1, "k") or 0)
    lower = torch.ones(call.bounded([rows, columns]), dtype=torch.bool)
    upper = bool(call.attribute("upper", 1))
    kept = torch.triu(lower, diagonal) if upper else torch.tril(lower, diagonal)
    return torch.where(kept, call.x, torch.zeros((), dtype=call.x.dtype))


def _running_sum(call: Call) -> Tensor:
    axis = int(call.number(1, "axis") or 0)
    flipped, exclusive = bool(call.attribute("reverse", 0)), bool(call.attribute("exclusive", 0))
    if 0 in call.known and not flipped and not exclusive:
        return torch.cumsum(call.x, axis, dtype=call.x.dtype)
    size = call.x.shape[axis]
    places = torch.arange(math.prod(call.bounded([size, size])) // max(1, size))
    ahead = places[None, :] - places[:, None]  # of the place read over the place written
    shares = (
        (ahead < 0 if exclusive else ahead <= 0) if not flipped else (ahead > 0 if exclusive else ahead >= 0)
    )
    order = list(range(call.x.ndim))  # its own inverse, once the axis and the last are exchanged
    order[axis], order[-1] = order[-1], order[axis]
    sums = F.linear(call.x.float().permute(order), shares.float()).permute(order)
    return sums if call.x.is_floating_point() else sums.to(call.x.dtype)


def _identity_like(call: Call) -> Tensor:
    rows, columns = call.bounded(list(call.x.shape))
    kind = int(call.attribute("dtype", 0))
    if kind and kind not in DTYPES:
        raise call.refuse("type", kind, sorted(DTYPES))
    ones = torch.ones(rows, columns, dtype=DTYPES[kind] if kind else call.x.dtype)
    diagonal = int(call.attribute("k", 0))
    return torch.triu(torch.tril(ones, diagonal), diagonal)


def _nonzero(call: Call) -> Tensor:
    x = call.array(0, "places")
    return torch.from_numpy(np.array(np.nonzero(np.asarray(x)), np.int64))


def _one_hot(call: Call) -> Tensor:
    depth, values = call.number(1, "depth"), call.array(2, "values")
    if depth is None or values is None or values.size != 2:
        raise call.refuse("depth and values", (depth, values), "a number and two values")
    axis, size = int(call.attribute("axis", -1)), int(depth)
    call.bounded([size, size])
    off, on = (float(v) for v in values.reshape(-1))
    table = torch.full((size, size), off)
    table.fill_diagonal_(on)
    indices = call.x.long()
    if 0 in call.known:
        found = table[torch.where(indices < 0, indices + size, indices)]
    else:
        found = F.embedding(indices, table)
    return found.movedim(-1, axis).to(torch.from_numpy(np.array(values)).dtype)


def _flat(call: Call, indices: Known, sizes: list[int]) -> Known:
    """Positions among the first axes as one axis, by (..., axes) indices."""
    known = np.asarray(indices, np.int64)
    known = np.where(known < 0, known + np.asarray(sizes), known)
    if known.size and (known.min() < 0 or bool((known >= np.asarray(sizes)).any())):
        raise call.refuse("indices", known.min(), f"below {sizes}")
    flat: Known = np.asarray(np.ravel_multi_index(tuple(np.moveaxis(known, -1, 0)), sizes))
    return flat


def _gather_nd(call: Call) -> Tensor:
    indices, batch = call.array(1, "indices"), int(call.attribute("batch_dims", 0))
    if indices is None:
        raise call.refuse("indices", None, "an array")
    if batch:  # the places of the batch become indices too
        own = np.moveaxis(np.indices(indices.shape[:-1])[:batch], 0, -1)
        indices = np.concatenate([own, indices], -1)
    count = indices.shape[-1]
    flat = _flat(call, indices, list(call.x.shape[:count]))
    rest = list(call.x.shape[count:])
    rows = call.x.reshape(-1, *rest)
    found = rows.index_select(0, torch.from_numpy(np.ascontiguousarray(flat.reshape(-1))))
    return found.reshape(*flat.shape, *rest)


def _box(indices: Known, sizes: list[int]) -> list[range] | None:
    """The range of every first axis when (..., axes) indices, in order, are a box's; else None."""
    known = np.asarray(indices, np.int64).reshape(-1, len(sizes))
    known = np.where(known < 0, known + np.asarray(sizes), known)
    ranges = []
    for places in known.T:
        found = np.unique(places)
        step = int(found[1] - found[0]) if len(found) > 1 else 1
        ranges.append(range(int(found[0]), int(found[-1]) + 1, step))
    if math.prod(len(r) for r in ranges) != len(known):
        return None
    whole = np.stack(np.meshgrid(*[np.asarray(r) for r in ranges], indexing="ij"), -1).reshape(known.shape)
    return ranges if bool((whole == known).all()) else None


def _interleaved(x: Tensor, new: Tensor, axis: int, step: int) -> Tensor:
    """``x`` with ``new`` in the first of every ``step`` places of an axis, all of whole steps."""
    before, count, after = math.prod(x.shape[:axis]), new.shape[axis], math.prod(x.shape[axis + 1 :])
    others = x.reshape(before, count, step, after).narrow(2, 1, step - 1)
    return torch.cat([new.reshape(before, count, 1, after), others], 2).reshape(x.shape)


def _replaced(x: Tensor, new: Tensor, box: list[range], axis: int = 0) -> Tensor:
    """``x`` with ``new`` in a box of its first axes: what lies around it, and it, joined axis by axis."""
    while axis < len(box) and len(box[axis]) == x.shape[axis]:
        axis += 1
    if axis == len(box):
        return new
    start, step, count, size = box[axis].start, box[axis].step, len(box[axis]), x.shape[axis]
    touched = x.narrow(axis, start, count) if step == 1 else _every(x, axis, box[axis])
    written = _replaced(touched, new, box, axis + 1)
    parts = [x.narrow(axis, 0, start)]
    if step == 1:
        parts.append(written)
        done = start + count
    else:
        whole = min(count, (size - start) // step)  # the last place may have fewer than a step behind it
        done = start + whole * step
        if whole:
            kept = x.narrow(axis, start, whole * step)
            parts.append(_interleaved(kept, written.narrow(axis, 0, whole), axis, step))
        if whole < count:
            parts.append(written.narrow(axis, whole, 1))
            done += 1
    parts.append(x.narrow(axis, done, size - done))
    return torch.cat([part for part in parts if part.shape[axis]], axis)


def _every(x: Tensor, axis: int, places: range) -> Tensor:
    return x[(slice(None),) * axis + (slice(places.start, places.stop, places.step),)]


def _scatter_nd(call: Call) -> Tensor:
    """New rows at constant places, or rows that are combined with them, as often as one is named."""
    x, updates, indices = call.x, call.input(2), call.array(1, "indices")
    reduction = call.attribute("reduction", "none")
    if indices is None or reduction not in ("none", *COMBINED):
        raise call.refuse("reduction", reduction, ["none", *COMBINED])
    if reduction == "none":
        return _put(call, x, indices, updates)
    count = indices.shape[-1]
    rest = list(x.shape[count:])
    places, new = indices.reshape(-1, count), updates.reshape(-1, *rest)
    rows = _flat(call, places, list(x.shape[:count]))
    turns: list[list[int]] = []
    named: dict[int, int] = {}
    for position, row in enumerate(rows.tolist()):
        named[row] = named.get(row, 0) + 1
        if named[row] > len(turns):
            turns.append([])
        turns[named[row] - 1].append(position)
    if len(turns) > MOST_TURNS:
        raise call.refuse("indices that name one place", len(turns), f"at most {MOST_TURNS}")
    for positions in turns:
        old = x.reshape(-1, *rest).index_select(0, torch.from_numpy(rows[positions]))
        added = new.index_select(0, torch.tensor(positions))
        x = _put(call, x, places[positions], COMBINED[reduction](old, added))
    return x


def _put(call: Call, x: Tensor, indices: Known, updates: Tensor) -> Tensor:
    """Places that form a box, as x[:, 2:4] = y writes, are put between what lies around them.

    Other rows are added by a constant product.
    """
    count = indices.shape[-1]
    flat = _flat(call, indices, list(x.shape[:count])).reshape(-1)
    rest = list(x.shape[count:])
    rows, new = x.reshape(-1, *rest), updates.reshape(-1, *rest)
    if not len(flat):
        return x
    if len(flat) == 1 or bool((np.diff(flat) == 1).all()):
        parts = [rows[: int(flat[0])], new, rows[int(flat[-1]) + 1 :]]
        return torch.cat([part for part in parts if part.shape[0]]).reshape(x.shape)
    if 0 in call.known and 2 in call.known:
        return rows.index_copy(0, torch.from_numpy(flat), new).reshape(x.shape)
    box = _box(indices, list(x.shape[:count]))
    if box is not None:
        return _replaced(x, updates.reshape([*map(len, box), *rest]), box)
    if not x.is_floating_point():
        raise call.refuse("indices of integers", "scattered", "neighbours")
    call.bounded([rows.shape[0], len(flat)])
    chosen = {int(row): position for position, row in enumerate(flat)}  # of equal rows the last is written
    places = torch.zeros(rows.shape[0], len(flat))
    places[list(chosen), list(chosen.values())] = 1
    kept = (1 - places.sum(1)).reshape(-1, *[1] * len(rest))
    put = torch.matmul(places, new.reshape(len(flat), -1)).reshape(rows.shape)
    return (rows * kept + put).reshape(x.shape)


def _reversed_sequences(call: Call) -> Tensor:
    """Of every sample the first numbers of a constant count, from the last to the first."""
    batch, time = int(call.attribute("batch_axis", 1)), int(call.attribute("time_axis", 0))
    lengths = call.ints(1, "sequence_lens") or []
    size = call.x.shape[time]
    if {batch, time} != {0, 1}:
        raise call.refuse("batch_axis and time_axis", (batch, time), "0 and 1")
    if len(lengths) != call.x.shape[batch] or any(not 0 <= length <= size for length in lengths):
        raise call.refuse("sequence_lens", lengths, f"{call.x.shape[batch]} lengths of at most {size}")
    if len(set(lengths)) == 1:
        return _first_reversed(call.x, time, lengths[0])
    samples = [_first_reversed(call.x.narrow(batch, i, 1), time, length) for i, length in enumerate(lengths)]
    return torch.cat(samples, batch)


def _first_reversed(x: Tensor, axis: int, count: int) -> Tensor:
    if count < 2:
        return x
    parts = [x.narrow(axis, 0, count).flip(axis), x.narrow(axis, count, x.shape[axis] - count)]
    return torch.cat([part for part in parts if part.shape[axis]], axis)


def _scatter(call: Call) -> Tensor:
    axis = int(call.attribute("axis", 0))
    if call.attribute("reduction", "none") not in ("none", b"none"):
        raise call.refuse("reduction", call.attribute("reduction"), "none")
    indices = call.input(1).long()
    indices = torch.where(indices < 0, indices + call.x.shape[axis], indices)
    return torch.scatter(call.x, axis, indices, call.input(2))


def _top_k(call: Call) -> list[Tensor]:
    """The largest of an axis one after the other: of equal ones the first, as the standard says."""
    count, axis = call.number(1, "k"), int(call.attribute("axis", -1)) % max(1, call.x.ndim)
    if count is None or not 1 <= int(count) <= MOST_LARGEST:
        raise call.refuse("k", count, f"1 to {MOST_LARGEST}")
    sign = 1 if call.attribute("largest", 1) else -1
    x, numbers, places = call.x * sign, [], []
    line = torch.arange(x.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    taken = torch.finfo(x.dtype).min if x.is_floating_point() else torch.iinfo(x.dtype).min
    for _ in range(int(count)):
        place = x.argmax(axis, keepdim=True)
        numbers.append(x.amax(axis, keepdim=True) * sign)
        places.append(place)
        x = torch.where(line == place, taken, x)
    return [torch.cat(numbers, axis), torch.cat(places, axis)]


TABLE: dict[str, Operator] = {
    "CumSum": _running_sum,
    "EyeLike": _identity_like,
    "GatherND": _gather_nd,
    "NonZero": _nonzero,
    "OneHot": _one_hot,
    "ReverseSequence": _reversed_sequences,
    "ScatterElements": _scatter,
    "ScatterND": _scatter_nd,
    "TopK": _top_k,
    "Trilu": _triangle,
}
