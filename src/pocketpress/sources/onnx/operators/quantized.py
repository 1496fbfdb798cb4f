"""Integers to real values: weights and biases of quantised graphs.

``QuantizeLinear`` has no function: `pocketpress.sources.onnx.quantized` takes it out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pocketpress.sources.steps.call import Call, Operator

WHOLE = (torch.int8, torch.uint8, torch.int16, torch.uint16, torch.int32)


def _dequantize(call: Call) -> Tensor:
    """``(x - zero_point) * scale``: one pair for all, for each slice of an axis, or for each block of it."""
    x, scale = call.x, call.input(1)
    if x.dtype not in WHOLE:
        raise call.refuse("type", str(x.dtype).removeprefix("torch."), [str(t)[6:] for t in WHOLE])
    zero = call.optional(2)
    axis, block = int(call.attribute("axis", 1)), int(call.attribute("block_size", 0))
    real = x.float() if zero is None else x.float() - _spread(zero.float(), x, axis, block, call)
    return real * _spread(scale.float(), x, axis, block, call)


def _spread(values: Tensor, x: Tensor, axis: int, block: int, call: Call) -> Tensor:
    """So that it broadcasts against ``x``."""
    if values.numel() == 1 and not block:
        return values.reshape(())
    if not -x.ndim <= axis < x.ndim:
        raise call.refuse("axis", axis, f"-{x.ndim} to {x.ndim - 1}")
    if block:
        repeated = values.repeat_interleave(block, dim=axis)
        return repeated.narrow(axis, 0, x.shape[axis])
    sizes = [1] * x.ndim
    sizes[axis] = x.shape[axis]
    return values.reshape(sizes)


TABLE: dict[str, Operator] = {"DequantizeLinear": _dequantize}
