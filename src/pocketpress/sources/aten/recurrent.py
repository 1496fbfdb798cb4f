"""Recurrent layers: input products of all steps at once, then one operator per layer and direction.

aten::gru, lstm, rnn_tanh and rnn_relu (`torch.nn.GRU`, ...) and the single steps of the cells.  torch adds
two biases; what may be added to the input product is, so that only a GRU's candidate keeps one of its own.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from pocketpress.core.program.recurrent import GATES
from pocketpress.sources.aten.bound import Bound
from pocketpress.sources.aten.elementwise import emit_binary
from pocketpress.sources.aten.shapes import emit_permute, emit_slice

KINDS = {"gru": "gru", "lstm": "lstm", "rnn_tanh": "rnn", "rnn_relu": "rnn"}


@dataclass(frozen=True)
class Weights:
    """Of one layer and direction, constants as torch holds them: (gates * H, ...) and (gates * H,)."""

    inputs: torch.Tensor
    states: torch.Tensor
    input_bias: torch.Tensor | None = None
    state_bias: torch.Tensor | None = None
    projection: torch.Tensor | None = None


def layers(b: Bound) -> tuple[str, ...]:
    """aten::gru.input and its like: (output, h_n) or (output, h_n, c_n)."""
    name = b.node.target._schema.name.partition("::")[2]  # type: ignore[union-attr]
    if b["train"] and b["dropout"]:
        raise b.refuse("dropout in training mode", "call .eval() on the network")
    return _Layers(b, KINDS[name], name.rpartition("_")[2]).run()


class _Layers:
    """All layers of one call; sequences are (T, N, width) inside."""

    def __init__(self, b: Bound, op: str, activation: str) -> None:
        self.b, self.op, self.activation = b, op, activation
        self.directions = 2 if b["bidirectional"] else 1
        self.first = list(b["hx"]) if isinstance(b["hx"], (list, tuple)) else [b["hx"]]
        self.finals: list[list[str]] = [[] for _ in self.first]
        self.wanted = {
            user.args[1] for user in b.node.users if user.target is operator.getitem and user.users
        }

    def run(self) -> tuple[str, ...]:
        b, count = self.b, int(self.b["num_layers"])
        x = b.activation("input")
        x = self._swapped(x) if b["batch_first"] else x
        for layer in range(count):
            made = [self._one(x, layer, direction) for direction in range(self.directions)]
            x = made[0] if len(made) == 1 else self._joined(made, 2)
        x = self._swapped(x) if b["batch_first"] else x
        return (x, *(self._joined(names, 0) for names in self.finals if names))

    def _one(self, x: str, layer: int, direction: int) -> str:
        place = layer * self.directions + direction
        weights, states = self._weights(place), [self._state(i, place) for i in range(len(self.first))]
        y, cells = emit_layer(
            self.b, self.op, x, states, weights,
            reverse=direction == 1, activation=self.activation, cells=2 in self.wanted,
        )  # fmt: skip
        last = 0 if direction == 1 else self.b.shape(y)[0] - 1
        for finals, sequence in zip(self.finals, (y, cells), strict=False):
            if sequence is not None:
                finals.append(emit_slice(self.b, sequence, 0, last, 1, last=False))
        return y

    def _weights(self, place: int) -> Weights:
        given = list(self.b["params"])
        projected = self.op == "lstm" and self.b.shape(self.first[0])[2] != self.b.shape(self.first[1])[2]
        each = (4 if self.b["has_biases"] else 2) + projected
        own = given[place * each : (place + 1) * each]
        if any(isinstance(value, str) for value in own):
            raise self.b.refuse("recurrent layer with a computed weight")
        outer, inner = own[2:4] if self.b["has_biases"] else (None, None)
        return Weights(own[0], own[1], outer, inner, own[-1] if projected else None)

    def _state(self, index: int, place: int) -> str:
        """The initial state of one layer and direction, (N, H)."""
        value = self.first[index]
        if isinstance(value, torch.Tensor):
            return self.b.tensor(value[place].contiguous(), "state")
        rows = self.b.shape(value)
        one = value if rows[0] == 1 else emit_slice(self.b, value, 0, place, 1, last=False)
        return self.b.emit("reshape", [one], rows[1:], last=False, shape=rows[1:])

    def _joined(self, names: list[str], axis: int) -> str:
        if len(names) == 1:
            return names[0]
        shape = list(self.b.shape(names[0]))
        shape[axis] = sum(self.b.shape(n)[axis] for n in names)
        return self.b.emit("concat", names, tuple(shape), last=False, axis=axis)

    def _swapped(self, x: str) -> str:
        """Batch and time exchanged; no more than a reshape when either is one."""
        first, second, width = self.b.shape(x)
        if min(first, second) > 1:
            return emit_permute(self.b, x, (1, 0, 2), last=False)
        shape = (second, first, width)
        return self.b.emit("reshape", [x], shape, last=False, shape=shape)


def emit_layer(
    b: Bound,
    op: str,
    x: str,
    states: list[str],
    weights: Weights,
    *,
    reverse: bool,
    activation: str = "tanh",
    cells: bool = False,
    reset_after: bool = True,
) -> tuple[str, str | None]:
    """Append one layer in one direction.

    Args:
        b: the call it belongs to.
        op: "gru", "lstm" or "rnn".
        x: (T, N, width).
        states: initial states, (N, H): h, and c of an LSTM.
        weights: of the layer.
        reverse: from the last step to the first.
        activation: of a plain layer, "tanh" or "relu".
        cells: whether the cells of an LSTM are wanted too.
        reset_after: whether the reset gate of a GRU comes after the product.

    Returns:
        (T, N, H) states and, when asked for, cells.
    """
    steps, batch, _ = b.shape(x)
    rows, width = weights.states.shape
    hidden = rows // GATES[op]
    outer, inner = _biases(op, weights, hidden) if reset_after else _all_outside(weights)
    products = [x, b.tensor(weights.inputs, "weight"), *([] if outer is None else [b.tensor(outer, "bias")])]
    gates = b.emit("linear", products, (steps, batch, rows), last=False, clamp=None)
    inputs = [gates, *states, b.tensor(weights.states, "recurrent_weight")]
    attrs: dict[str, Any] = {"reverse": reverse, "state_scale": None}
    if op == "gru":
        inputs += [] if inner is None else [b.tensor(inner, "recurrent_bias")]
        attrs["reset_after"] = reset_after
    elif op == "lstm":
        inputs += [] if weights.projection is None else [b.tensor(weights.projection, "projection")]
        attrs["cell"] = cells
    else:
        attrs["activation"] = activation
    if not attrs.get("cell"):
        return b.emit(op, inputs, (steps, batch, width), last=False, **attrs), None
    both = b.emit(op, inputs, (steps, batch, width + hidden), last=False, **attrs)
    return (
        emit_slice(b, both, 2, 0, width, last=False),
        emit_slice(b, both, 2, width, hidden, last=False),
    )


def gru(b: Bound) -> str:
    """pocketpress::gru: one layer in one direction (`sources.recurrent`)."""
    y, _ = emit_layer(
        b, "gru", b.activation("x"), [b.tensor(b["state"])], _given(b, b["inner"]),
        reverse=b["reverse"], reset_after=b["reset_after"],
    )  # fmt: skip
    return y


def lstm(b: Bound) -> tuple[str, str | None]:
    """pocketpress::lstm: states and cells; cells only where they are read."""
    cells = any(user.target is operator.getitem and user.args[1] == 1 and user.users for user in b.node.users)
    states = [b.tensor(b["state"]), b.tensor(b["cell"])]
    return emit_layer(b, "lstm", b.activation("x"), states, _given(b), reverse=b["reverse"], cells=cells)


def rnn(b: Bound) -> str:
    """pocketpress::rnn."""
    y, _ = emit_layer(
        b, "rnn", b.activation("x"), [b.tensor(b["state"])], _given(b),
        reverse=b["reverse"], activation=b["activation"],
    )  # fmt: skip
    return y


def _given(b: Bound, inner: Any = None) -> Weights:
    values = (b["weight"], b["recurrent"], b["bias"], inner)
    if any(isinstance(value, str) for value in values):
        raise b.refuse("recurrent layer with a computed weight")
    return Weights(*values)


def _biases(op: str, weights: Weights, hidden: int) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """(of the input product, of the recurrent product): r and z of a GRU's second bias go to the first."""
    first, second = weights.input_bias, weights.state_bias
    if op != "gru":
        return _all_outside(weights)
    if first is None or second is None:
        return first, second
    outside, inside = second.clone(), second.clone()
    outside[2 * hidden :] = 0
    inside[: 2 * hidden] = 0
    return first + outside, inside if bool(inside.any()) else None


