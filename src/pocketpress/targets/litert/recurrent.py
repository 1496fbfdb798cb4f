"""Recurrent layers: WHILE around the operators of one step, so that the file holds the weights once.

XNNPACK takes the body as it takes any graph.  WHILE copies what it carries in every round, the sequence and
its result with it; a long sequence is therefore cut, and a loop over the pieces carries all of it while a
loop over the steps carries one piece: T steps copy ``2 T^1.5`` of them instead of ``T^2``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pocketpress.core.program import Node, Program, TensorType
from pocketpress.core.program.prefix import prefixed
from pocketpress.core.program.recurrent import RECURRENT, recurrent, state_names, step_program
from pocketpress.targets.litert.emission import Emission
from pocketpress.targets.litert.graph import Graph
from pocketpress.targets.litert.movement import reshape_to

__all__ = ["RECURRENT", "emit"]

EmitNodes = Callable[[Emission], None]
CARRIED_BYTES = 1 << 16
"""Sequence and result that one loop carries; copying more costs as much as a step."""

_INDEX = TensorType((), "int32")


@dataclass(frozen=True)
class _Layer:
    """What the loops of a layer have in common.

    Attributes:
        emission: of the graph that the layer stands in.
        step: one step, with names of its own.
        states: (input, output) of the step for every state.
        shown: outputs of the step that the result holds, side by side.
        reverse: whether the last step comes first.
        emit_nodes: emits a whole program.
    """

    emission: Emission
    step: Program
    states: tuple[tuple[str, str], ...]
    shown: tuple[str, ...]
    reverse: bool
    emit_nodes: EmitNodes

    @property
    def gates(self) -> TensorType:
        """Input products of a step."""
        return self.step.type(self.step.inputs[0])

    @property
    def result(self) -> TensorType:
        """What the result holds of a step."""
        rows = self.gates.shape[0]
        return TensorType((rows, sum(self.step.type(name).shape[1] for name in self.shown)))


def emit(e: Emission, node: Node, emit_nodes: EmitNodes) -> None:
    """One WHILE, or two within each other for a long sequence; none for a single step."""
    layer, parts = _layer(e, node, emit_nodes), recurrent(e.program, node)
    if parts.steps == 1:
        gates = _reshaped(e.graph, e.index(parts.gates), layer.gates)
        reshape_to(e, _one_step(layer, e.graph, gates, [e.index(n) for n in parts.states])[0], e.out(node))
        return
    lengths = cut(parts.steps, 4 * (layer.gates.elements + layer.result.elements))
    whole, missing = e.index(parts.gates), math.prod(lengths) - parts.steps
    if missing:
        whole = _longer(e, whole, missing, before=layer.reverse)
    sequence = _reshaped(e.graph, whole, TensorType((*lengths, *layer.gates.shape)))
    states = [e.index(name) for name in parts.states]
    out = e.out(node)
    direct = lengths == (parts.steps,)
    result = _loop(layer, e.graph, lengths, sequence, states, out if direct else None)[0]
    if direct:
        return
    flat = TensorType((math.prod(lengths), *layer.result.shape))
    if not missing:
        reshape_to(e, result, out)
        return
    begin = [missing if layer.reverse else 0, 0, 0]
    bounds = [e.graph.integers("begin", begin), e.graph.integers("size", e.graph.type(out).shape)]
    e.graph.operator("SLICE", [_reshaped(e.graph, result, flat), *bounds], [out])


def _layer(e: Emission, node: Node, emit_nodes: EmitNodes) -> _Layer:
    prefix = f"{node.name}/"
    pairs = tuple((prefix + before, prefix + after) for before, after in state_names(node))
    shown = tuple(after for _, after in pairs)
    return _Layer(
        e,
        prefixed(step_program(e.program, node), prefix),
        pairs,
        shown if node.attrs.get("cell") else shown[:1],
        bool(node.attrs["reverse"]),
        emit_nodes,
    )


def cut(steps: int, step_bytes: int) -> tuple[int, ...]:
    """Lengths of the loops, outer first: one, or pieces and steps of a piece, about as many of both.

    The product may be larger than ``steps``: by less than a piece.
    """
    if steps * step_bytes <= CARRIED_BYTES or steps < 4:
        return (steps,)
    pieces = math.isqrt(steps)
    length = -(-steps // pieces)
    return (-(-steps // length), length)


def _longer(e: Emission, source: int, missing: int, *, before: bool) -> int:
    """The sequence with steps behind those that come last, whose results nobody reads."""
    shape = e.graph.type(source).shape
    widths = np.zeros((3, 2), np.int32)
    widths[0, 0 if before else 1] = missing
    like = TensorType((shape[0] + missing, *shape[1:]))
    return e.step("PAD", [source, e.graph.integers("paddings", widths)], "longer", like)


def _loop(
    layer: _Layer,
    graph: Graph,
    lengths: tuple[int, ...],
    sequence: int,
    states: Sequence[int],
    target: int | None = None,
) -> tuple[int, list[int]]:
    """Append a WHILE to ``graph``.

    Args:
        layer: the layer.
        graph: where the loop stands.
        lengths: of this loop, and of those inside.
        sequence: input products, (*lengths, N, gates).
        states: before the first step.
        target: tensor to write the result to; a new one by default.

    Returns:
        The result, (*lengths, N, width), and the states after the last step.
    """
    first, last, stride = (lengths[0] - 1, 0, -1) if layer.reverse else (0, lengths[0] - 1, 1)
    result = TensorType((*lengths, *layer.result.shape))
    zero = graph.constant("zero", np.asarray(0, np.float32))
    empty = _step(graph, "FILL", [graph.integers("shape", result.shape), zero], result, schema.FillOptionsT())
    start = graph.constant("first", np.asarray(first, np.int32))
    given = [start, sequence, empty, *states]
    types = [graph.type(index) for index in given]
    options = schema.WhileOptionsT(
        condSubgraphIndex=_condition(graph, types, last, layer.reverse),
        bodySubgraphIndex=_body(layer, graph, types, lengths, stride),
    )
    made = [graph.tensor("/carried", type_) for type_ in types]
    made[2] = made[2] if target is None else target
    graph.operator("WHILE", given, made, options)
    return made[2], made[3:]


def _condition(outer: Graph, types: Sequence[TensorType], last: int, reverse: bool) -> int:
    graph = Graph(outer)
    carried = [graph.tensor("/carried", type_) for type_ in types]
    bound = graph.constant("last", np.asarray(last, np.int32))
    code, options = (
        ("GREATER_EQUAL", schema.GreaterEqualOptionsT())
        if reverse
        else ("LESS_EQUAL", schema.LessEqualOptionsT())
    )
    goes_on = _step(graph, code, [carried[0], bound], TensorType((), "bool"), options)
    return graph.attach("condition", carried, [goes_on])


def _body(
    layer: _Layer, outer: Graph, types: Sequence[TensorType], lengths: tuple[int, ...], stride: int
) -> int:
    graph = Graph(outer)
    carried = [graph.tensor("/carried", type_) for type_ in types]
    place, sequence, result, states = carried[0], carried[1], carried[2], carried[3:]
    inner = TensorType((*lengths[1:], *layer.gates.shape))
    item = _step(graph, "GATHER", [sequence, place], inner, schema.GatherOptionsT(axis=0))
    if len(lengths) > 1:
        made, after = _loop(layer, graph, lengths[1:], item, states)
    else:
        made, after = _one_step(layer, graph, item, states)
    row = _reshaped(graph, made, TensorType((1, *lengths[1:], *layer.result.shape)))
    rank = len(types[2].shape)
    zero = graph.constant("zero_index", np.asarray(0, np.int32))
    corner = [place] + [zero] * (rank - 1)
    begin = _step(
        graph, "PACK", corner, TensorType((rank,), "int32"), schema.PackOptionsT(valuesCount=rank, axis=0)
    )
    written = _step(graph, "DYNAMIC_UPDATE_SLICE", [result, row, begin], types[2])
    stride_index = graph.constant("stride", np.asarray(stride, np.int32))
    following = _step(graph, "ADD", [place, stride_index], _INDEX, schema.AddOptionsT())
    return graph.attach("body", carried, [following, sequence, written, *after])


def _one_step(layer: _Layer, graph: Graph, gates: int, states: Sequence[int]) -> tuple[int, list[int]]:
    """The step's operators; what the result holds of it, and the states after it."""
    given = dict(zip((before for before, _ in layer.states), states, strict=True))
    given[layer.step.inputs[0]] = gates
    inside = Emission(layer.step, layer.emission, graph, given)
    layer.emit_nodes(inside)
    shown = [inside.index(name) for name in layer.shown]
    made = shown[0]
    if len(shown) > 1:
        made = _step(graph, "CONCATENATION", shown, layer.result, schema.ConcatenationOptionsT(axis=1))
    return made, [inside.index(after) for _, after in layer.states]


def _reshaped(graph: Graph, source: int, like: TensorType) -> int:
    if graph.type(source) == like:
        return source
    return _step(graph, "RESHAPE", [source, graph.integers("shape", like.shape)], like)


def _step(
    graph: Graph, code: str, inputs: Sequence[int], like: TensorType, options: object | None = None
) -> int:
    out = graph.tensor(f"/{code.lower()}", like)
    graph.operator(code, inputs, [out], options)
    return out
