"""Truth values, and the choice by them: 1.0 and 0.0, products and sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from pocketpress.core.program import Node
from pocketpress.sources.aten import elementwise
from pocketpress.sources.aten.bound import Bound
from pocketpress.sources.aten.comparisons import emit_not
from pocketpress.sources.aten.composed import LEAST_THRESHOLD
from pocketpress.sources.aten.elementwise import emit_binary

MASKED = -1e4
"""What is added to the score of a masked key: its weight is 0 in float32, and float16 holds the number."""
LEAST_SCALE = 1 / 32
"""Of scores, after the mask: that of heads of 1,024 numbers; -312 is still nothing in a softmax."""
_SOFTPLUS = (("log",), ("add", 1.0), ("exp",), ("mul", -1.0), ("abs",))
"""From its end on, what `composed.softplus` adds to max(x, 0)."""
LOWEST = float(torch.finfo(torch.float32).min)
_SOFTMAXES = ("aten::softmax", "aten::_softmax", "aten::scaled_dot_product_attention")
_ASSERTION = "aten::_assert_tensor_metadata"
"""What torch.export puts before a cast; it reads no numbers."""
_ON_THE_WAY = tuple(
    f"aten::{name}"
    for name in (
        "add", "alias", "clone", "contiguous", "detach", "expand", "permute", "reshape", "slice", "squeeze",
        "to", "transpose", "type_as", "unsqueeze", "view",
    )
)  # fmt: skip


def both(b: Bound) -> str:
    """aten::logical_and and ``&`` of truth values: their product."""
    if not (b.is_truth("self") and b.is_truth("other")):
        raise b.refuse("bitwise operation on whole numbers")
    known = next((v for v in (b["self"], b["other"]) if isinstance(v, torch.Tensor)), None)
    held = next(v for v in (b["self"], b["other"]) if isinstance(v, str))
    if known is not None and bool(known.all()) and b.shape(held) == b.out_shape:
        return held
    left, right = (v if isinstance(v, str) else v.float() for v in (b["self"], b["other"]))
    return emit_binary(b, "mul", left, right)


def opposite(b: Bound) -> str:
    """aten::logical_not and ``~`` of a truth value."""
    if not b.is_truth("self"):
        raise b.refuse("bitwise operation on whole numbers")
    return emit_not(b, b.activation())


def where(b: Bound) -> str:
    """aten::where: mask * a + (1 - mask) * b; minus infinity is `MASKED` before a softmax."""
    found = _recognised(b)
    if found is not None:
        return found
    return _select(b, b["condition"], "condition", b["self"], b["other"])


def _recognised(b: Bound) -> str | None:
    """What ``where(x > c, x, other)`` is where exporters write a PReLU or a softplus so; None for others."""
    condition, x, other = b.node.args[0], b["self"], b["other"]
    made = b.builder.producer(other) if isinstance(other, str) else None
    limit = _limit_of(condition, b.node.args[1]) if isinstance(condition, torch.fx.Node) else None
    if limit is None or made is None or not isinstance(x, str):
        return None
    if limit == 0 and made.op == "mul" and made.inputs[0] == x and not made.attrs["clamp"]:
        slope = b.builder.constant_value(made.inputs[1])
        return None if slope is None else _sloped(b, x, torch.from_numpy(slope.copy()))
    return other if limit >= LEAST_THRESHOLD and made.op == "add" and _is_softplus(b, made, x) else None


def _limit_of(condition: torch.fx.Node, x: Any) -> float | None:
    """The number c of ``x > c``."""
    name = getattr(getattr(condition.target, "_schema", None), "name", "")
    if name not in ("aten::gt", "aten::greater") or condition.args[0] is not x:
        return None
    limit = condition.args[1]
    return float(limit) if isinstance(limit, (int, float)) else None


def _sloped(b: Bound, x: str, slope: torch.Tensor) -> str:
    """``where(x > 0, x, slope * x)``: max(x, 0) + slope * min(x, 0)."""
    positive = b.emit("clamp", [x], b.out_shape, last=False, low=0.0, high=None)
    negative = b.emit("clamp", [x], b.out_shape, last=False, low=None, high=0.0)
    return emit_binary(b, "add", positive, emit_binary(b, "mul", negative, slope, last=False))


def _is_softplus(b: Bound, made: Node, x: str) -> bool:
    """Whether ``made`` is softplus(x): ``where(x > 20, x, softplus(x))`` is the same."""
    positive = b.builder.producer(made.inputs[0])
    if positive is None or positive.op != "clamp" or positive.inputs[0] != x:
        return False
    chain: list[tuple[str | float, ...]] = []
    at = made.inputs[1]
    while (node := b.builder.producer(at)) is not None and len(chain) < len(_SOFTPLUS):
        constants = [b.builder.constant_value(name) for name in node.inputs[1:]]
        chain.append((node.op, *(float(c.reshape(-1)[0]) for c in constants if c is not None)))
        at = node.inputs[0]
    return tuple(chain) == _SOFTPLUS and at == x and positive.attrs == {"low": 0.0, "high": None}


def masked_fill(b: Bound) -> str:
    """aten::masked_fill: ``where(mask, value, self)``."""
    return _select(b, b["mask"], "mask", b["value"], b["self"])


def _select(b: Bound, truth: Any, name: str, chosen: Any, other: Any) -> str:
    """``truth * chosen + (1 - truth) * other``, which is exact for finite numbers."""
    if isinstance(truth, torch.Tensor) and truth.dtype is torch.bool:
        return _select_by_constant(b, truth, _finite(b, chosen), _finite(b, other))
    if not isinstance(truth, str) or not b.is_truth(name):
        raise b.refuse("selection by numbers", "compare whole numbers to get the condition")
    terms = []
    for mask, value in ((truth, _finite(b, chosen)), (None, _finite(b, other))):
        if isinstance(value, (str, torch.Tensor)) or value:
            mask = emit_not(b, truth, last=False) if mask is None else mask
            terms.append(emit_binary(b, "mul", mask, value, last=False))
    if len(terms) < 2:
        return _grown(b, terms[0] if terms else emit_binary(b, "mul", truth, 0.0, last=False))
    return emit_binary(b, "add", *terms)


def _select_by_constant(b: Bound, truth: torch.Tensor, chosen: Any, other: Any) -> str:
    """Activations times their part of the mask, plus one constant; for masked scores the sum alone."""
    parts = [(truth, chosen), (~truth, other)]
    terms = [(mask, value) for mask, value in parts if isinstance(value, str)]
    constant = torch.zeros(())
    for mask, value in parts:
        if not isinstance(value, str):
            constant = constant + torch.where(mask, value, 0.0)
    if not terms:
        raise b.refuse("selection among constants", "make the result a buffer of the network")
    hidden = constant == MASKED
    if len(terms) == 1 and bool((hidden | (constant == 0)).all()) and _masks_scores(b.node):
        return emit_binary(b, "add", terms[0][1], constant)
    products = [emit_binary(b, "mul", value, mask.float(), last=False) for mask, value in terms]
    if len(products) == 2:
        return emit_binary(b, "add", *products)
    if bool((constant != 0).any()):
        return emit_binary(b, "add", products[0], constant)
    return _grown(b, products[0])


def _grown(b: Bound, term: str) -> str:
    """The term in the shape of the result, which the other one, of zeros, would have given it."""
    if b.shape(term) == b.out_shape:
        return term
    return emit_binary(b, "add", term, torch.zeros(b.out_shape))


def add(b: Bound) -> str:
    """aten::add: minus infinity in a constant that is added to scores is `MASKED`, which has a range."""
    finite = replace(b, args={**b.args, **_masked(b, "self", "other")})
    found: str = elementwise.HANDLERS["aten::add"](finite)
    return found


def added_product(b: Bound) -> str:
    """aten::baddbmm: beta * self + alpha * batch1 @ batch2; nn.MultiheadAttention adds its mask so."""
    left, right, added = b.tensor(b["batch1"]), b.tensor(b["batch2"]), _masked(b, "self")["self"]
    scores = b.emit("matmul", [left, right], b.out_shape, last=False)
    if b["alpha"] != 1:
        scores = emit_binary(b, "mul", scores, float(b["alpha"]), last=False)
    if b["beta"] != 1:
        added = emit_binary(b, "mul", b.tensor(added), float(b["beta"]), last=False)
    return emit_binary(b, "add", scores, added)


def _masked(b: Bound, *names: str) -> dict[str, Any]:
    """Arguments, with constants as `_without_infinity` has them where the sum masks scores."""
    given = {name: b[name] for name in names}
    return (
        {name: _without_infinity(value) for name, value in given.items()} if _masks_scores(b.node) else given
    )


def _without_infinity(value: Any) -> Any:
    """A real constant with `MASKED` in the places of minus infinity, or of the lowest number."""
    if not isinstance(value, torch.Tensor) or value.dtype is not torch.float32:
        return value
    return torch.where(value <= LOWEST, MASKED, value)


def _finite(b: Bound, value: Any) -> Any:
    """A number, a constant or a computed tensor that selection by a product can take."""
    number = _number(b, value)
    if number is not None:
        return number
    if isinstance(value, str):
        return b.real(value)
    if isinstance(value, torch.Tensor) and not value.is_floating_point():
        return value.float()
    if isinstance(value, torch.Tensor) and value.dtype is torch.float32:
        if _masks_scores(b.node):
            value = _without_infinity(value)
        if bool(torch.isfinite(value).all()):
            return value
    raise b.refuse("selection of whole numbers or of infinite ones", "select finite real numbers")


def _number(b: Bound, value: Any) -> float | None:
    """A number, or the one number of a constant; None if there is none, or an infinite one."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    if not isinstance(value, (int, float)):
        return None
    if value <= LOWEST and _masks_scores(b.node):
        return MASKED
    return float(value) if np.isfinite(value) else None


