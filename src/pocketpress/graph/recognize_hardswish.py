"""``x * relu6(x + 3) / 6`` in pieces becomes one operator again (Howard et al. 2019, section 5.2).

Networks wrote it so before their frameworks had it, and files do where their operator set has none.  In
pieces it would be rounded to 8 bits three times, by three operators instead of one table.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pocketpress.core.program import Node, Program
from pocketpress.graph.rewrite import Rewrite

CLOSE = 1e-6
"""Relative: constants of float32 and no others."""


def recognize_hardswish(program: Program) -> Program:
    """Replace every product of a tensor and its hard sigmoid, whatever the sixth is taken of."""
    rewrite, producers = Rewrite(program), program.producers()
    changes: dict[str, tuple[Node, ...]] = {}
    for node in program.nodes:
        x = _of(program, producers, node) if node.op == "mul" else None
        if x is not None:
            changes[node.name] = (Node("hardswish", node.name, (x,), node.outputs, {}, node.source),)
    rewrite.replace_nodes(changes)
    return rewrite.build() if changes else program


def _of(program: Program, producers: Mapping[str, Node], node: Node) -> str | None:
    """The ``x`` that a product is the hard swish of."""
    if node.attrs["clamp"] is not None:
        return None
    whole = _times(program, node, 1 / 6)
    if whole is not None:
        product = producers.get(whole)
        if product is None or product.op != "mul" or product.attrs["clamp"] is not None:
            return None
        return _gated(program, producers, product.inputs)
    parts = [_sixth(program, producers, name) for name in node.inputs]
    for i, part in enumerate(parts):
        if part is not None:
            found = _gated(program, producers, (part, node.inputs[1 - i]))
            if found is not None:
                return found
    return None


def _gated(program: Program, producers: Mapping[str, Node], factors: tuple[str, ...]) -> str | None:
    """The factor whose ``relu6(x + 3)`` is the other factor."""
    for gate, x in zip(factors, factors[::-1], strict=True):
        node = producers.get(gate)
        if node is None or node.op != "add" or node.inputs[0] != x:
            continue
        same = program.type(gate).shape == program.type(x).shape
        if same and node.attrs["clamp"] == (0.0, 6.0) and _is(program, node.inputs[1], 3.0):
            return x
    return None


def _sixth(program: Program, producers: Mapping[str, Node], name: str) -> str | None:
    """What a tensor is a sixth of."""
    node = producers.get(name)
    if node is None or node.op != "mul" or node.attrs["clamp"] is not None:
        return None
    return _times(program, node, 1 / 6)


def _times(program: Program, node: Node, factor: float) -> str | None:
    return node.inputs[0] if _is(program, node.inputs[1], factor) else None


def _is(program: Program, name: str, value: float) -> bool:
    found = program.constants.get(name)
    return found is not None and bool(np.all(np.abs(found - value) <= CLOSE * abs(value)))
