"""Cases of the recurrent operators: a layer with its input product in front, as networks have it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pocketpress.core.program import ProgramBuilder, Quantization, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.core.program.recurrent import GATES
from pocketpress.testing.case_builder import FLOAT, HALF, INTEGER, Case

STEPS, WIDTH, HIDDEN, PROJECTED = 9, 10, 16, 8
LONG = 307
"""So many steps that targets which loop over them cut the sequence, and that no cut fits."""
DEFAULTS: dict[str, dict[str, Any]] = {
    "gru": {"reset_after": True},
    "lstm": {"cell": False},
    "rnn": {"activation": "tanh"},
}


@dataclass(frozen=True)
class _Layer:
    """One variant.

    Attributes:
        attrs: other than the defaults.
        batch: sequences at a time.
        states: "zero", "constant" or "given" by the caller.
        bias: whether a GRU's candidate has a bias of its own.
        projected: whether an LSTM has a projection.
        product: whether a `linear` makes the gates; else the caller gives them.
        steps: length of the sequence.
    """

    op: str
    name: str
    attrs: dict[str, Any] = field(default_factory=dict)
    batch: int = 1
    states: str = "zero"
    bias: bool = True
    projected: bool = False
    product: bool = True
    steps: int = STEPS


_FORMS = (
    _Layer("gru", "plain"),
    _Layer("gru", "reset_before", {"reset_after": False}),
    _Layer("gru", "reverse", {"reverse": True}, bias=False),
    _Layer("gru", "batch_of_states", batch=3, states="given"),
    _Layer("gru", "given_gates", states="constant", product=False),
    _Layer("gru", "one_step", steps=1),
    _Layer("rnn", "one_step_reverse", {"reverse": True}, steps=1, states="given", batch=2),
    _Layer("lstm", "one_step_cells", {"cell": True}, steps=1, states="given"),
    _Layer("gru", "long", steps=LONG),
    _Layer("gru", "long_reverse", {"reverse": True}, steps=LONG),
    _Layer("lstm", "long_cells", {"cell": True}, steps=LONG),
    _Layer("lstm", "plain"),
    _Layer("lstm", "reverse_from_states", {"reverse": True}, states="given"),
    _Layer("lstm", "cells", {"cell": True}, states="constant"),
    _Layer("lstm", "projected", batch=2, projected=True),
    _Layer("rnn", "tanh", states="given"),
    _Layer("rnn", "relu", {"activation": "relu", "reverse": True}),
)
_ROUNDED = (
    _Layer("gru", "rounded", {"state_scale": 1 / 128}),
    _Layer("gru", "rounded_reset_before", {"state_scale": 1 / 128, "reset_after": False}, batch=2),
    _Layer("lstm", "rounded_cells", {"state_scale": 1 / 128, "cell": True, "reverse": True}),
    _Layer("lstm", "rounded_projected", {"state_scale": 1 / 64}, projected=True),
    _Layer("gru", "rounded_one_step", {"state_scale": 1 / 128}, steps=1, states="given"),
    _Layer("rnn", "rounded_relu", {"state_scale": 1 / 32, "activation": "relu"}, states="given"),
)


def recurrent_cases() -> list[Case]:
    """All forms in float; plain ones with float16 and with int8 weights; rounded states with int8 weights."""
    plain = [form for form in _FORMS if form.name in ("plain", "relu", "cells")]
    cases = [_Writer(form, FLOAT).case() for form in _FORMS]
    cases += [_Writer(form, HALF).case() for form in plain]
    return cases + [_Writer(form, INTEGER).case() for form in (*plain, *_ROUNDED)]


class _Writer:
    def __init__(self, form: _Layer, precision: str) -> None:
        self.form, self.precision, self.builder = form, precision, ProgramBuilder()
        self.feeds: dict[str, Array] = {}
        self.rng = np.random.default_rng(zlib.crc32(f"{form.op}/{form.name}".encode()))

    def case(self) -> Case:
        form, rows = self.form, GATES[self.form.op] * HIDDEN
        width = PROJECTED if form.projected else HIDDEN
        inputs = [self._gates(rows), self._state(width)]
        inputs += [self._state(HIDDEN)] if form.op == "lstm" else []
        inputs.append(self._weight(rows, width))
        if form.op == "gru" and form.bias:
            inputs.append(self._constant(self.rng.standard_normal(rows)))
        if form.projected:
            inputs.append(self._weight(PROJECTED, HIDDEN))
        attrs = {"reverse": False, "state_scale": None, **DEFAULTS[form.op], **form.attrs}
        shape = (form.steps, form.batch, width + (HIDDEN if attrs.get("cell") else 0))
        last = self.precision != INTEGER
        y = self.builder.node(form.op, inputs, TensorType(shape), name="y" if last else "real", **attrs)
        if not last:
            grid = TensorType(shape, "int8", Quantization.per_tensor(1 / 64))
            y = self.builder.node("quantize", [y], grid, name="stored")
            y = self.builder.node("dequantize", [y], TensorType(shape), name="y")
        program = self.builder.build([y])
        return Case(form.name, form.op, self.precision, program, self.feeds, island=not last)

    def _gates(self, rows: int) -> str:
        if not self.form.product:
            return self._given((self.form.steps, self.form.batch, rows))
        x = self._given((self.form.steps, self.form.batch, WIDTH))
        inputs = [x, self._weight(rows, WIDTH), self._constant(self.rng.standard_normal(rows) / 2)]
        return self.builder.node(
            "linear", inputs, TensorType((self.form.steps, self.form.batch, rows)), clamp=None
        )

    def _state(self, width: int) -> str:
        shape = (self.form.batch, width)
        if self.form.states == "zero":
            return self.builder.constant("state", np.zeros(shape, np.float32))
        if self.form.states == "given":
            return self._given(shape)
        return self._constant(self.rng.uniform(-1, 1, shape))

    def _given(self, shape: tuple[int, ...]) -> str:
        name = self.builder.input(f"x{len(self.feeds)}", TensorType(shape))
        self.feeds[name] = self.rng.uniform(-1, 1, shape).astype(np.float32)
        return name

    def _weight(self, rows: int, columns: int) -> str:
        if self.precision != INTEGER:
            return self._constant(self.rng.standard_normal((rows, columns)) / np.sqrt(columns))
        integers = self.rng.integers(-127, 128, (rows, columns)).astype(np.int8)
        scales = self.rng.uniform(0.5, 1.5, rows) * 1.5 / np.sqrt(columns) / 127
        return self.builder.constant("w", integers, Quantization.per_channel(scales, 0))

    def _constant(self, values: Array) -> str:
        dtype = np.float16 if self.precision == HALF else np.float32
        return self.builder.constant("c", np.asarray(values).astype(dtype))
