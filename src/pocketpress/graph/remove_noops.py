"""Remove what changes nothing (identity moves, x + 0, x * 1) and merge chains of moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pocketpress.core.program import Node, Program
from pocketpress.graph.rewrite import Rewrite


def remove_noops(program: Program) -> Program:
    """Run until nothing changes; program inputs and outputs keep their names."""
    while True:
        smaller = _pass(program)
        if len(smaller.nodes) == len(program.nodes) and smaller.nodes == program.nodes:
            return smaller
        program = smaller


def _pass(program: Program) -> Program:
    program = _merge_chains(program)
    rewrite = Rewrite(program)
    renamed: dict[str, str] = {}
    for node in program.nodes:
        if not is_noop(program, node):
            continue
        source, out = rewrite.resolve(node.inputs[0]), node.outputs[0]
        if out not in program.outputs:
            rewrite.alias(out, source)
        elif _may_take_name(program, source, renamed):
            renamed[source] = out
    rewrite.nodes = [
        n
        for n in rewrite.nodes
        if not (is_noop(program, n) and renamed.get(rewrite.resolve(n.inputs[0])) == n.outputs[0])
    ]
    rewrite.nodes = [_rename(n, renamed, rewrite) for n in rewrite.nodes]
    return rewrite.build()


def _rename(node: Node, renamed: dict[str, str], rewrite: Rewrite) -> Node:
    inputs = tuple(renamed.get(rewrite.resolve(n), rewrite.resolve(n)) for n in node.inputs)
    outputs = tuple(renamed.get(n, n) for n in node.outputs)
    name = outputs[0] if outputs != node.outputs else node.name
    return replace(node, name=name, inputs=inputs, outputs=outputs)


def _may_take_name(program: Program, source: str, renamed: dict[str, str]) -> bool:
    """A computed tensor may take an output's name; an input, constant or other output may not."""
    taken = set(program.inputs) | set(program.constants) | set(program.outputs)
    return source not in taken and source not in renamed


def is_noop(program: Program, node: Node) -> bool:
    """Whether the node's output equals its input, type included."""
    same = program.type(node.inputs[0]) == program.type(node.outputs[0])
    if not same or node.inputs[0] in program.constants:
        return False
    if node.op in ("reshape", "slice", "requantize"):
        return node.op != "slice" or not any(node.attrs["starts"])
    if node.op == "permute":
        shape = program.type(node.inputs[0]).shape
        longer = [axis for axis in node.attrs["axes"] if shape[axis] != 1]
        return longer == sorted(longer)
    if node.op == "clamp":
        return node.attrs["low"] is None and node.attrs["high"] is None
    if node.op == "pad":
        return not any((*node.attrs["before"], *node.attrs["after"]))
    if node.op in ("add", "mul") and node.attrs["clamp"] is None and node.inputs[1] in program.constants:
        neutral = 0.0 if node.op == "add" else 1.0
        return bool(np.all(program.constants[node.inputs[1]] == neutral))
    return node.op == "concat" and len(node.inputs) == 1


def _merge_chains(program: Program) -> Program:
    """reshape(reshape(x)) -> reshape(x), and so for permute and slice."""
    producers = program.producers()
    changes: dict[str, tuple[Node, ...]] = {}
    for node in program.nodes:
        first = producers.get(node.inputs[0]) if node.op in ("reshape", "permute", "slice") else None
        if first is None or first.op != node.op:
            continue
        merged = replace(node, inputs=first.inputs)
        if node.op == "permute":
            merged = merged.with_attrs(axes=tuple(first.attrs["axes"][a] for a in node.attrs["axes"]))
        if node.op == "slice":
            merged = merged.with_attrs(**_joined(first, node))
        changes[node.name] = (merged,)
        producers[node.outputs[0]] = merged
    rewrite = Rewrite(program)
    rewrite.replace_nodes(changes)
    return rewrite.build()


def _joined(first: Node, then: Node) -> dict[str, tuple[int, ...]]:
    """Attributes of one slice for two in a row; sizes are those of the second."""
    steps = first.attrs["steps"]
    starts = zip(first.attrs["starts"], then.attrs["starts"], steps, strict=True)
    return {
        "starts": tuple(start + step * more for start, more, step in starts),
        "steps": tuple(step * more for step, more in zip(steps, then.attrs["steps"], strict=True)),
    }
