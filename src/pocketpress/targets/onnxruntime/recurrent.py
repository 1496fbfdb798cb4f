"""Recurrent layers: the runtime's own operators where they compute the same, else Scan over one step.

GRU, LSTM and RNN take the input itself, so a layer becomes one of them when nothing but it reads the linear
layer before it, its state is not rounded, it has no projection, and cells are shown of a single step at most.
They are several times faster than a Scan, whose step is interpreted node by node (docs/adr/0013).  In a Scan
weights are in the file once, as everywhere; a rounded state meets them in MatMulInteger.

Of a single step (streaming) the operators give the states after it, in the shape that the next one takes, so
that nothing is moved; where they do not fit, the step's nodes stand alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import helper

from pocketpress.core.program import Node, Program
from pocketpress.core.program.decode import real_constant
from pocketpress.core.program.recurrent import (
    GATES,
    RECURRENT,
    Recurrent,
    input_product,
    recurrent,
    rows,
    state_names,
    step_program,
)
from pocketpress.targets.onnxruntime.constants import integer_weight, real_value
from pocketpress.targets.onnxruntime.writer import GraphWriter

Translate = Callable[[GraphWriter, Node], None]

ORDER = {"gru": (1, 0, 2), "lstm": (0, 3, 1, 2), "rnn": (0,)}
"""The program's gates in ONNX's order: z, r, h and i, o, f, c."""


@dataclass(frozen=True)
class Native:
    """A layer that is one ONNX operator.

    Attributes:
        node: the recurrent node.
        product: the linear layer that it takes in.
        starts: initial states that are given as (1, N, H) already: the tensor by the name of its rows.
        halves: the slices of one step's result that are its state and its cell; none if it is read as it is.
        moves: names of the nodes that are taken in besides the product.
    """

    node: Node
    product: Node
    starts: Mapping[str, str]
    halves: tuple[Node, ...]
    moves: frozenset[str]

    @property
    def weights(self) -> tuple[str, str]:
        """Names of both weights, rows in ONNX's order; `reordered` makes them."""
        return f"{self.node.name}:input_weight", f"{self.node.name}:recurrent_weight"


def native_layers(program: Program) -> dict[str, Native]:
    """Layers that the runtime has an operator for, by the name of their recurrent node."""
    found = {}
    for node in program.nodes:
        if node.op not in RECURRENT or node.attrs["state_scale"] is not None:
            continue
        product, parts = input_product(program, node), recurrent(program, node)
        if product is None or parts.projection is not None or (node.attrs.get("cell") and parts.steps > 1):
            continue
        starts = _starts(program, parts)
        halves = _halves(program, parts) if node.attrs.get("cell") else ()
        moves = frozenset([*(made.name for made in starts.values()), *(half.name for half in halves)])
        sources = {name: made.inputs[0] for name, made in starts.items()}
        found[node.name] = Native(node, product, sources, halves, moves)
    return found


def _starts(program: Program, parts: Recurrent) -> dict[str, Node]:
    """Initial states that a reshape from (1, N, H) makes for this layer alone."""
    producers, readers = program.producers(), program.consumers()
    found = {}
    for name in parts.states:
        made = producers.get(name)
        alone = len(readers[name]) == 1 and name not in program.outputs
        if made is None or made.op != "reshape" or not alone:
            continue
        if program.type(made.inputs[0]).shape == (1, *program.type(name).shape):
            found[name] = made
    return found


def _halves(program: Program, parts: Recurrent) -> tuple[Node, ...]:
    """State and cell as the two readers of one step's result, if that is what they are."""
    out, shape = parts.node.outputs[0], (1, parts.batch, parts.hidden)
    readers = {node.attrs.get("starts"): node for node in program.consumers().get(out, [])}
    wanted = [readers.get((0, 0, start)) for start in (0, parts.hidden)]
    found = tuple(n for n in wanted if n and n.op == "slice" and program.type(n.outputs[0]).shape == shape)
    whole = len(program.consumers().get(out, [])) != len(found) or out in program.outputs
    return () if whole or len(found) != len(wanted) else found


