"""States in an integer network: which of their arithmetic stays in float, and why.

A state that is rounded again at every step drifts, and an integer state that is updated by small amounts
(a running mean, ``h + (1 - z) (n - h)``, a cache that is multiplied by a mask) loses what is below half a
step.  So arithmetic that leads element by element from a state to its next value is computed in float, and
the state with it.  What is only moved from a state to its next value (a buffer of the last frames) may be
integer: both ends then share one scale and zero point (`scales`), and quantise gives back the integers that
dequantise got.  What passes through a product of matrices or a saturating function is computed anew at every
step.
"""

from __future__ import annotations

from collections.abc import Iterable

from pocketpress.core.program import OPS, Node, Program

CARRYING = ("add", "sub", "mul", "div", "minimum", "maximum", "clamp", "neg", "abs")
"""Arithmetic whose result holds the state element by element; moves do too."""
REASON = "it updates a state, which is kept in float"
TIED = "a result may lie next to a rounding tie, and the state would keep what a runtime makes of it"


def updating_nodes(program: Program) -> frozenset[str]:
    """Names of the nodes that carry a state to its next value and are computed in float."""
    found: set[str] = set()
    for state in program.states:
        for other in program.states:
            path = _between(program, state.input, other.output)
            if any(OPS[node.op].integer != "move" for node in path):
                found |= {node.name for node in path}
    return frozenset(found | _written(program, found))


def undecided(program: Program, near_ties: Iterable[str]) -> dict[str, str]:
    """Arithmetic near a rounding tie in a network with state, with the reason why it stays in float.

    One step that two runtimes round differently stays in the state, so no step after it is equal.  In float
    such a sum or product is the same everywhere, and so is its rounding afterwards.
    """
    if not program.states:
        return {}
    ops = {node.name: node.op for node in program.nodes}
    return {name: TIED for name in near_ties if ops[name] in ("add", "sub", "mul")}


def _carries(node: Node) -> bool:
    return node.op in CARRYING or OPS[node.op].integer == "move"


def _between(program: Program, start: str, end: str) -> list[Node]:
    """Nodes on paths of `_carries` from one tensor to another."""
    reached = {start}
    forward = []
    for node in program.nodes:
        if _carries(node) and reached & set(node.inputs):
            reached |= set(node.outputs)
            forward.append(node)
    wanted, path = {end}, []
    for node in reversed(forward):
        if wanted & set(node.outputs):
            wanted |= set(node.inputs)
            path.append(node)
    return path


def _written(program: Program, updating: set[str]) -> set[str]:
    """Element-by-element arithmetic that nothing but the update of a state reads."""
    readers, found = program.consumers(), set[str]()
    for node in reversed(program.nodes):
        users = readers.get(node.outputs[0], [])
        inside = users and all(user.name in updating or user.name in found for user in users)
        if node.op in CARRYING and inside and node.outputs[0] not in program.outputs:
            found.add(node.name)
    return found
