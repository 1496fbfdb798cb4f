"""Views, selections and their shapes."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.sources.steps.call import Call, Operator

PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def _reshape(call: Call) -> Tensor:
    wanted = call.ints(1, "shape")
    assert wanted is not None
    if not call.attribute("allowzero", 0):
        wanted = [call.x.shape[i] if size == 0 else size for i, size in enumerate(wanted)]
    return call.x.reshape(wanted)


def _flatten(call: Call) -> Tensor:
    axis = int(call.attribute("axis", 1))
    rank = call.x.ndim
    cut = axis + rank if axis < 0 else axis
    return call.x.reshape(math.prod(call.x.shape[:cut]), -1)


def _transpose(call: Call) -> Tensor:
    order = call.attribute("perm") or list(reversed(range(call.x.ndim)))
    return call.x.permute([int(axis) for axis in order])


def _squeeze(call: Call) -> Tensor:
    axes = call.ints(1, "axes", "axes")
    if axes is None:
        axes = [axis for axis, size in enumerate(call.x.shape) if size == 1]
    gone = {axis % call.x.ndim for axis in axes}
    return call.x.reshape([size for axis, size in enumerate(call.x.shape) if axis not in gone])


def _unsqueeze(call: Call) -> Tensor:
    axes = call.ints(1, "axes", "axes") or []
    rank = call.x.ndim + len(axes)
    new = {axis % rank for axis in axes}
    sizes = iter(call.x.shape)
    return call.x.reshape([1 if axis in new else next(sizes) for axis in range(rank)])


def _concat(call: Call) -> Tensor:
    return torch.cat([v for v in call.inputs if v is not None], int(call.attribute("axis")))


def _split(call: Call) -> list[Tensor]:
    axis = int(call.attribute("axis", 0))
    sizes = call.ints(1, "split", "split")
    if sizes is None:
        each = math.ceil(call.x.shape[axis] / call.outputs)
        sizes = [each] * (call.outputs - 1)
        sizes.append(call.x.shape[axis] - sum(sizes))
    return list(torch.split(call.x, sizes, axis))


def _slice(call: Call) -> Tensor:
    x = call.x
    starts, ends = call.ints(1, "starts", "starts"), call.ints(2, "ends", "ends")
    assert starts is not None and ends is not None
    axes = call.ints(3, "axes", "axes") or list(range(len(starts)))
    steps = call.ints(4, "steps") or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        chosen = range(x.shape[axis])[slice(start, _open(end, step), step)]
        if step > 0:
            index = [slice(None)] * (axis % x.ndim)
            stop = chosen[-1] + 1 if len(chosen) else chosen.start
            x = x[(*index, slice(chosen.start, stop, step))]
        else:
            x = x.index_select(axis, torch.tensor(list(chosen), dtype=torch.int64))
    return x


def _open(end: int, step: int) -> int | None:
    """The most negative end of a reversed slice means through the first element."""
    return None if step < 0 and end <= -(2**31) + 1 else end


def _gather(call: Call) -> Tensor:
    axis = int(call.attribute("axis", 0)) % call.x.ndim
    size = call.x.shape[axis]
    known = call.known.get(1)
    if known is not None:
        rows = np.asarray(known, np.int64)
        rows = np.where(rows < 0, rows + size, rows)
        if rows.ndim == 0:
            return call.x.select(axis, int(rows))
        flat = call.x.index_select(axis, torch.from_numpy(np.ascontiguousarray(rows.reshape(-1))))
        return flat.reshape([*call.x.shape[:axis], *rows.shape, *call.x.shape[axis + 1 :]])
    indices = _whole(call.input(1))
    if axis == 0 and call.x.ndim == 2:
        return F.embedding(indices, call.x)
    flat = call.x.index_select(axis, indices.reshape(-1))
    return flat.reshape([*call.x.shape[:axis], *indices.shape, *call.x.shape[axis + 1 :]])


def _whole(indices: Tensor) -> Tensor:
    return indices if indices.dtype == torch.int64 else indices.long()


def _gather_elements(call: Call) -> Tensor:
    axis = int(call.attribute("axis", 0))
    indices = _whole(call.input(1))
    return torch.gather(call.x, axis, torch.where(indices < 0, indices + call.x.shape[axis], indices))


def _expand(call: Call) -> Tensor:
    wanted = call.ints(1, "shape")
    assert wanted is not None
    return call.x.expand(call.bounded(np.broadcast_shapes(tuple(call.x.shape), tuple(wanted))))


def _tile(call: Call) -> Tensor:
    repeats = call.ints(1, "repeats")
    assert repeats is not None
    call.bounded([call.x.numel(), *repeats])
    return call.x.repeat(repeats)


def _pad(call: Call) -> Tensor:
    mode = call.attribute("mode", "constant")
    if mode not in PAD_MODES:
        raise call.refuse("mode", mode, sorted(PAD_MODES))
    pads = call.ints(1, "pads", "pads")
    assert pads is not None
    axes = call.ints(3, "axes") or list(range(len(pads) // 2))
    sides = {a % call.x.ndim: (pads[i], pads[i + len(axes)]) for i, a in enumerate(axes)}
    value = call.number(2, "constant_value") or 0.0
    x = call.x
    call.bounded([size + sum(sides.get(axis, (0, 0))) for axis, size in enumerate(x.shape)])
    if mode == "constant":
        flat = [amount for axis in reversed(range(x.ndim)) for amount in sides.get(axis, (0, 0))]
        return F.pad(x, flat, value=value)
    if mode == "wrap":
        return _wrapped(x, sides)
    if any(any(side) for axis, side in sides.items() if axis < 2) or x.ndim not in (3, 4):
        return _padded_by_axis(x, {a: side for a, side in sides.items() if any(side)}, PAD_MODES[mode])
    flat = [amount for axis in reversed(range(2, x.ndim)) for amount in sides.get(axis, (0, 0))]
    return F.pad(x, flat, mode=PAD_MODES[mode])


def _wrapped(x: Tensor, sides: dict[int, tuple[int, int]]) -> Tensor:
    """As often as the padding is wide: the tensor side by side with itself, cut."""
    for axis, (before, after) in sides.items():
        size = x.shape[axis]
        if before > 0 or after > 0:
            start = -before % size
            copies = math.ceil((start + before + size + after) / size)
            x = torch.cat([x] * copies, axis).narrow(axis, start, before + size + after)
        else:
            x = x.narrow(axis, -before, before + size + after)
    return x


def _padded_by_axis(x: Tensor, sides: dict[int, tuple[int, int]], mode: str) -> Tensor:
    """Any axes, one after the other: torch pads the last ones of (N, C, ...)."""
    for axis, side in sides.items():
        moved = x.movedim(axis, -1)
        rows = F.pad(moved.reshape(1, -1, moved.shape[-1]), list(side), mode=mode)
        x = rows.reshape(*moved.shape[:-1], -1).movedim(-1, axis)
    return x


def _shape(call: Call) -> Tensor:
    start, end = int(call.attribute("start", 0)), call.attribute("end")
    return torch.tensor(list(call.x.shape)[start : None if end is None else int(end)], dtype=torch.int64)


def _constant_of_shape(call: Call) -> Tensor:
    sizes = call.ints(0, "shape")
    value = np.asarray(call.attribute("value", np.zeros(1, np.float32)))
    return torch.from_numpy(np.full(call.bounded(sizes or []), value.reshape(-1)[0], value.dtype))


def _range(call: Call) -> Tensor:
    start, limit, delta = (call.array(i, "bounds") for i in range(3))
    assert start is not None and limit is not None and delta is not None
    if delta.item() == 0:
        raise call.refuse("delta", 0, "not zero")
    call.bounded([max(0, math.ceil((limit.item() - start.item()) / delta.item()))])
    return torch.from_numpy(np.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype))


def _depth_to_space(call: Call) -> Tensor:
    block = int(call.attribute("blocksize"))
    if call.attribute("mode", "DCR") == "CRD":
        return F.pixel_shuffle(call.x, block)
    n, c, h, w = call.x.shape
    cut = call.x.reshape(n, block, block, c // block**2, h, w)
    return cut.permute(0, 3, 4, 1, 5, 2).reshape(n, c // block**2, h * block, w * block)


def _space_to_depth(call: Call) -> Tensor:
    block = int(call.attribute("blocksize"))
    n, c, h, w = call.x.shape
    if call.attribute("mode", "DCR") == "CRD":
        return F.pixel_unshuffle(call.x, block)
    cut = call.x.reshape(n, c, h // block, block, w // block, block)
    return cut.permute(0, 3, 5, 1, 2, 4).reshape(n, c * block**2, h // block, w // block)


TABLE: dict[str, Operator] = {
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": lambda call: torch.tensor(call.x.numel()),
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