def _all_outside(weights: Weights) -> tuple[torch.Tensor | None, None]:
    first, second = weights.input_bias, weights.state_bias
    return first if second is None else second if first is None else first + second, None


def gru_cell(b: Bound) -> str:
    """aten::gru_cell: one step, as in `core.program.recurrent`."""
    state, (x, h) = b.activation("hx"), _products(b)
    width = b.shape(state)[1]
    opened = _gate(b, "sigmoid", _sum(b, _window(b, x, 0, 2 * width), _window(b, h, 0, 2 * width)))
    reset, update = _window(b, opened, 0, width), _window(b, opened, width, width)
    inner = emit_binary(b, "mul", reset, _window(b, h, 2 * width, width), last=False)
    new = _gate(b, "tanh", _sum(b, _window(b, x, 2 * width, width), inner))
    change = emit_binary(b, "mul", update, emit_binary(b, "sub", state, new, last=False), last=False)
    return emit_binary(b, "add", new, change)


def lstm_cell(b: Bound) -> tuple[str, str]:
    """aten::lstm_cell: (h, c)."""
    cell = b.tensor(b["hx"][1])
    total = _sum(b, *_products(b))
    width = b.shape(cell)[1]
    opened = _gate(b, "sigmoid", _window(b, total, 0, 2 * width))
    new = _gate(b, "tanh", _window(b, total, 2 * width, width))
    shown = _gate(b, "sigmoid", _window(b, total, 3 * width, width))
    kept = emit_binary(b, "mul", _window(b, opened, width, width), cell, last=False)
    added = emit_binary(b, "mul", _window(b, opened, 0, width), new, last=False)
    after = _sum(b, kept, added)
    return emit_binary(b, "mul", shown, _gate(b, "tanh", after), last=False), after


