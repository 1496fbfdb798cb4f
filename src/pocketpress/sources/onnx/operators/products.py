"""Matrix products."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.sources.steps.call import Call, Operator


def _gemm(call: Call) -> Tensor:
    a, b, c = call.x, call.input(1), call.optional(2)
    alpha, beta = float(call.attribute("alpha", 1.0)), float(call.attribute("beta", 1.0))
    if call.attribute("transA", 0):
        a = a.transpose(0, 1)
    if not call.attribute("transB", 0):
        b = b.transpose(0, 1)
    if alpha == beta == 1.0 and (c is None or c.shape == (b.shape[0],)):
        return F.linear(a, b, c)
    product = F.linear(a, b) * alpha
    return product if c is None else product + c * beta


def _matmul(call: Call) -> Tensor:
    if 1 in call.known and call.input(1).ndim == 2:
        return F.linear(call.x, call.input(1).transpose(0, 1))
    return torch.matmul(call.x, call.input(1))


def _einsum(call: Call) -> Tensor:
    return torch.einsum(call.attribute("equation"), *[v for v in call.inputs if v is not None])


TABLE: dict[str, Operator] = {"Einsum": _einsum, "Gemm": _gemm, "MatMul": _matmul}
