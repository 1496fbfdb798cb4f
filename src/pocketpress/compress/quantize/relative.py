"""Arithmetic whose small results count as much as its large ones: what roots, logarithms and quotients read.

A grid of 256 steps is as fine for small numbers as for large ones, which costs a square or a sum nothing
where it is added to others.  A root, a logarithm or a reciprocal of it makes small numbers large: those
below half a step become 0, whose logarithm is not even finite.  So arithmetic that leads to nothing else
stays in float, from the last result that others read too, or that is no sum, mean or product of two on.  So
does a sigmoid that nothing else reads: its grid has no number between 0 and 1/256.

The logarithm of a power spectrum ranges over more than the 48 dB of 8 bits, and sees the rounding of what is
squared as a floor.  There the transforms before the squares (a Fourier transform written as convolutions)
and after them (a mel filter bank) stay in float too.
"""

from __future__ import annotations

from pocketpress.core.program import OPS, Node, Program

ROOTS = ("sqrt", "rsqrt", "log")
PASSING = ("add", "sub", "mul", "mean", "neg", "abs", "avg_pool2d")
LAST = ("sigmoid", "hardsigmoid")
TRANSFORMS = ("conv2d", "linear")
REASON = "a root, a logarithm or a quotient of it needs its small numbers"
SPECTRUM = "part of the logarithm of a power spectrum, which ranges over more than 8 bits hold"


def relative_nodes(program: Program) -> dict[str, str]:
    """Nodes that lead to nothing but a root, a logarithm or a denominator: name to reason."""
    readers, found, last = program.consumers(), set[str](), set[str]()
    for node in reversed(program.nodes):
        out = node.outputs[0]
        users = readers.get(out, [])
        if out in program.outputs or not users:
            continue
        if all(user.name in found or _magnifies(user, out) for user in users):
            if _passes(node):
                found.add(node.name)
            elif node.op in LAST:
                last.add(node.name)
    return dict.fromkeys(found | last, REASON) | dict.fromkeys(_spectra(program), SPECTRUM)


def _passes(node: Node) -> bool:
    return node.op in PASSING or OPS[node.op].integer == "move"


def _magnifies(node: Node, name: str) -> bool:
    """Whether a node makes small numbers of an input large ones."""
    if node.op == "pow":
        return float(node.attrs["exponent"]) < 1
    return node.op in ROOTS or (node.op == "div" and node.inputs[1] == name)


def _spectra(program: Program) -> set[str]:
    """Nodes of power spectra that only logarithms read: before squares, the squares, and behind them."""
    readers, makers, linear = program.consumers(), program.producers(), dict[str, Node]()
    for node in reversed(program.nodes):
        users = readers.get(node.outputs[0], [])
        inside = users and all(user.name in linear or user.op == "log" for user in users)
        if inside and node.outputs[0] not in program.outputs and _is_linear(program, node):
            linear[node.name] = node
    before, behind = set[str](), set[str]()
    for node in linear.values():
        if any(user.name in before or _is_square(user) for user in readers[node.outputs[0]]):
            before.add(node.name)
    for node in reversed(linear.values()):
        made = [makers[name] for name in node.inputs if name in makers]
        if _is_square(node) or any(maker.name in behind for maker in made):
            behind.add(node.name)
    return before | behind


def _is_linear(program: Program, node: Node) -> bool:
    """Sums, products and moves, squares and their roots; a floor above 0, which keeps a logarithm finite."""
    if node.attrs.get("clamp") is not None:
        return False
    if node.op == "clamp":
        return (node.attrs["low"] or 0.0) > 0
    fixed = node.op in TRANSFORMS and all(name in program.constants for name in node.inputs[1:])
    return fixed or node.op == "sqrt" or _passes(node)


def _is_square(node: Node) -> bool:
    return node.op == "mul" and node.inputs[0] == node.inputs[1]
