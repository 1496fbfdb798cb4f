"""Whole numbers and truth values that depend on the input: token indices and masks.

A program computes on float32.  A truth value is a float32 that is 1 or 0; whole numbers keep their dtype and
are only moved, looked up (`embedding`) or made real (`cast`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pocketpress.core.program import Node
from pocketpress.sources.aten.bound import Bound, axis_of
from pocketpress.sources.aten.composed import LEAST_THRESHOLD
from pocketpress.sources.aten.elementwise import emit_binary
from pocketpress.sources.aten.shapes import MAX_RUNS, emit_gather, emit_slice, runs_of

MASKED = -1e4
"""What is added to the score of a masked key: its weight is 0 in float32, and float16 holds the number."""
_SOFTPLUS = (("log",), ("add", 1.0), ("exp",), ("mul", -1.0), ("abs",))
"""From its end on, what `composed.softplus` adds to max(x, 0)."""
_LIMIT = "pocketpress_limit"
"""In the notes of a comparison: the number that a real one is compared with."""
LOWEST = float(torch.finfo(torch.float32).min)
_SOFTMAXES = ("aten::softmax", "aten::_softmax", "aten::scaled_dot_product_attention")
_ON_THE_WAY = ("aten::add", "aten::view", "aten::reshape", "aten::expand", "aten::unsqueeze", "aten::slice")
_WHOLE = ("int32", "int64")
_WHOLE_TORCH = (torch.int32, torch.int64)


def embedding(b: Bound) -> str:
    """aten::embedding: rows of a constant float table."""
    table, index = b["weight"], b["indices"]
    if not isinstance(table, torch.Tensor):
        raise b.refuse("embedding in a table that is computed at run time", "make the table a parameter")
    if not isinstance(index, str) or b.builder.type(index).dtype not in _WHOLE:
        raise b.refuse("embedding of numbers that are not whole", "make the indices int64")
    return b.emit("embedding", [index, b.tensor(table, "table")], b.out_shape, dtype="float32")


def to_dtype(b: Bound) -> str:
    """A cast to float32, to a truth value, or to the dtype that the tensor has."""
    x, wanted = b.activation(), b.node.meta["val"].dtype
    whole = b.builder.type(x).dtype in _WHOLE
    if whole and wanted in _WHOLE_TORCH:
        return x
    if wanted is torch.float32:
        return _real(b, x)
    if wanted is torch.bool and b.is_truth("self"):
        return x
    if wanted is torch.bool and whole:
        return _differs(b, x, 0)
    raise b.refuse(f"cast to {wanted}", "keep the network in float32")


def _real(b: Bound, x: str, *, last: bool = True) -> str:
    if b.builder.type(x).dtype not in _WHOLE:
        return x
    return b.emit("cast", [x], b.shape(x), last=last, dtype="float32")


def _differs(b: Bound, x: str, number: float, *, last: bool = True) -> str:
    """1 where a whole number is another than ``number``, as min(|x - number|, 1)."""
    distance = _real(b, x, last=False)
    if number:
        distance = emit_binary(b, "add", distance, -float(number), last=False)
    size = b.emit("abs", [distance], b.shape(x), last=False)
    return b.emit("clamp", [size], b.shape(x), last=last, low=None, high=1.0)


def _not(b: Bound, truth: str, *, last: bool = True) -> str:
    return emit_binary(b, "add", emit_binary(b, "mul", truth, -1.0, last=False), 1.0, last=last)


def _compared(kind: str) -> Callable[[Bound], str]:
    """A comparison of whole numbers, exact in float32 below 2^24: a difference, limited to 0 and 1."""

    def handler(b: Bound) -> str:
        left, right = _whole(b, b["self"]), _whole(b, b["other"])
        limit = _number(b, b["other"]) if kind == "gt" and _tells_a_slope(b.node) else None
        if limit is not None and (limit == 0 or limit >= LEAST_THRESHOLD):
            b.node.meta[_LIMIT] = limit
            return b.activation()  # stands for the truth value, which only `where` reads
        if left is None or right is None:
            raise b.refuse("comparison of tensors", "compare whole numbers")
        if kind in ("eq", "ne") and isinstance(right, (int, float)):
            differs = _differs(b, b["self"], right, last=kind == "ne")
            return _not(b, differs) if kind == "eq" else differs
        first, second = (right, left) if kind in ("lt", "le") else (left, right)
        distance = emit_binary(b, "sub", first, second, last=False)
        if kind in ("eq", "ne"):
            size = b.emit("abs", [distance], b.out_shape, last=False)
            differs = b.emit("clamp", [size], b.out_shape, last=kind == "ne", low=None, high=1.0)
            return _not(b, differs) if kind == "eq" else differs
        if kind in ("le", "ge"):
            distance = emit_binary(b, "add", distance, 1.0, last=False)
        return b.emit("clamp", [distance], b.out_shape, low=0.0, high=1.0)

    return handler


def _whole(b: Bound, value: Any) -> Any:
    """A whole number, or whole numbers as a real tensor; None for others."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype in _WHOLE_TORCH else None
    if isinstance(value, str):
        return _real(b, value, last=False) if b.builder.type(value).dtype in _WHOLE else None
    return value if isinstance(value, int) else None


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
    return _not(b, b.activation())


