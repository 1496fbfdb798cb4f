"""Whole numbers that are computed: rounding, division with a rest, and how far they stay exact.

A program holds them as float32, which has every whole number up to 2^24.  The operator ``whole`` makes int32
of them where something needs that: an output, or the rows of a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pocketpress.core.program import Node, ProgramBuilder
from pocketpress.sources.aten.bound import Bound
from pocketpress.sources.aten.elementwise import emit_binary

EXACT = 2**24
"""Float32 has every whole number up to here."""
LARGEST_SUM = 2**22
"""A mean times the count, and a quotient times the divisor, err by less than half up to here."""
MOST_DEEP = 200
"""Operators that are looked back over."""

Reach = tuple[float, float]
_ANYTHING: Reach = (-math.inf, math.inf)
_KNOWN: dict[str, Reach] = {
    **dict.fromkeys(("step", "sigmoid", "hardsigmoid", "softmax"), (0.0, 1.0)),
    **dict.fromkeys(("tanh", "sin", "cos"), (-1.0, 1.0)),
}
_SAME = ("reshape", "permute", "slice", "concat", "max_pool2d", "resize_nearest", "mean", "cast", "whole")
_ROUNDED = ("floor", "round", "argmax", "step")


def reach(builder: ProgramBuilder, name: str, depth: int = 0) -> Reach:
    """Least and largest number that a tensor can hold, as its makers say; infinite where they do not."""
    constant = builder.constant_value(name)
    if constant is not None:
        return (float(constant.min()), float(constant.max())) if constant.size else (0.0, 0.0)
    node = builder.producer(name)
    if node is None or depth > MOST_DEEP:
        return _ANYTHING
    low, high = _reach_of(builder, node, depth + 1)
    clamp = (node.attrs["low"], node.attrs["high"]) if node.op == "clamp" else node.attrs.get("clamp")
    least, most = clamp or (None, None)
    low, high = (low if least is None else max(low, least)), (high if most is None else min(high, most))
    return low, max(low, high)


def _reach_of(builder: ProgramBuilder, node: Node, depth: int) -> Reach:
    if node.op in _KNOWN:
        return _KNOWN[node.op]
    if node.op == "argmax":
        return 0.0, float(builder.type(node.inputs[0]).shape[node.attrs["axis"]] - 1)
    if node.op == "embedding":
        return reach(builder, node.inputs[1], depth)
    if node.op == "linear":
        return _reach_of_sums(builder, node, depth)
    if node.op in ("pow", "power"):
        return _reach_of_power(builder, node, depth)
    if node.op not in (*_SAME, *_ARITHMETIC):
        return _ANYTHING
    parts = [reach(builder, name, depth) for name in node.inputs]
    if node.op in _SAME:
        return min(low for low, _ in parts), max(high for _, high in parts)
    return _ARITHMETIC[node.op](*parts)


def _reach_of_sums(builder: ProgramBuilder, node: Node, depth: int) -> Reach:
    weight = builder.constant_value(node.inputs[1])
    low, high = reach(builder, node.inputs[0], depth)
    if weight is None or len(node.inputs) > 2 or not weight.size or math.isinf(low) or math.isinf(high):
        return _ANYTHING
    above, below = weight.clip(min=0).sum(1), weight.clip(max=0).sum(1)
    return float((above * low + below * high).min()), float((above * high + below * low).max())


def _reach_of_power(builder: ProgramBuilder, node: Node, depth: int) -> Reach:
    """Of exponents from 0 on: the largest size to the largest exponent, or 1."""
    low, high = reach(builder, node.inputs[0], depth)
    exponent = node.attrs.get("exponent")
    least, most = (exponent, exponent) if exponent is not None else reach(builder, node.inputs[1], depth)
    if least < 0:
        return _ANYTHING
    try:
        size = max(1.0, -low, high) ** most
    except OverflowError:
        size = math.inf
    return (0.0 if low >= 0 else -size), size


def _product(a: Reach, b: Reach) -> Reach:
    corners = [0.0 if 0 in (x, y) else x * y for x in a for y in b]
    return min(corners), max(corners)


def _size(a: Reach) -> Reach:
    least = 0.0 if a[0] <= 0 <= a[1] else min(abs(a[0]), abs(a[1]))
    return least, max(abs(a[0]), abs(a[1]))


def _outwards(a: Reach) -> Reach:
    low, high = a
    return (low if math.isinf(low) else math.floor(low)), (high if math.isinf(high) else math.ceil(high))


_ARITHMETIC: dict[str, Callable[..., Reach]] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "mul": _product,
    "minimum": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "maximum": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "neg": lambda a: (-a[1], -a[0]),
    "abs": _size,
    "floor": _outwards,
    "round": _outwards,
    "clamp": lambda a: a,
    "pad": lambda a: (min(a[0], 0.0), max(a[1], 0.0)),
}


def is_exact(builder: ProgramBuilder, name: str, depth: int = 0) -> bool:
    """Whether float32 surely holds the whole numbers of a tensor as integers would."""
    node = builder.producer(name)
    if node is None:
        return True
    if node.op in _ROUNDED or depth > MOST_DEEP:
        return node.op in _ROUNDED
    if node.op == "cast":
        return is_small(builder, node.inputs[0])
    if node.op in ("pow", "power"):
        return False  # until it is rounded
    if node.op in ("add", "sub", "mul", "linear") and not is_small(builder, name):
        return False
    if node.op == "clamp" and is_small(builder, name) and _is_as_given(builder, node.inputs[0]):
        return True  # what float32 rounds lies beyond the limits, on the same side
    return all(is_exact(builder, source, depth + 1) for source in node.inputs)


def _is_as_given(builder: ProgramBuilder, name: str) -> bool:
    """Whether a tensor is whole numbers of the caller, made real."""
    node = builder.producer(name)
    while node is not None and node.op in ("reshape", "permute", "slice"):
        node = builder.producer(node.inputs[0])
    return node is not None and node.op == "cast"


def is_small(builder: ProgramBuilder, name: str) -> bool:
    """Whether the numbers of a tensor surely lie within 2^24."""
    low, high = reach(builder, name)
    return low >= -EXACT and high <= EXACT


def is_whole(builder: ProgramBuilder, name: str, depth: int = 0) -> bool:
    """Whether a real tensor surely holds whole numbers only."""
    constant, node = builder.constant_value(name), builder.producer(name)
    if constant is not None:
        return bool((constant == constant.round()).all())
    if node is None or depth > MOST_DEEP:
        return False
    if node.op in (*_ROUNDED, "cast"):
        return True
    kept = (
        *("add", "sub", "mul", "neg", "abs", "minimum", "maximum"),
        *("reshape", "permute", "slice", "concat"),
    )
    return node.op in kept and all(is_whole(builder, source, depth + 1) for source in node.inputs)


def emit_floor(b: Bound, x: str, *, last: bool = True) -> str:
    """Append the largest whole number that is not above; nothing where all are whole."""
    x = b.real(x)
    if is_whole(b.builder, x):
        return x
    return b.emit("floor", [x], b.shape(x), last=last)


def emit_truncated(b: Bound, x: str, *, last: bool = True) -> str:
    """Append the whole part: the larger of floor and of the ceiling, as far as that is below 0."""
    x = b.real(x)
    if is_whole(b.builder, x):
        return x
    if reach(b.builder, x)[0] >= 0:
        return emit_floor(b, x, last=last)
    shape = b.shape(x)
    below = b.emit("floor", [x], shape, last=False)
    above = b.emit("floor", [b.emit("neg", [x], shape, last=False)], shape, last=False)
    above = b.emit("neg", [above], shape, last=False)
    above = b.emit("clamp", [above], shape, last=False, low=None, high=0.0)
    return b.emit("maximum", [below, above], shape, last=last)


def floor(b: Bound) -> str:
    """aten::floor."""
    return emit_floor(b, b.activation())


def ceil(b: Bound) -> str:
    """aten::ceil: -floor(-x)."""
    x = b.activation()
    opposite = b.emit("neg", [x], b.out_shape, last=False)
    return b.emit("neg", [emit_floor(b, opposite, last=False)], b.out_shape)


def round_(b: Bound) -> str:
    """aten::round, half to even; to decimals of the scaled number."""
    x, decimals = b.activation(), int(b.args.get("decimals") or 0)
    if not decimals:
        return x if is_whole(b.builder, b.real(x)) else b.emit("round", [x], b.out_shape)
    scaled = emit_binary(b, "mul", x, 10.0**decimals, last=False)
    return emit_binary(b, "mul", b.emit("round", [scaled], b.out_shape, last=False), 10.0**-decimals)


def truncated(b: Bound) -> str:
    """aten::trunc."""
    return emit_truncated(b, b.activation())


def fraction(b: Bound) -> str:
    """aten::frac: what truncation takes away."""
    x = b.activation()
    return emit_binary(b, "sub", x, emit_truncated(b, x, last=False))


def wave(kind: str) -> Callable[[Bound], str]:
    """aten::sin and aten::cos."""
    return lambda b: b.emit(kind, [b.activation()], b.out_shape)


def tangent(b: Bound) -> str:
    """aten::tan: sine over cosine."""
    x = b.activation()
    parts = [b.emit(kind, [x], b.out_shape, last=False) for kind in ("sin", "cos")]
    return emit_binary(b, "div", *parts)


def divided(b: Bound) -> str:
    """aten::div; with a rounding mode the floor or the whole part of the quotient."""
    mode = b.args.get("rounding_mode")
    if mode is None:
        return emit_binary(b, "div", b["self"], b["other"])
    return _quotient(b, mode)


def _quotient(b: Bound, mode: str, *, last: bool = True) -> str:
    """Append a quotient of which the rest is left; of whole numbers it is exact.

    A whole number over a constant gets half a unit more, away from 0: then no rounding of the division, nor
    a product with the reciprocal, can take it to the other side of a whole number.
    """
    left, right = b["self"], b["other"]
    number = _number(right)
    whole = number is not None and _holds_whole(b, "self") and float(number).is_integer() and number != 0
    if whole and isinstance(left, str):
        assert number is not None
        return _whole_quotient(b, left, number, mode, last=last)
    if isinstance(right, torch.Tensor):
        right = b.tensor(right.float())
    elif not isinstance(right, str):
        right = b.tensor(float(right))
    left = left if isinstance(left, str) else b.tensor(torch.as_tensor(left).float())
    quotient = b.emit("div", [left, right], _together(b, left, right), last=False)
    return (emit_floor if mode == "floor" else emit_truncated)(b, quotient, last=last)


def _whole_quotient(b: Bound, x: str, number: float, mode: str, *, last: bool) -> str:
    x = b.real(x)
    if not is_exact(b.builder, x) or max(map(abs, reach(b.builder, x))) > LARGEST_SUM:
        raise b.refuse(f"a division with rest of {INEXACT}", NEXT_STEP)
    if number < 0:
        x, number = b.emit("neg", [x], b.shape(x), last=False), -number
    if mode == "floor" or reach(b.builder, x)[0] >= 0:
        moved = emit_binary(b, "add", x, 0.5, last=False)
        return b.emit("floor", [emit_binary(b, "mul", moved, 1 / number, last=False)], b.shape(x), last=last)
    sides = []
    for sign in (1.0, -1.0):
        side = emit_binary(b, "mul", x, sign, last=False)
        side = b.emit("clamp", [side], b.shape(x), last=False, low=0.0, high=None)
        moved = emit_binary(b, "mul", emit_binary(b, "add", side, 0.5, last=False), 1 / number, last=False)
        sides.append(b.emit("floor", [moved], b.shape(x), last=False))
    return b.emit("sub", sides, b.shape(x), last=last, clamp=None)


INEXACT = "whole numbers that may lie beyond 2^24, where float32 skips some"
NEXT_STEP = "make real numbers of them with .float(), or let the network end before"


def _number(value: Any) -> float | None:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    return float(value) if isinstance(value, (int, float)) else None


def _holds_whole(b: Bound, name: str) -> bool:
    return b.dtypes.get(name) in (torch.int32, torch.int64)


def _together(b: Bound, left: str, right: str) -> tuple[int, ...]:
    return np.broadcast_shapes(b.shape(left), b.shape(right))


def floor_divided(b: Bound) -> str:
    """aten::floor_divide."""
    return _quotient(b, "floor")


def _rest(mode: str) -> Callable[[Bound], str]:
    """aten::remainder, of the sign of the divisor, and aten::fmod, of that of the number."""

    def handler(b: Bound) -> str:
        divisor = b["other"]
        if isinstance(divisor, torch.Tensor) and not bool((divisor.isfinite() & (divisor != 0)).all()):
            raise b.refuse("a division by 0 or by what is infinite", "leave such divisors out")
        quotient = _quotient(b, mode, last=False)
        return emit_binary(b, "sub", b["self"], emit_binary(b, "mul", quotient, b["other"], last=False))

    return handler


def one_hot(b: Bound) -> str:
    """aten::one_hot of a given number of classes: 1 where the class is the number."""
    classes, x = int(b["num_classes"]), b.real(b.activation())
    if classes < 1:
        raise b.refuse("one_hot of an unknown number of classes", "give num_classes")
    single = (*b.shape(x), 1)
    column = b.emit("reshape", [x], single, last=False, shape=single)
    apart = emit_binary(b, "sub", column, torch.arange(classes).float(), last=False)
    other = b.emit("step", [b.emit("abs", [apart], b.shape(apart), last=False)], b.shape(apart), last=False)
    opposite = emit_binary(b, "mul", other, -1.0, last=False)
    return emit_binary(b, "add", opposite, 1.0)


HANDLERS: dict[str, Callable[[Bound], Any]] = {
    "aten::floor": floor,
    "aten::ceil": ceil,
    "aten::round": round_,
    "aten::trunc": truncated,
    "aten::fix": truncated,
    "aten::frac": fraction,
    "aten::sin": wave("sin"),
    "aten::cos": wave("cos"),
    "aten::tan": tangent,
    "aten::div": divided,
    "aten::div_": divided,
    "aten::divide": divided,
    "aten::floor_divide": floor_divided,
    "aten::remainder": _rest("floor"),
    "aten::fmod": _rest("trunc"),
    "aten::one_hot": one_hot,
}
