"""Cases of recurrent layers: in float, with float16 weights, and in int8 programs.

There they read dequantised input products, and their result is quantised; the recurrent product is of
integers when the layer has a scale for its state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pocketpress.core.program import Quantization, TensorType
from pocketpress.core.program.recurrent import GATES, UNIT_STATE_SCALE
from pocketpress.testing.case_builder import FLOAT, HALF, INTEGER, Case, CaseBuilder, HalfBuilder


@dataclass(frozen=True)
class _Layer:
    """A recurrent layer.

    Attributes:
        op: "gru", "lstm" or "rnn".
        name: of the case.
        attrs: of the node, without ``reverse`` and ``state_scale``.
        steps: positions of the sequence.
        batch: sequences at once.
        units: width of the state.
        projection: width of a projected state, 0 for none.
        reverse: the last position comes first.
        bias: of the recurrent product of a GRU.
        state_scale: None, or that of the rounded state of an integer product.
        given_state: whether the initial state is an input of the network.
    """

    op: str
    name: str
    attrs: dict[str, Any]
    steps: int = 6
    batch: int = 1
    units: int = 16
    projection: int = 0
    reverse: bool = False
    bias: bool = True
    state_scale: float | None = None
    given_state: bool = False


_GRU: dict[str, Any] = {"reset_after": True}
_LSTM: dict[str, Any] = {"cell": False}
_TANH: dict[str, Any] = {"activation": "tanh"}
_RELU: dict[str, Any] = {"activation": "relu"}
_UNIT = UNIT_STATE_SCALE

_FLOATS = (
    _Layer("gru", "forward", _GRU),
    _Layer("gru", "reverse", _GRU, reverse=True),
    _Layer("gru", "reset_before", {"reset_after": False}, units=12),
    _Layer("gru", "no_bias", _GRU, bias=False),
    _Layer("gru", "batch", _GRU, batch=3, steps=5),
    _Layer("gru", "one_step", _GRU, steps=1),
    _Layer("gru", "given_state", _GRU, given_state=True),
    _Layer("gru", "long", _GRU, units=40, steps=131),
    _Layer("gru", "long_reverse", _GRU, units=40, steps=131, reverse=True),
    _Layer("lstm", "forward", _LSTM),
    _Layer("lstm", "reverse", _LSTM, reverse=True, batch=2),
    _Layer("lstm", "with_cell", {"cell": True}),
    _Layer("lstm", "given_state", _LSTM, given_state=True),
    _Layer("lstm", "projection", _LSTM, projection=10),
    _Layer("lstm", "projection_with_cell", {"cell": True}, projection=10, reverse=True),
    _Layer("lstm", "long", {"cell": True}, units=40, steps=101),
    _Layer("rnn", "tanh", _TANH),
    _Layer("rnn", "relu", _RELU),
    _Layer("rnn", "reverse", _TANH, reverse=True),
)
_HALVES = (_FLOATS[0], _FLOATS[9], _FLOATS[16])
_INTEGERS = (
    *_HALVES,
    _Layer("gru", "rounded_state", _GRU, state_scale=_UNIT),
    _Layer("gru", "rounded_state_reset_before", {"reset_after": False}, state_scale=_UNIT),
    _Layer("gru", "rounded_state_reverse", _GRU, state_scale=_UNIT, reverse=True, steps=49),
    _Layer("lstm", "rounded_state", _LSTM, state_scale=_UNIT),
    _Layer("lstm", "rounded_state_with_cell", {"cell": True}, state_scale=_UNIT, projection=10),
    _Layer("rnn", "rounded_state", _TANH, state_scale=_UNIT),
)


def recurrent_cases() -> list[Case]:
    """All of them."""
    return [
        *(_case(CaseBuilder(layer.op, layer.name), layer, FLOAT) for layer in _FLOATS),
        *(_case(HalfBuilder(layer.op, layer.name), layer, HALF) for layer in _HALVES),
        *(_case(CaseBuilder(layer.op, layer.name), layer, INTEGER) for layer in _INTEGERS),
    ]


def _case(h: CaseBuilder, layer: _Layer, precision: str) -> Case:
    """The layer between what a program of this precision has around it."""
    integer = precision == INTEGER
    rows = GATES[layer.op] * layer.units
    gates = _quantized_input(h, (layer.steps, layer.batch, rows)) if integer else _input(h, layer, rows)
    inputs = [gates, *_states(h, layer), *_weights(h, layer, rows)]
    attrs = {**layer.attrs, "reverse": layer.reverse, "state_scale": layer.state_scale}
    width = (layer.projection or layer.units) + (layer.units if layer.attrs.get("cell") else 0)
    type_ = TensorType((layer.steps, layer.batch, width))
    y = h.builder.node(layer.op, inputs, type_, name="real" if integer else "y", **attrs)
    if integer:
        stored = replace(type_, dtype="int8", quant=Quantization.per_tensor(1 / 100, 0))
        y = h.builder.node("quantize", [y], stored, name="stored")
        y = h.builder.node("dequantize", [y], type_, name="y")
    return Case(layer.name, layer.op, precision, h.builder.build([y]), h.feeds, island=integer)


def _input(h: CaseBuilder, layer: _Layer, rows: int) -> str:
    return h.input((layer.steps, layer.batch, rows))


def _quantized_input(h: CaseBuilder, shape: tuple[int, ...]) -> str:
    x = h.input(shape)
    grid = TensorType(shape, "int8", Quantization.per_tensor(0.037, -9))
    stored = h.builder.node("quantize", [x], grid, name="x_q")
    return h.builder.node("dequantize", [stored], TensorType(shape), name="gates")


def _states(h: CaseBuilder, layer: _Layer) -> list[str]:
    widths = [layer.projection or layer.units, *([layer.units] if layer.op == "lstm" else [])]
    values = [h.rng.uniform(-0.9, 0.9, (layer.batch, width)).astype(np.float32) for width in widths]
    if not layer.given_state:
        return [h.constant(value) for value in values]
    names = []
    for value in values:
        names.append(h.builder.input(f"x{len(h.feeds)}", TensorType(value.shape)))
        h.feeds[names[-1]] = value
    return names


def _weights(h: CaseBuilder, layer: _Layer, rows: int) -> list[str]:
    width = layer.projection or layer.units
    if layer.state_scale is None:
        found = [h.constant(h.rng.standard_normal((rows, width)) / np.sqrt(width))]
    else:
        integers = h.rng.integers(-127, 128, (rows, width)).astype(np.int8)
        scales = h.rng.uniform(0.5, 1.5, rows) * 1.5 / np.sqrt(width) / 127
        found = [h.builder.constant("w", integers, Quantization.per_channel(scales, 0))]
    if layer.op == "gru" and layer.bias:
        found.append(h.constant(h.rng.standard_normal(rows)))
    if layer.projection:
        found.append(h.constant(h.rng.standard_normal((width, layer.units)) / np.sqrt(layer.units)))
    return found
