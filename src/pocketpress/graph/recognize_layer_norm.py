"""Layer normalisation that a file has in pieces becomes one operator again.

``(x - mean) * rsqrt(mean((x - mean)^2) + eps)``, times a constant and plus a constant where they follow
(Ba et al. 2016, eq. 4).  In pieces its variance would be rounded to 8 bits, which ranges over squares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pocketpress.core.program import Node, Program
from pocketpress.core.program.ir import Array
from pocketpress.graph.rewrite import Rewrite, sole_consumer


@dataclass(frozen=True)
class _Found:
    """A normalisation of ``x`` whose result is that of ``last``."""

    x: str
    axes: tuple[int, ...]
    eps: float
    last: Node


def recognize_layer_norm(program: Program) -> Program:
    """Replace every normalisation over the last axes."""
    rewrite = Rewrite(program)
    producers = program.producers()
    changes: dict[str, tuple[Node, ...]] = {}
    for node in program.nodes:
        found = _normalized(program, producers, node) if node.op == "mul" else None
        if found is None:
            continue
        shape = tuple(program.type(found.x).shape[a] for a in found.axes)
        weight, last = _constant(program, found.last, "mul", shape)
        bias, last = _constant(program, last, "add", shape)
        parameters = [
            rewrite.constant(f"{last.name}_weight", np.ones(shape, np.float32) if weight is None else weight),
            rewrite.constant(f"{last.name}_bias", np.zeros(shape, np.float32) if bias is None else bias),
        ]
        attrs = {"axes": found.axes, "eps": found.eps}
        changes[last.name] = (
            Node("layer_norm", last.name, (found.x, *parameters), last.outputs, attrs, last.source),
        )
    rewrite.replace_nodes(changes)
    return rewrite.build() if changes else program


def _normalized(program: Program, producers: Mapping[str, Node], node: Node) -> _Found | None:
    """Whether a product is ``(x - mean) * rsqrt(variance + eps)``."""
    if node.attrs["clamp"] is not None:
        return None
    pair = [producers.get(name) for name in node.inputs]
    if {n.op for n in pair if n is not None} != {"sub", "rsqrt"}:
        return None
    centred, root = sorted((n for n in pair if n is not None), key=lambda n: n.op == "rsqrt")
    safe = producers.get(root.inputs[0])
    if safe is None or safe.op != "add" or safe.attrs["clamp"] is not None:
        return None
    eps = program.constants.get(safe.inputs[1])
    variance = producers.get(safe.inputs[0])
    if eps is None or eps.size != 1 or variance is None or variance.op != "mean":
        return None
    square = producers.get(variance.inputs[0])
    x, axes = centred.inputs[0], _axes(program, variance)
    if square is None or square.op != "mul" or square.attrs["clamp"] is not None or axes is None:
        return None
    differences = [centred, *(producers.get(name) for name in square.inputs)]
    if all(_is_centred(program, producers, d, x, axes) for d in differences):
        return _Found(x, axes, float(eps.reshape(-1)[0]), node)
    return None


def _is_centred(
    program: Program, producers: Mapping[str, Node], node: Node | None, x: str, axes: tuple[int, ...]
) -> bool:
    if node is None or node.op != "sub" or node.attrs["clamp"] is not None or node.inputs[0] != x:
        return False
    mean = producers.get(node.inputs[1])
    return mean is not None and mean.op == "mean" and mean.inputs[0] == x and _axes(program, mean) == axes


def _axes(program: Program, mean: Node) -> tuple[int, ...] | None:
    """The last axes of the input, kept; None for other means."""
    rank = len(program.type(mean.inputs[0]).shape)
    axes = tuple(sorted(int(a) % rank for a in mean.attrs["axes"]))
    return axes if mean.attrs["keepdims"] and axes == tuple(range(rank - len(axes), rank)) else None


def _constant(program: Program, node: Node, op: str, shape: tuple[int, ...]) -> tuple[Array | None, Node]:
    """The constant that the one reader multiplies by or adds, and that reader; else None and the node."""
    reader = sole_consumer(program, node.outputs[0])
    if reader is None or reader.op != op or reader.attrs["clamp"] is not None:
        return None, node
    value = program.constants.get(reader.inputs[1])
    same = program.type(reader.outputs[0]).shape == program.type(node.outputs[0]).shape
    if value is None or not same:
        return None, node
    missing = len(program.type(node.outputs[0]).shape) - value.ndim
    full = value.reshape((1,) * missing + value.shape)
    if any(size != 1 for size in full.shape[: full.ndim - len(shape)]):
        return None, node
    return np.array(np.broadcast_to(full.reshape(full.shape[full.ndim - len(shape) :]), shape)), reader
