"""What a recurrent operator computes: one step of it, as an ordinary program.

``gru``, ``lstm`` and ``rnn`` take the input products of all steps at once (an ordinary `linear` before them,
biases included) and hold what happens from step to step.  One step, with h the state before, g the input
products of this step, W and b the operator's weight and bias, * by element:

=============  ====================================================================================
gru            r, z = sigmoid(g_rz + W_rz h + b_rz);  h' = n + z * (h - n), where
               n = tanh(g_n + r * (W_n h + b_n)) with ``reset_after`` (cuDNN; Cho et al. 2014 is
               n = tanh(g_n + W_n (r * h) + b_n), without)
lstm           i, f, o = sigmoid(g_ifo + W_ifo h), a = tanh(g_g + W_g h); c' = f * c + i * a;
               h' = o * tanh(c'), times the projection where there is one (Sak et al. 2014)
rnn            h' = tanh(g + W h), or relu
=============  ====================================================================================

Without ``state_scale`` products are float and weights are decoded, whatever they are stored as.  With it the
weight holds integers with scales, and the state is rounded for the product alone: ``q = quantize(h)`` with
that scale and zero point 0, ``W h = s_w * (s * sum(w * q))``.  The scale is a power of two, so float kernels
compute the sums exactly while they stay below 2^24 (as in `exact`).  The state itself stays float32: an
update that is less than a step of 8 bits would be lost for ever.

The reference runs the step T times.  A target either has an operator of its own for the whole sequence, or
puts the lowered step into the runtime's loop; in a streaming program the step stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pocketpress.core.errors import InternalError
from pocketpress.core.program.builder import ProgramBuilder
from pocketpress.core.program.ir import Array, Node, Program, Quantization, TensorType

RECURRENT = ("gru", "lstm", "rnn")
GATES = {"gru": 3, "lstm": 4, "rnn": 1}
"""Blocks of rows of the weight."""
UNIT_STATE_SCALE = 1 / 128
"""Of states that tanh bounds: in [-1, 1]."""


@dataclass(frozen=True)
class Recurrent:
    """A recurrent node by the names of its parts.

    Attributes:
        steps: T, the length of the sequence.
        batch: N.
        hidden: H, the width of the gates and of an LSTM's cell.
        state: width of the state: H, or P with a projection.
        gates: tensor of input products, (T, N, gates * H).
        states: initial states in the order of the step: h, then c of an LSTM.
        weight: (gates * H, state).
        bias: of the recurrent product, (gates * H,), GRU only.
        projection: (P, H), LSTM only.
        reverse: the last step of the sequence comes first; results keep the places of their inputs.
    """

    node: Node
    steps: int
    batch: int
    hidden: int
    state: int
    gates: str
    states: tuple[str, ...]
    weight: str
    bias: str | None
    projection: str | None
    reverse: bool


def recurrent(program: Program, node: Node) -> Recurrent:
    """The parts of a recurrent node.

    Raises:
        InternalError: shapes that do not fit each other, or a computed weight (a bug in whoever made it).
    """
    count = 2 if node.op == "lstm" else 1
    gates, states, (weight, *rest) = node.inputs[0], node.inputs[1 : 1 + count], node.inputs[1 + count :]
    extra = rest[0] if rest else None
    rows, width = program.type(weight).shape
    steps, batch, columns = program.type(gates).shape
    found = Recurrent(
        node,
        steps,
        batch,
        rows // GATES[node.op],
        width,
        gates,
        states,
        weight,
        extra if node.op == "gru" else None,
        extra if node.op == "lstm" else None,
        bool(node.attrs["reverse"]),
    )
    _check(program, found, columns, rows)
    return found


def _check(program: Program, found: Recurrent, columns: int, rows: int) -> None:
    node, shape = found.node, program.type(found.node.outputs[0]).shape
    width = found.state + (found.hidden if node.attrs.get("cell") else 0)
    wanted = {
        found.gates: (found.steps, found.batch, rows),
        found.states[0]: (found.batch, found.state),
        node.outputs[0]: (found.steps, found.batch, width),
    }
    wanted |= {name: (found.batch, found.hidden) for name in found.states[1:]}
    if found.bias:
        wanted[found.bias] = (rows,)
    if found.projection:
        wanted[found.projection] = (found.state, found.hidden)
    constants = [n for n in (found.weight, found.bias, found.projection) if n is not None]
    if columns != rows or rows % GATES[node.op] or (not found.projection and found.state != found.hidden):
        raise InternalError(f"{node.op} {node.name}: the weight does not fit", got=(columns, rows))
    wrong = [n for n, expected in wanted.items() if program.type(n).shape != expected]
    wrong += [n for n in constants if n not in program.constants]
    if wrong:
        raise InternalError(
            f"{node.op} {node.name}: parts do not fit each other",
            got={n: program.type(n).shape for n in wrong},
            allowed={n: wanted.get(n, "a constant") for n in wrong},
        )
    if shape[0] < 1:
        raise InternalError(f"{node.op} {node.name}: an empty sequence", got=shape)


def step_program(program: Program, node: Node) -> Program:
    """One step of a recurrent node as a program of other operators.

    Args:
        program: that the node is of; float, or with integer weights.
        node: ``gru``, ``lstm`` or ``rnn``.

    Returns:
        Inputs ``gates`` (N, gates * H) and ``state`` (N, H or P), of an LSTM also ``cell`` (N, H); outputs
        ``next_state`` and ``next_cell`` of the same types.  Constants are slices of the node's own.
    """
    step = _Step(program, recurrent(program, node))
    outputs = {"gru": step.gru, "lstm": step.lstm, "rnn": step.rnn}[node.op]()
    return step.builder.build(outputs)


def state_names(node: Node) -> tuple[tuple[str, str], ...]:
    """(input, output) of the step for every state, in the order of the node's initial states."""
    first = (("state", "next_state"),)
    return (*first, ("cell", "next_cell")) if node.op == "lstm" else first


