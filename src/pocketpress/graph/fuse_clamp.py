"""ReLU, ReLU6 and other clamps move into the operator before them."""

from __future__ import annotations

from dataclasses import replace

from pocketpress.core.program import Node, Program
from pocketpress.graph.rewrite import Rewrite, sole_consumer

HOSTS = ("conv2d", "conv_transpose2d", "linear", "add", "sub", "mul")


def fuse_clamp(program: Program) -> Program:
    """Fuse every clamp whose input has no other reader; two clamps in a row become their intersection."""
    changed = True
    while changed:
        program, changed = _fuse_once(program)
    return program


def _fuse_once(program: Program) -> tuple[Program, bool]:
    rewrite = Rewrite(program)
    for node in program.nodes:
        if node.op not in HOSTS:
            continue
        clamp = sole_consumer(program, node.outputs[0])
        if clamp is None or clamp.op != "clamp":
            continue
        limits = intersect(node.attrs["clamp"], (clamp.attrs["low"], clamp.attrs["high"]))
        merged = replace(node.with_attrs(clamp=limits), name=clamp.name, outputs=clamp.outputs)
        rewrite.replace_nodes({node.name: (), clamp.name: (merged,)})
        return rewrite.build(), True
    return program, False


Limits = tuple[float | None, float | None]


def intersect(first: Limits | None, second: Limits) -> Limits:
    """Clamping by ``first`` and then by ``second`` as one clamp; where they are disjoint, ``second`` wins."""
    if first is None:
        return second
    return _within(first[0], second, second[0]), _within(first[1], second, second[1])


def _within(limit: float | None, bounds: Limits, unbounded: float | None) -> float | None:
    if limit is None:
        return unbounded
    low, high = bounds
    limit = limit if low is None else max(limit, low)
    return limit if high is None else min(limit, high)


def is_host(node: Node) -> bool:
    """Whether a node can carry a clamp."""
    return node.op in HOSTS
