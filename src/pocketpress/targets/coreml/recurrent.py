"""Recurrent layers: ``while_loop`` around the operators of one step, so that weights are stored once.

Core ML's own ``gru``, ``lstm`` and ``rnn`` want the input product inside, with weights that are no integers;
what they compute could not be compared here with the reference either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pocketpress.core.program import Node, Program
from pocketpress.core.program.prefix import prefixed
from pocketpress.core.program.recurrent import RECURRENT, recurrent, state_names, step_program
from pocketpress.targets.coreml.emission import Emission
from pocketpress.targets.coreml.graph import Value
from pocketpress.targets.coreml.names import Names

__all__ = ["RECURRENT", "emit", "scopes"]

EmitNodes = Callable[[Emission], None]


def scopes(program: Program) -> list[tuple[Program, Names]]:
    """A program, and the step of each of its layers in order, with the names that they have in one file."""
    names = Names(program)
    found = [(program, names)]
    for node in program.nodes:
        if node.op in RECURRENT:
            step = _step(program, node)
            found.append((step, Names(step, names.taken)))
    return found


def _step(program: Program, node: Node) -> Program:
    return prefixed(step_program(program, node), f"{node.name}/")


def emit(e: Emission, node: Node, emit_nodes: EmitNodes) -> Value:
    """The loop; it carries the position, the result and the states, and reads the sequence from outside.

    A single step needs none.
    """
    parts, graph = recurrent(e.program, node), e.graph
    first, last, stride = (parts.steps - 1, 0, -1) if parts.reverse else (0, parts.steps - 1, 1)
    sequence, shape = e.real(parts.gates), e.shape(node)
    inside = Emission(_step(e.program, node), e)
    if parts.steps == 1:
        item = graph.op("reshape", sequence.shape[1:], x=sequence, shape=[*sequence.shape[1:]])
        made, _ = _one_step(inside, node, item, [e.real(name) for name in parts.states], emit_nodes)
        return graph.op("expand_dims", shape, x=made, axes=[0])
    comparison = "greater_equal" if parts.reverse else "less_equal"

    def condition(carried: Sequence[Value]) -> list[Value]:
        return [graph.op(comparison, (), "bool", x=carried[0], y=last)]

    def body(carried: Sequence[Value]) -> list[Value]:
        place, result, *states = carried
        item = graph.op(
            "gather",
            sequence.shape[1:],
            x=sequence,
            indices=place,
            axis=0,
            batch_dims=0,
            validate_indices=False,
        )
        made, after = _one_step(inside, node, item, states, emit_nodes)
        row = graph.op("expand_dims", (1, *shape[1:]), x=made, axes=[0])
        at = graph.op("expand_dims", (1,), "int32", x=place, axes=[0])
        written = graph.op(
            "scatter",
            shape,
            data=result,
            indices=at,
            updates=row,
            axis=0,
            mode="update",
            validate_indices=False,
        )
        return [graph.op("add", (), "int32", x=place, y=stride), written, *after]

    empty = graph.op("fill", shape, shape=[*shape], value=0.0)
    given = [graph.constant(first), empty, *(e.real(name) for name in parts.states)]
    return graph.loop(given, condition, body)[1]


def _one_step(
    inside: Emission, node: Node, item: Value, states: Sequence[Value], emit_nodes: EmitNodes
) -> tuple[Value, list[Value]]:
    """What the result holds of a step, and the states after it."""
    for name, value in zip(inside.program.inputs, (item, *states), strict=True):
        inside.give(name, value)
    emit_nodes(inside)
    after = [inside.real(f"{node.name}/{name}") for _, name in state_names(node)]
    if not node.attrs.get("cell"):
        return after[0], after
    shape = (after[0].shape[0], sum(value.shape[1] for value in after))
    return inside.graph.op("concat", shape, values=after, axis=1, interleave=False), after
