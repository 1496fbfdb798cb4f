"""Sums of products of two operands (einsum), as a linear layer or a batched matrix product."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from pocketpress.sources.aten.bound import Bound
from pocketpress.sources.aten.shapes import emit_permute

Sizes = dict[str, int]


def einsum(b: Bound) -> str:
    """aten::einsum of two operands, each letter once per operand and none summed in one operand alone."""
    operands = list(b["tensors"])
    left, right, out = _letters(b, operands)
    batch = [c for c in left if c in right and c in out]
    summed = [c for c in left if c in right and c not in out]
    rows = [c for c in left if c not in right]
    columns = [c for c in right if c not in left]
    size = _sizes(b, operands, left, right)
    if isinstance(operands[1], torch.Tensor) and not batch:
        weight = torch.einsum(f"{right}->{''.join(columns + summed)}", operands[1])
        made = _linear(b, operands[0], weight, left, rows, summed, size)
    else:
        made = _product(b, operands, (left, right), (batch, rows, columns, summed), size)
    order = batch + rows + columns
    shape = tuple(size[c] for c in order)
    made = b.emit("reshape", [made], shape, last=False, shape=shape)
    return emit_permute(b, made, tuple(order.index(c) for c in out))


def _letters(b: Bound, operands: list[Any]) -> tuple[str, str, str]:
    equation = str(b["equation"]).replace(" ", "")
    given, arrow, out = equation.partition("->")
    parts = given.split(",")
    unclear = not arrow or "." in equation or len(parts) != 2 or len(operands) != 2
    repeated = any(len(set(part)) != len(part) for part in (*parts, out))
    alone = not unclear and any(c not in out for c in set(parts[0]) ^ set(parts[1]))
    if unclear or repeated or alone:
        raise b.refuse(f"einsum {equation[:40]}", "write it as matmul and permute")
    return parts[0], parts[1], out


def _sizes(b: Bound, operands: list[Any], left: str, right: str) -> Sizes:
    return dict(zip(left + right, (*b.shape(operands[0]), *b.shape(operands[1])), strict=True))


def _arranged(b: Bound, value: Any, letters: str, order: list[str], shape: tuple[int, ...]) -> str:
    """An operand with its axes in ``order``, joined to ``shape``."""
    name = b.tensor(value)
    axes = tuple(letters.index(c) for c in order)
    if axes != tuple(range(len(axes))):
        name = emit_permute(b, name, axes, last=False)
    return b.emit("reshape", [name], shape, last=False, shape=shape)


def _linear(
    b: Bound,
    x: Any,
    weight: torch.Tensor,
    letters: str,
    rows: list[str],
    summed: list[str],
    size: Sizes,
) -> str:
    inner = math.prod(size[c] for c in summed)
    outer = [size[c] for c in rows]
    matrix = np.ascontiguousarray(weight.detach().reshape(-1, inner).numpy())
    name = _arranged(b, x, letters, rows + summed, (*outer, inner))
    constant = b.builder.constant(f"{b.node.name}_weight", matrix)
    return b.emit("linear", [name, constant], (*outer, matrix.shape[0]), last=False, clamp=None)


def _product(
    b: Bound,
    operands: list[Any],
    letters: tuple[str, str],
    groups: tuple[list[str], ...],
    size: Sizes,
) -> str:
    batch, rows, columns, summed = groups
    outer = tuple(size[c] for c in batch)
    m, n, k = (math.prod(size[c] for c in group) for group in (rows, columns, summed))
    first = _arranged(b, operands[0], letters[0], batch + rows + summed, (*outer, m, k))
    second = _arranged(b, operands[1], letters[1], batch + summed + columns, (*outer, k, n))
    return b.emit("matmul", [first, second], (*outer, m, n), last=False)


HANDLERS = {"aten::einsum": einsum}