def _masks_scores(node: torch.fx.Node) -> bool:
    """Whether everything that reads a tensor is a move, a sum, a scaling or a softmax, which ends the way."""
    names = {user: getattr(getattr(user.target, "_schema", None), "name", "") for user in node.users}
    names = {user: name for user, name in names.items() if name != _ASSERTION}
    return bool(names) and all(
        name in _SOFTMAXES or (_is_on_the_way(node, user, name) and _masks_scores(user))
        for user, name in names.items()
    )


def _is_on_the_way(node: torch.fx.Node, user: torch.fx.Node, name: str) -> bool:
    is_added = name == "aten::baddbmm" and node not in user.args[1:]  # as torch.nn.MultiheadAttention does
    return name in _ON_THE_WAY or is_added or _scales(user, name)


def _scales(node: torch.fx.Node, name: str) -> bool:
    """Whether a node multiplies by a number by which a masked score stays far below every other."""
    if name not in ("aten::mul", "aten::div"):
        return False
    factor = next((a for a in node.args if isinstance(a, (int, float))), 0.0)
    factor = 1 / factor if name == "aten::div" and factor else factor
    return LEAST_SCALE <= factor <= 1


def additive_mask(b: Bound, name: str) -> Any:
    """Argument ``name`` as what is added to scores: 0 where true, else `MASKED`; None for nothing."""
    mask = b[name]
    if mask is None or not b.is_truth(name):
        return _without_infinity(mask)
    if isinstance(mask, torch.Tensor):
        return None if bool(mask.all()) else torch.where(mask, 0.0, MASKED)
    hidden = emit_binary(b, "add", mask, -1.0, last=False)
    return emit_binary(b, "mul", hidden, -MASKED, last=False)


HANDLERS: dict[str, Callable[[Bound], Any]] = {
    "aten::add": add,
    "aten::add_": add,
    "aten::baddbmm": added_product,
    "aten::__and__": both,
    "aten::bitwise_and": both,
    "aten::logical_and": both,
    "aten::bitwise_not": opposite,
    "aten::logical_not": opposite,
    "aten::where": where,
    "aten::masked_fill": masked_fill,
    "aten::masked_fill_": masked_fill,
}
