"""Orders of axes, and which operators may be computed in any of them.

An order is a tuple ``axes``; a tensor in that order has ``shape[i] == declared.shape[axes[i]]``.
"""

from __future__ import annotations

from typing import Any

from pocketpress.core.program import Node, Program

Axes = tuple[int, ...]

ELEMENTWISE = frozenset(
    {
        "add", "sub", "mul", "div", "minimum", "maximum", "pow", "clamp", "sigmoid", "tanh", "hardswish",
        "hardsigmoid", "leaky_relu", "elu", "gelu", "exp", "log", "sqrt", "rsqrt", "abs", "neg",
        "power", "step", "floor", "round", "sin", "cos",
    }
)  # fmt: skip
AXIS_OPS = frozenset({"concat", "mean", "softmax", "pad", "slice"})
"""Operators that only need their axes renumbered."""
PER_AXIS = ("starts", "sizes", "steps", "before", "after")
"""Attributes with one entry per axis."""


def is_free(node: Node) -> bool:
    """Whether a node can be computed in any order of the axes."""
    return node.op in ELEMENTWISE or node.op in AXIS_OPS


def identity(program: Program, name: str) -> Axes:
    """The declared order of a tensor."""
    return tuple(range(len(program.type(name).shape)))


def compose(first: Axes, then: Axes) -> Axes:
    """Permuting by ``first`` and then by ``then`` as one order."""
    return tuple(first[a] for a in then)


def inverse(axes: Axes) -> Axes:
    """The order that undoes ``axes``."""
    return tuple(axes.index(i) for i in range(len(axes)))


def moves_nothing(shape: tuple[int, ...], axes: Axes) -> bool:
    """Whether the axes larger than 1 keep their sequence, so that a reshape does the same."""
    moved = [a for a in axes if shape[a] != 1]
    return moved == sorted(moved)


def reordered(node: Node, order: Axes) -> dict[str, Any]:
    """Attributes of a free node for operands in ``order``."""
    attrs: dict[str, Any] = dict(node.attrs)
    if node.op not in AXIS_OPS:
        return attrs
    rank = len(order)
    for key in PER_AXIS:
        if key in attrs:
            attrs[key] = tuple(attrs[key][a] for a in order)
    if "axis" in attrs:
        attrs["axis"] = order.index(int(attrs["axis"]) % rank)
    if "axes" in attrs:
        attrs["axes"] = tuple(sorted(order.index(int(a) % rank) for a in attrs["axes"]))
    return attrs


def result_order(node: Node, order: Axes) -> Axes:
    """The order of a free node's result; a mean that drops axes leaves the others in sequence."""
    if node.op != "mean" or node.attrs["keepdims"]:
        return order
    gone = {int(a) % len(order) for a in node.attrs["axes"]}
    left = [a for a in order if a not in gone]
    return tuple(sorted(left).index(a) for a in left)