class _Step:
    """The step under construction; every method appends nodes and returns the name of the last."""

    def __init__(self, program: Program, parts: Recurrent) -> None:
        self.program, self.parts, self.node = program, parts, parts.node
        self.builder = ProgramBuilder(reserved=("next_state", "next_cell"))
        self.hidden = parts.hidden
        columns = GATES[self.node.op] * parts.hidden
        self.gates = self.builder.input("gates", TensorType((parts.batch, columns)))
        self.state = self.builder.input("state", TensorType((parts.batch, parts.state)))

    def gru(self) -> list[str]:
        h = self.hidden
        if self.node.attrs["reset_after"]:
            products = self.product(self.state, 0, 3)
            both = self.plus(self.window(self.gates, 0, 2), self.window(products, 0, 2))
        else:
            both = self.plus(self.window(self.gates, 0, 2), self.product(self.state, 0, 2))
        opened = self.emit("sigmoid", [both], 2 * h)
        reset, update = self.window(opened, 0, 1), self.window(opened, 1, 2)
        if self.node.attrs["reset_after"]:
            inner = self.times(reset, self.window(products, 2, 3))
        else:
            inner = self.product(self.times(reset, self.state), 2, 3)
        new = self.emit("tanh", [self.plus(self.window(self.gates, 2, 3), inner)], h)
        change = self.times(update, self.emit("sub", [self.state, new], h, clamp=None))
        return [self.last("add", [new, change], "next_state", clamp=None)]

    def lstm(self) -> list[str]:
        h = self.hidden
        cell = self.builder.input("cell", TensorType((self.parts.batch, h)))
        total = self.plus(self.gates, self.product(self.state, 0, 4))
        opened = self.emit("sigmoid", [self.window(total, 0, 2)], 2 * h)
        admitted, kept = self.window(opened, 0, 1), self.window(opened, 1, 2)
        new = self.emit("tanh", [self.window(total, 2, 3)], h)
        shown = self.emit("sigmoid", [self.window(total, 3, 4)], h)
        parts = [self.times(kept, cell), self.times(admitted, new)]
        next_cell = self.last("add", parts, "next_cell", clamp=None)
        bounded = self.emit("tanh", [next_cell], h)
        if self.parts.projection is None:
            return [self.last("mul", [shown, bounded], "next_state", clamp=None), next_cell]
        full = self.times(shown, bounded)
        weight = self.constant(self.parts.projection, 0, self.parts.state)
        return [self.last("linear", [full, weight], "next_state", clamp=None), next_cell]

    def rnn(self) -> list[str]:
        total = [self.gates, self.product(self.state, 0, 1)]
        if self.node.attrs["activation"] == "relu":
            return [self.last("add", total, "next_state", clamp=(0.0, None))]
        return [self.last("tanh", [self.plus(*total)], "next_state")]

    def emit(self, op: str, inputs: list[str], width: int, **attrs: Any) -> str:
        return self.builder.node(
            op, inputs, TensorType((self.parts.batch, width)), source=self.node.source, **attrs
        )

    def last(self, op: str, inputs: list[str], name: str, **attrs: Any) -> str:
        self.builder.release(name)
        width = self.hidden if name == "next_cell" else self.parts.state
        type_ = TensorType((self.parts.batch, width))
        return self.builder.node(op, inputs, type_, name=name, source=self.node.source, **attrs)

    def plus(self, left: str, right: str) -> str:
        return self.emit("add", [left, right], self.builder.type(left).shape[1], clamp=None)

    def times(self, left: str, right: str) -> str:
        return self.emit("mul", [left, right], self.builder.type(left).shape[1], clamp=None)

    def window(self, name: str, first: int, end: int) -> str:
        """Gates ``first`` to ``end`` of a tensor of gates."""
        size = (end - first) * self.hidden
        sizes, starts = (self.parts.batch, size), (0, first * self.hidden)
        return self.emit("slice", [name], size, starts=starts, sizes=sizes, steps=(1, 1))

    def product(self, state: str, first: int, end: int) -> str:
        """``W h + b`` of gates ``first`` to ``end``."""
        start, stop = first * self.hidden, end * self.hidden
        bias = None if self.parts.bias is None else self.constant(self.parts.bias, start, stop)
        scale = self.node.attrs["state_scale"]
        if scale is None:
            weight = self.constant(self.parts.weight, start, stop)
            inputs = [state, weight] if bias is None else [state, weight, bias]
            return self.emit("linear", inputs, stop - start, clamp=None)
        rounded = TensorType(self.builder.type(state).shape, "int8", Quantization.per_tensor(scale))
        grid = self.builder.node("quantize", [state], rounded, source=self.node.source)
        real = self.emit("dequantize", [grid], self.parts.state)
        weight, scales = self.integers(start, stop)
        sums = self.emit("linear", [real, weight], stop - start, clamp=None)
        product = self.times(sums, scales)
        return product if bias is None else self.plus(product, bias)

    def integers(self, start: int, stop: int) -> tuple[str, str]:
        """Rows of the weight as integers of scale 1, and their scales."""
        value, type_ = rows(self.program, self.parts.weight, slice(start, stop))
        if type_.quant is None or type_.quant.block is not None:
            raise InternalError(f"{self.node.op} {self.node.name}: a rounded state needs scales per channel")
        scales = np.full(stop - start, type_.quant.scales())
        ones = Quantization.per_channel(np.ones(stop - start), 0)
        weight = self.builder.constant("weight", value, type_=replace(type_, quant=ones))
        return weight, self.builder.constant("scales", scales)

    def constant(self, name: str, start: int, stop: int) -> str:
        value, type_ = rows(self.program, name, slice(start, stop))
        stem = "bias" if value.ndim == 1 else "projection" if name == self.parts.projection else "weight"
        return self.builder.constant(stem, value, type_=type_)