def reordered(program: Program, layers: dict[str, Native]) -> Program:
    """The program with the weights of ``layers`` once more, as they are stored but in ONNX's order."""
    types, constants = dict(program.types), dict(program.constants)
    for layer in layers.values():
        parts = recurrent(program, layer.node)
        order = _order(layer.node.op, parts.hidden)
        for name, source in zip(layer.weights, (layer.product.inputs[1], parts.weight), strict=True):
            constants[name], types[name] = rows(program, source, order)
    return replace(program, types=types, constants=constants)


def _order(op: str, hidden: int) -> list[int]:
    return [gate * hidden + i for gate in ORDER[op] for i in range(hidden)]


def native(w: GraphWriter, layer: Native) -> None:
    """GRU, LSTM or RNN of one layer in one direction."""
    node, parts = layer.node, recurrent(w.program, layer.node)
    out = node.outputs[0]
    first = w.int64([0])
    weights = [w.emit("Unsqueeze", [real_value(w, name), first], name=out) for name in layer.weights]
    states = [_initial(w, layer, name) for name in parts.states]
    inputs = [w.value(layer.product.inputs[0]), *weights, _biases(w, layer), "", *states]
    while not inputs[-1]:
        inputs.pop()
    attrs: dict[str, Any] = {}
    if node.op == "gru":
        attrs["linear_before_reset"] = int(node.attrs["reset_after"])
    elif node.op == "rnn":
        attrs["activations"] = [node.attrs["activation"].capitalize()]
    attrs |= {"hidden_size": parts.hidden, "direction": "reverse" if parts.reverse else "forward"}
    op = node.op.upper()
    if node.attrs.get("cell"):
        _cells(w, layer, inputs, attrs)
    elif parts.steps == 1:
        w.emit_to(op, inputs, ["", w.value(out)], name=out, **attrs)
    else:
        made = w.emit(op, inputs, name=out, **attrs)
        w.emit("Squeeze", [made, w.int64([1])], name=out, out=w.value(out))


def _cells(w: GraphWriter, layer: Native, inputs: list[str], attrs: dict[str, Any]) -> None:
    """One step of an LSTM that shows its cells."""
    out = layer.node.outputs[0]
    if layer.halves:
        made = [w.value(half.outputs[0]) for half in layer.halves]
    else:
        made = [w.unique(f"{out}_{end}") for end in ("state", "cell")]
    w.emit_to("LSTM", inputs, ["", *made], name=out, **attrs)
    if not layer.halves:
        w.emit("Concat", made, name=out, out=w.value(out), axis=2)


def _initial(w: GraphWriter, layer: Native, name: str) -> str:
    """(1, N, H); nothing for zeros, which is what the operators start from."""
    if name in layer.starts:
        return real_value(w, layer.starts[name])
    if w.program.is_constant(name) and not w.program.constants[name].any():
        return ""
    return w.emit("Unsqueeze", [real_value(w, name), w.int64([0])], name=layer.node.outputs[0])


def _biases(w: GraphWriter, layer: Native) -> str:
    """Both biases in one, (1, 2 * gates * H)."""
    parts = recurrent(w.program, layer.node)
    columns = GATES[layer.node.op] * parts.hidden
    names = (layer.product.inputs[2:], (parts.bias,) if parts.bias else ())
    if not any(names):
        return ""
    order = _order(layer.node.op, parts.hidden)
    both = [real_constant(w.program, n[0])[order] if n else np.zeros(columns, np.float32) for n in names]
    return w.initializer(f"{layer.node.name}_biases", np.concatenate(both)[None])