def _rnn_cell(activation: str) -> Callable[[Bound], str]:
    def handler(b: Bound) -> str:
        total = _sum(b, *_products(b))
        attrs: dict[str, Any] = {"low": 0.0, "high": None} if activation == "clamp" else {}
        return b.emit(activation, [total], b.out_shape, **attrs)

    return handler


def _products(b: Bound) -> tuple[str, str]:
    """Input and recurrent product of a cell."""
    states = b["hx"] if isinstance(b["hx"], (list, tuple)) else [b["hx"]]
    found = []
    for value, weight, bias in ((b["input"], "w_ih", "b_ih"), (states[0], "w_hh", "b_hh")):
        if isinstance(b[weight], str):
            raise b.refuse("recurrent cell with a computed weight")
        name = b.tensor(value)
        inputs = [name, b.tensor(b[weight], "weight")]
        inputs += [] if b[bias] is None else [b.tensor(b[bias], "bias")]
        shape = (b.shape(name)[0], b[weight].shape[0])
        found.append(b.emit("linear", inputs, shape, last=False, clamp=None))
    return found[0], found[1]


def _sum(b: Bound, left: str, right: str) -> str:
    return emit_binary(b, "add", left, right, last=False)


def _gate(b: Bound, op: str, x: str) -> str:
    return b.emit(op, [x], b.shape(x), last=False)


def _window(b: Bound, x: str, start: int, size: int) -> str:
    return emit_slice(b, x, 1, start, size, last=False)


HANDLERS: dict[str, Callable[[Bound], Any]] = {
    **{f"aten::{name}": layers for name in KINDS},
    "pocketpress::gru": gru,
    "pocketpress::lstm": lstm,
    "pocketpress::rnn": rnn,
    "aten::gru_cell": gru_cell,
    "aten::lstm_cell": lstm_cell,
    "aten::rnn_tanh_cell": _rnn_cell("tanh"),
    "aten::rnn_relu_cell": _rnn_cell("clamp"),
}