def where(b: Bound) -> str:
    """aten::where: mask * a + (1 - mask) * b; minus infinity is `MASKED` before a softmax."""
    condition = b.node.args[0]
    if isinstance(condition, torch.fx.Node) and _tells_a_slope(condition):
        return _sloped(b)
    return _select(b, b["condition"], "condition", b["self"], b["other"])


def _tells_a_slope(node: torch.fx.Node) -> bool:
    """Whether a node is ``x > ...`` of a real x, read by nothing but ``where(x > ..., x, ...)``."""
    name = getattr(getattr(node.target, "_schema", None), "name", "")
    x = node.args[0] if node.args else None
    if name not in ("aten::gt", "aten::greater") or not isinstance(x, torch.fx.Node):
        return False
    real = getattr(x.meta.get("val"), "dtype", None) is torch.float32
    chosen = (
        getattr(getattr(user.target, "_schema", None), "name", "") == "aten::where"
        and user.args[:2] == (node, x)
        for user in node.users
    )
    return real and all(chosen)


def _sloped(b: Bound) -> str:
    """``where(x > 0, x, slope * x)``, as exporters write PReLU: max(x, 0) + slope * min(x, 0)."""
    x, other = b["self"], b["other"]
    product = b.builder.producer(other) if isinstance(other, str) else None
    if b.node.args[0].meta[_LIMIT]:  # type: ignore[union-attr]
        return _softplus(b, x, product)
    if product is None or product.op != "mul" or product.inputs[0] != x or product.attrs["clamp"]:
        raise b.refuse("selection by the sign of a real number", "use nn.PReLU, nn.LeakyReLU, relu or clamp")
    slope = b.builder.constant_value(product.inputs[1])
    if slope is None:
        raise b.refuse("selection by the sign of a real number", "use nn.PReLU, nn.LeakyReLU, relu or clamp")
    positive = b.emit("clamp", [x], b.out_shape, last=False, low=0.0, high=None)
    negative = b.emit("clamp", [x], b.out_shape, last=False, low=None, high=0.0)
    scaled = emit_binary(b, "mul", negative, torch.from_numpy(slope.copy()), last=False)
    return emit_binary(b, "add", positive, scaled)


def _softplus(b: Bound, x: Any, made: Node | None) -> str:
    """``where(x > 20, x, softplus(x))``, as exporters write it: the two are the same there."""
    positive = b.builder.producer(made.inputs[0]) if made is not None and made.op == "add" else None
    if made is None or positive is None or positive.op != "clamp" or positive.inputs[0] != x:
        raise b.refuse("selection by the size of a real number", "use F.softplus, relu or clamp")
    chain: list[tuple[str | float, ...]] = []
    at = made.inputs[1]
    while (node := b.builder.producer(at)) is not None and len(chain) < len(_SOFTPLUS):
        constants = [b.builder.constant_value(name) for name in node.inputs[1:]]
        chain.append((node.op, *(float(c.reshape(-1)[0]) for c in constants if c is not None)))
        at = node.inputs[0]
    if tuple(chain) != _SOFTPLUS or at != x or positive.attrs != {"low": 0.0, "high": None}:
        raise b.refuse("selection by the size of a real number", "use F.softplus, relu or clamp")
    return made.outputs[0]


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
            mask = _not(b, truth, last=False) if mask is None else mask
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


def _finite(b: Bound, value: Any) -> Any:
    """A number, a constant or a computed tensor that selection by a product can take."""
    number = _number(b, value)
    if number is not None:
        return number
    if isinstance(value, str) and b.builder.type(value).dtype == "float32":
        return value
    if isinstance(value, torch.Tensor) and value.dtype is torch.float32:
        if _masks_scores(b.node):
            value = torch.where(value <= LOWEST, MASKED, value)
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