def rows(program: Program, name: str, chosen: Sequence[int] | slice) -> tuple[Array, TensorType]:
    """Rows of a constant as stored, with their own scales."""
    type_, value = program.type(name), program.constants[name]
    quant, taken = type_.quant, np.ascontiguousarray(value[chosen])
    if quant is not None and quant.axis == 0:
        scales = quant.scales().reshape(type_.shape[0], -1)[chosen]
        quant = replace(quant, scale=tuple(scales.reshape(-1).tolist()))
    return taken, replace(type_, shape=taken.shape, quant=quant)


def weight_names(node: Node) -> tuple[str, ...]:
    """The weight of a recurrent node, and the projection of an LSTM that has one."""
    first = 3 if node.op == "lstm" else 2
    return node.inputs[first : first + 2 if node.op == "lstm" else first + 1]


def input_product(program: Program, node: Node) -> Node | None:
    """The `linear` that makes the input products of a recurrent node and nothing else, if there is one."""
    gates = node.inputs[0]
    made, readers = program.producers().get(gates), program.consumers()[gates]
    if made is None or made.op != "linear" or made.attrs["clamp"] is not None or gates in program.outputs:
        return None
    alone = len(readers) == 1 and all(n in program.constants for n in made.inputs[1:])
    return made if alone else None