def scan(w: GraphWriter, node: Node, translate: Mapping[str, Translate]) -> None:
    """Scan over the step of a node."""
    out, parts = node.outputs[0], recurrent(w.program, node)
    prefix = f"{out}:"
    step = _inside(step_program(w.program, node), prefix)
    names = [(prefix + before, prefix + after) for before, after in state_names(node)]
    shown = [after for _, after in (names if node.attrs.get("cell") else names[:1])]
    body = GraphWriter(step, prefix)
    _write_step(body, step, translate)
    sequences = [body.emit("Identity", [after], name=out) for after in shown]
    given, made = [before for before, _ in names], [after for _, after in names]
    like = dict(zip([*given, *made, *sequences], [*given, *made, *shown], strict=True))
    graph = helper.make_graph(
        body.nodes,
        f"{prefix}step",
        [_border(step, name, like) for name in (*given, f"{prefix}gates")],
        [_border(step, name, like) for name in (*made, *sequences)],
        body.initializers,
    )
    w.needs_opset(body.opset)
    results = w.emit_many(
        "Scan",
        [*(real_value(w, name) for name in parts.states), w.value(parts.gates)],
        [f"last_{i}" for i in range(len(made))] + [f"all_{i}" for i in range(len(shown))],
        name=out,
        body=graph,
        num_scan_inputs=1,
        scan_input_directions=[int(parts.reverse)],
        scan_output_directions=[int(parts.reverse)] * len(shown),
    )
    w.emit("Concat", results[len(made) :], name=out, out=w.value(out), axis=2)


def one_step(w: GraphWriter, node: Node, translate: Mapping[str, Translate]) -> None:
    """The nodes of the step themselves."""
    out, parts = node.outputs[0], recurrent(w.program, node)
    prefix = f"{out}:"
    step = _inside(step_program(w.program, node), prefix)
    names = [(prefix + before, prefix + after) for before, after in state_names(node)]
    body = GraphWriter(step, prefix)
    gates = f"{prefix}gates"
    w.emit("Squeeze", [w.value(parts.gates), w.int64([0])], name=out, out=gates)
    for (before, _), start in zip(names, parts.states, strict=True):
        w.emit("Identity", [real_value(w, start)], name=out, out=before)
    _write_step(body, step, translate)
    w.nodes += body.nodes
    w.initializers += body.initializers
    w.needs_opset(body.opset)
    made = [after for _, after in (names if node.attrs.get("cell") else names[:1])]
    rows = made[0] if len(made) == 1 else w.emit("Concat", made, name=out, axis=1)
    w.emit("Unsqueeze", [rows, w.int64([0])], name=out, out=w.value(out))


def _inside(step: Program, prefix: str) -> Program:
    """The step with names that nothing outside has."""
    names = {name: prefix + name for name in step.types}
    return Program(
        tuple(names[n] for n in step.inputs),
        tuple(names[n] for n in step.outputs),
        {names[n]: t for n, t in step.types.items()},
        {names[n]: c for n, c in step.constants.items()},
        tuple(replace(node.renamed(names), name=names[node.name]) for node in step.nodes),
    )


def _write_step(w: GraphWriter, step: Program, translate: Mapping[str, Translate]) -> None:
    """The nodes of a step; products of rounded states as integers."""
    producers, readers = step.producers(), step.consumers()
    rounded: set[str] = set()
    for node in step.nodes:
        if node.op == "quantize":
            (real,) = readers[node.outputs[0]]
            for product in readers[real.outputs[0]]:
                (scaled,) = readers[product.outputs[0]]
                rounded |= {real.name, product.name, scaled.name}
    for node in step.nodes:
        if node.name not in rounded:
            translate[node.op](w, node)
        elif node.op == "mul":
            product = producers[node.inputs[0]]
            _integer_product(w, producers[product.inputs[0]].inputs[0], product, node)


def _integer_product(w: GraphWriter, grid: str, product: Node, scaled: Node) -> None:
    """``scales * (s * sum(w * q))``: exact, since s is a power of two."""
    weight, name, out = product.inputs[1], product.outputs[0], scaled.outputs[0]
    turned = np.ascontiguousarray(w.program.constants[weight].T)
    stored = integer_weight(w, f"{weight}_t", turned, w.program.type(weight).dtype)
    sums = w.emit("MatMulInteger", [w.value(grid), stored, w.zero_of(grid)], name=name)
    real = w.emit("Cast", [sums], name=name, to=onnx.TensorProto.FLOAT)
    scales = w.program.constants[scaled.inputs[1]] * w.quant(grid).step
    w.emit("Mul", [real, w.initializer(f"{out}_scales", scales)], name=out, out=w.value(out))


def _border(program: Program, name: str, like: Mapping[str, str]) -> onnx.ValueInfoProto:
    shape = program.type(like.get(name, name)).shape
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(shape))
