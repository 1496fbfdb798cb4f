"""Views and their shapes."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pocketpress.sources.steps.call import Call, Operator
from pocketpress.sources.tflite.operators.elementwise import DTYPES


def axis_of(call: Call, axis: int, rank: int) -> int:
    """A checked axis, counted from the front."""
    if not -rank <= axis < rank:
        raise call.refuse("axis", axis, f"-{rank} to {rank - 1}")
    return axis % rank


def required(call: Call, index: int, what: str) -> list[int]:
    """Whole numbers that the file must give."""
    found = call.ints(index, what)
    if found is None:
        raise call.refuse(what, "nothing", "numbers")
    return found


def _reshape(call: Call) -> Tensor:
    wanted = call.ints(1, "shape")
    if wanted is None:
        given = call.attribute("newShape")
        if not isinstance(given, (list, np.ndarray)):
            raise call.refuse("shape", "nothing", "sizes")
        wanted = [int(size) for size in given]
    return call.x.reshape(wanted)


def _transpose(call: Call) -> Tensor:
    return call.x.permute(required(call, 1, "order of axes"))


def _squeeze(call: Call) -> Tensor:
    given = call.attribute("squeezeDims")
    rank = call.x.ndim
    if isinstance(given, (list, np.ndarray)) and len(given):
        gone = {axis_of(call, int(axis), rank) for axis in given}
    else:
        gone = {axis for axis, size in enumerate(call.x.shape) if size == 1}
    if any(call.x.shape[axis] != 1 for axis in gone):
        raise call.refuse("axes", sorted(gone), f"axes of size 1 of {tuple(call.x.shape)}")
    return call.x.reshape([size for axis, size in enumerate(call.x.shape) if axis not in gone])


def _expand_dims(call: Call) -> Tensor:
    (axis,) = required(call, 1, "axis")
    return call.x.unsqueeze(axis_of(call, axis, call.x.ndim + 1))


def _shape(call: Call) -> Tensor:
    return torch.tensor(list(call.x.shape), dtype=DTYPES.get(int(call.attribute("outType", 2)), torch.int32))


def _fill(call: Call) -> Tensor:
    sizes = call.bounded(required(call, 0, "shape"))
    return call.input(1).reshape(()).expand(sizes).clone()


def _range(call: Call) -> Tensor:
    start, limit, delta = (call.array(i, "bounds") for i in range(3))
    if start is None or limit is None or delta is None or delta.item() == 0:
        raise call.refuse("step", 0, "not zero")
    call.bounded([max(0, math.ceil((limit.item() - start.item()) / delta.item()))])
    return torch.from_numpy(np.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype))


def _broadcast_to(call: Call) -> Tensor:
    sizes = call.bounded(required(call, 1, "shape"))
    return call.x.expand(call.bounded(np.broadcast_shapes(tuple(call.x.shape), tuple(sizes))))


def _tile(call: Call) -> Tensor:
    repeats = required(call, 1, "multiples")
    call.bounded([call.x.numel(), *repeats])
    return call.x.repeat(repeats)


def _depth_to_space(call: Call) -> Tensor:
    block = _block(call)
    n, h, w, c = call.x.shape
    cut = call.x.reshape(n, h, w, block, block, c // block**2)
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(n, h * block, w * block, c // block**2)


def _space_to_depth(call: Call) -> Tensor:
    block = _block(call)
    n, h, w, c = call.x.shape
    cut = call.x.reshape(n, h // block, block, w // block, block, c)
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(n, h // block, w // block, c * block**2)


def _block(call: Call) -> int:
    block = int(call.attribute("blockSize"))
    if call.x.ndim != 4 or block < 1:
        raise call.refuse("block size and rank", (block, call.x.ndim), "1 or more, of an image")
    return block


TABLE: dict[str, Operator] = {
    "BROADCAST_TO": _broadcast_to,
    "DEPTH_TO_SPACE": _depth_to_space,
    "EXPAND_DIMS": _expand_dims,
    "FILL": _fill,
    "RANGE": _range,
    "RANK": lambda call: torch.tensor(call.x.ndim, dtype=torch.int32),
    "RESHAPE": _reshape,
    "SHAPE": _shape,
    "SPACE_TO_DEPTH": _space_to_depth,
    "SQUEEZE": _squeeze,
    "TILE": _tile,
    "TRANSPOSE": _transpose,
}
