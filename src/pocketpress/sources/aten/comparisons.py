"""Comparisons of real numbers, and functions with a jump: all are made of ``step``, 1 above 0 and else 0.

Truth values are 1.0 and 0.0.  A difference of two float32 numbers is 0 exactly where they are equal
(gradual underflow), so its sign is the comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pocketpress.sources.aten.bound import Bound
from pocketpress.sources.aten.elementwise import emit_binary


def emit_not(b: Bound, truth: str, *, last: bool = True) -> str:
    """1 - truth."""
    return emit_binary(b, "add", emit_binary(b, "mul", truth, -1.0, last=False), 1.0, last=last)


def emit_step(b: Bound, x: str, *, last: bool = True) -> str:
    """1 where x > 0, else 0."""
    return b.emit("step", [x], b.shape(x), last=last)


def _above(b: Bound, left: Any, right: Any, *, last: bool = True) -> str:
    """1 where left > right."""
    return emit_step(b, _difference(b, left, right), last=last)


def _difference(b: Bound, left: Any, right: Any) -> str:
    if isinstance(left, str) and isinstance(right, (int, float)) and right == 0:
        return left
    return emit_binary(b, "sub", left, right, last=False)


def _apart(b: Bound, left: Any, right: Any, *, last: bool = True) -> str:
    """1 where left and right differ."""
    distance = _difference(b, left, right)
    size = b.emit("abs", [distance], b.shape(distance), last=False)
    return emit_step(b, size, last=last)


def compare(b: Bound, kind: str, left: Any, right: Any) -> str:
    """``gt``, ``lt``, ``ge``, ``le``, ``eq`` or ``ne`` of real tensors, constants and numbers."""
    if kind == "ne":
        return _apart(b, left, right)
    if kind == "eq":
        return emit_not(b, _apart(b, left, right, last=False))
    if kind == "gt":
        return _above(b, left, right)
    if kind == "lt":
        return _above(b, right, left)
    first, second = (right, left) if kind == "ge" else (left, right)
    return emit_not(b, _above(b, first, second, last=False))


def sign(b: Bound) -> str:
    """step(x) - step(-x)."""
    x = b.activation()
    opposite = b.emit("neg", [x], b.out_shape, last=False)
    return emit_binary(b, "sub", emit_step(b, x, last=False), emit_step(b, opposite, last=False))


def heaviside(b: Bound) -> str:
    """step(x), and ``values`` where x is 0."""
    x, value = b.activation(), b["values"]
    found = emit_step(b, x, last=False)
    zero = emit_not(b, _apart(b, x, 0, last=False), last=False)
    return emit_binary(b, "add", found, emit_binary(b, "mul", zero, value, last=False))


def hardshrink(b: Bound) -> str:
    """x where abs(x) > lambda, else 0."""
    x = b.activation()
    size = b.emit("abs", [x], b.out_shape, last=False)
    return emit_binary(b, "mul", x, _above(b, size, float(b["lambd"]), last=False))


def threshold(b: Bound) -> str:
    """x where it is above the threshold, else the value."""
    x, limit, value = b.activation(), float(b["threshold"]), float(b["value"])
    if limit == value:
        return b.emit("clamp", [x], b.out_shape, low=limit, high=None)
    above = _above(b, x, limit, last=False)
    kept = emit_binary(b, "mul", x, above, last=value == 0)
    if value == 0:
        return kept
    rest = emit_binary(b, "mul", emit_not(b, above, last=False), value, last=False)
    return emit_binary(b, "add", kept, rest)


def either(b: Bound) -> str:
    """aten::logical_or and ``|`` of truth values: the larger one."""
    _need_truth(b)
    left, right = (b.tensor(v if isinstance(v, str) else v.float()) for v in (b["self"], b["other"]))
    return b.emit("maximum", [left, right], b.out_shape)


def one_of_two(b: Bound) -> str:
    """aten::logical_xor and ``^`` of truth values: the size of their difference."""
    _need_truth(b)
    left, right = (v if isinstance(v, str) else v.float() for v in (b["self"], b["other"]))
    distance = emit_binary(b, "sub", left, right, last=False)
    return b.emit("abs", [distance], b.out_shape)


def _need_truth(b: Bound) -> None:
    if not (b.is_truth("self") and b.is_truth("other")):
        raise b.refuse("bitwise operation on whole numbers")


HANDLERS: dict[str, Callable[[Bound], Any]] = {
    "aten::sign": sign,
    "aten::sgn": sign,
    "aten::heaviside": heaviside,
    "aten::hardshrink": hardshrink,
    "aten::threshold": threshold,
    "aten::threshold_": threshold,
    "aten::logical_or": either,
    "aten::__or__": either,
    "aten::bitwise_or": either,
    "aten::logical_xor": one_of_two,
    "aten::bitwise_xor": one_of_two,
    "aten::__xor__": one_of_two,
}