def write(b: Bound) -> str:
    """aten::index_copy, and aten::index_put of one axis: the slice at a place that is computed is replaced.

    The place becomes a mask: 1 at the index, which is one whole number, and 0 elsewhere.
    """
    x, (axis, place), values = b.activation(), _place(b), b["source" if "source" in b.args else "values"]
    if not isinstance(place, str) or b.builder.type(place).dtype not in _WHOLE or b.args.get("accumulate"):
        raise b.refuse("writing at places that are constant, or adding to them", "concatenate slices instead")
    if b.builder.type(place).elements != 1:
        raise b.refuse("writing at several places at once", "write at one index of the axis")
    if not isinstance(values, str) and not isinstance(values, torch.Tensor):
        raise b.refuse("writing of something that is no tensor")
    rank = len(b.shape(x))
    line = tuple(b.shape(x)[axis] if i == axis else 1 for i in range(rank))
    one = b.emit("reshape", [_real(b, place, last=False)], (1,) * rank, last=False, shape=(1,) * rank)
    distance = emit_binary(b, "add", one, -torch.arange(float(line[axis])).reshape(line), last=False)
    size = b.emit("abs", [distance], line, last=False)
    differs = b.emit("clamp", [size], line, last=False, low=None, high=1.0)
    kept = emit_binary(b, "mul", x, differs, last=False)
    return emit_binary(
        b, "add", kept, emit_binary(b, "mul", _not(b, differs, last=False), values, last=False)
    )


def _place(b: Bound) -> tuple[int, Any]:
    """The axis and the index of a write."""
    if "dim" in b.args:
        return axis_of(int(b["dim"]), len(b.shape(b["self"]))), b["index"]
    given = [(axis, i) for axis, i in enumerate(b["indices"]) if i is not None]
    if len(given) != 1:
        raise b.refuse("writing at indices of several axes", "write along one axis")
    return given[0]


def _masks_scores(node: torch.fx.Node) -> bool:
    """Whether everything that reads a tensor is a move, a sum or a softmax, which ends the way."""
    names = {user: getattr(getattr(user.target, "_schema", None), "name", "") for user in node.users}
    return bool(names) and all(
        name in _SOFTMAXES or (name in _ON_THE_WAY and _masks_scores(user)) for user, name in names.items()
    )


def index(b: Bound) -> str:
    """aten::index by constant indices that pick evenly spaced elements."""
    x, chosen = b.activation(), b["indices"]
    if any(isinstance(i, str) for i in chosen):
        raise b.refuse("indices that are computed at run time", "use an embedding")
    picked = tuple(slice(None) if i is None else i for i in chosen)
    return _picked(b, x, _places(b, x)[picked])


def index_select(b: Bound) -> str:
    """aten::index_select by constant indices: a strided slice, or some slices joined."""
    x, chosen = b.activation(), b["index"]
    if isinstance(chosen, str):
        raise b.refuse("indices that are computed at run time", "use an embedding")
    axis = axis_of(int(b["dim"]), len(b.shape(x)))
    places = chosen.reshape(-1).tolist()
    if not 1 <= len(runs_of(places)) <= MAX_RUNS:
        return _picked(b, x, _places(b, x).index_select(axis, chosen))
    return emit_gather(b, x, axis, places)


def _places(b: Bound, x: str) -> torch.Tensor:
    return torch.arange(b.builder.type(x).elements).reshape(b.shape(x))


def _picked(b: Bound, x: str, places: torch.Tensor) -> str:
    """The elements at ``places`` of the flat tensor, as a strided slice of it."""
    flat, size = places.reshape(-1).numpy(), b.builder.type(x).elements
    steps = set(np.diff(flat).tolist())
    if flat.size == 0 or len(steps) > 1 or min(steps, default=1) < 1:
        raise b.refuse("indices that are not evenly spaced", "slice instead")
    if flat.size < size:
        line = b.emit("reshape", [x], (size,), last=False, shape=(size,))
        x = emit_slice(b, line, 0, int(flat[0]), flat.size, int(min(steps, default=1)), last=False)
    return b.emit("reshape", [x], b.out_shape, shape=b.out_shape)


def additive_mask(b: Bound, name: str) -> Any:
    """Argument ``name`` as what is added to scores: 0 where true, else `MASKED`; None for nothing."""
    mask = b[name]
    if mask is None or not b.is_truth(name):
        return mask
    if isinstance(mask, torch.Tensor):
        return None if bool(mask.all()) else torch.where(mask, 0.0, MASKED)
    hidden = emit_binary(b, "add", mask, -1.0, last=False)
    return emit_binary(b, "mul", hidden, -MASKED, last=False)


_OTHER_NAMES = {
    "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
}  # fmt: skip

HANDLERS: dict[str, Callable[[Bound], Any]] = {
    "aten::embedding": embedding,
    "aten::to": to_dtype,
    "aten::type_as": to_dtype,
    "aten::_to_copy": to_dtype,
    **{f"aten::{kind}": _compared(kind) for kind in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{f"aten::{name}": _compared(kind) for name, kind in _OTHER_NAMES.items()},
    "aten::__and__": both,
    "aten::bitwise_and": both,
    "aten::logical_and": both,
    "aten::bitwise_not": opposite,
    "aten::logical_not": opposite,
    "aten::where": where,
    "aten::masked_fill": masked_fill,
    **{f"aten::{name}": write for name in ("index_copy", "index_copy_", "index_put", "index_put_")},
    "aten::index": index,
    "aten::index_select": index_select,
}
