"""Matrix products."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.sources.steps.call import Call, Operator
from pocketpress.sources.tflite.operators.activation import activated


def _fully_connected(call: Call) -> Tensor:
    x, weight = call.x, call.input(1)  # (O, I)
    if call.attribute("weightsFormat", 0):
        raise call.refuse("weights format", call.attribute("weightsFormat"), 0)
    if weight.ndim != 2:
        raise call.refuse("weight rank", weight.ndim, 2)
    if (not call.attribute("keepNumDims") and x.ndim != 2) or x.shape[-1] != weight.shape[1]:
        x = x.reshape(-1, weight.shape[1])
    call.bounded([*x.shape[:-1], weight.shape[0]])
    bias = call.optional(2)
    if 1 in call.known:
        return activated(call, F.linear(x, weight, bias))
    product = torch.matmul(x, weight.transpose(0, 1))
    return activated(call, product if bias is None else product + bias)


def _batch_matmul(call: Call) -> Tensor:
    a, b = call.x, call.input(1)
    if call.attribute("adjX"):
        a = a.transpose(-2, -1)
    if call.attribute("adjY"):
        b = b.transpose(-2, -1)
    if min(a.ndim, b.ndim) < 2:
        raise call.refuse("ranks", (a.ndim, b.ndim), "2 or more")
    call.bounded([*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]])
    if 1 in call.known and b.ndim == 2:
        return F.linear(a, b.transpose(0, 1))
    return torch.matmul(a, b)


TABLE: dict[str, Operator] = {"BATCH_MATMUL": _batch_matmul, "FULLY_CONNECTED": _fully_connected}
