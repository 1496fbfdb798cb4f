"""Recurrent layers with int8 weights: what is decided, and what it costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pocketpress.compress.learn.operators import operator
from pocketpress.compress.quantize import recurrent
from pocketpress.compress.quantize.place import place, with_reasons
from pocketpress.compress.quantize.recurrent import (
    INTEGER_WIDTH,
    apply_recurrent,
    plan_recurrent,
    state_peaks,
)
from pocketpress.core.program import Program, ProgramBuilder, TensorType
from pocketpress.core.program.decode import real_constant
from pocketpress.core.program.recurrent import GATES
from pocketpress.testing import Case, all_cases
from pocketpress.verify.reference import interpret

WIDTH = 12


def network(op: str, hidden: int, steps: int = 5, outputs: int = 4, **attrs: Any) -> Program:
    """Input product, recurrent layer, last state, scores; weights as networks start from them."""
    rng, b = np.random.default_rng(0), ProgramBuilder()

    def weight(*shape: int) -> str:
        return b.constant("w", (rng.uniform(-1, 1, shape) / np.sqrt(shape[1])).astype(np.float32))

    x, rows = b.input("x", TensorType((steps, 1, WIDTH))), GATES[op] * hidden
    gates = b.node("linear", [x, weight(rows, WIDTH)], TensorType((steps, 1, rows)), name="gates", clamp=None)
    zero = b.constant("zero", np.zeros((1, hidden), np.float32))
    plain: dict[str, Any] = {"gru": {"reset_after": True}, "lstm": {"cell": False}}
    attrs = {"reverse": False, "state_scale": None, **plain.get(op, {}), **attrs}
    inputs = [gates, *([zero] * (2 if op == "lstm" else 1)), weight(rows, hidden)]
    y = b.node(op, inputs, TensorType((steps, 1, hidden)), name="states", **attrs)
    cut = {"starts": (steps - 1, 0, 0), "sizes": (1, 1, hidden), "steps": (1, 1, 1)}
    last = b.node("slice", [y], TensorType((1, 1, hidden)), name="last", **cut)
    scores = [last, weight(outputs, hidden)]
    return b.build([b.node("linear", scores, TensorType((1, 1, outputs)), name="scores", clamp=None), y])


def samples(program: Program, count: int = 4, scale: float = 1.0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    shape = program.type("x").shape
    return [{"x": (scale * rng.normal(size=shape)).astype(np.float32)} for _ in range(count)]


def run(program: Program, feeds: Any, names: Any) -> Any:
    return interpret(program, feeds, keep=names)


def quantized(program: Program, feeds: list[dict[str, Any]], *, integers: bool = True) -> Program:
    plan = plan_recurrent(program, state_peaks(program, feeds, run), integers=integers)
    return apply_recurrent(program, plan)


def test_a_narrow_layer_keeps_float_arithmetic() -> None:
    program = network("gru", 16)
    plan = plan_recurrent(program, {}, integers=True)
    assert set(plan.weights) == {"w", "w_1", "w_2"} and not plan.state_scales
    assert plan.reasons["states"] == "its state stays float32; float arithmetic on int8 weights"
    assert plan.reasons["gates"] == "part of the recurrent layer states: float arithmetic on int8 weights"
    made = apply_recurrent(program, plan)
    assert made.type("w_1").dtype == "int8" and made.nodes[1].attrs["state_scale"] is None
    assert np.abs(real_constant(made, "w_1") - program.constants["w_1"]).max() < 0.5 / 127


def test_reasons_are_told_and_nothing_of_the_layer_is_placed_in_integers() -> None:
    program = network("gru", 16)
    plan = plan_recurrent(program, {}, integers=True)
    made = apply_recurrent(program, plan)
    placement = with_reasons(made, place(made, frozenset({"linear", "slice"})), plan.reasons)
    assert not placement.integer
    assert {s.name.split()[1]: s.reason for s in placement.left_in_float} == plan.reasons


def test_a_large_layer_behind_it_is_left_to_integers() -> None:
    program = network("gru", 64, outputs=recurrent.SMALLEST_PRODUCT // 64)
    assert "scores" not in plan_recurrent(program, {}, integers=True).reasons
    program = network("gru", 64, outputs=recurrent.SMALLEST_PRODUCT // 64 - 1)
    assert "scores" in plan_recurrent(program, {}, integers=True).reasons


@pytest.mark.parametrize(("op", "attrs"), [("gru", {}), ("lstm", {}), ("rnn", {"activation": "tanh"})])
def test_a_wide_layer_takes_the_state_in_8_bits(op: str, attrs: dict[str, Any]) -> None:
    program = network(op, INTEGER_WIDTH, **attrs)
    plan = plan_recurrent(program, {}, integers=True)
    assert plan.state_scales == {"states": 1 / 128}
    assert "w" not in plan.weights and "gates" not in plan.reasons
    assert plan_recurrent(program, {}, integers=False).state_scales == {}


def test_a_state_without_bounds_is_measured() -> None:
    program = network("rnn", INTEGER_WIDTH, activation="relu")
    feeds = samples(program, scale=30.0)
    peak = state_peaks(program, feeds, run)["states"]
    found = max(float(interpret(program, f)["states"].max()) for f in feeds)
    assert peak == found > 1
    scale = plan_recurrent(program, {"states": peak}, integers=True).state_scales["states"]
    assert scale / 2 < peak / 127 <= scale and np.log2(scale) == np.rint(np.log2(scale))


@pytest.mark.parametrize("hidden", [32, INTEGER_WIDTH])
def test_the_error_does_not_grow_with_the_sequence(hidden: int) -> None:
    steps = 1200 if hidden == 32 else 400
    program = network("gru", hidden, steps)
    feeds = samples(program, 1)
    made = quantized(program, feeds)
    error = (interpret(program, feeds[0])["states"] - interpret(made, feeds[0])["states"]) ** 2
    quarters = [float(part.mean()) for part in np.split(error, 4)]
    assert quarters[0] > 0 and max(quarters[1:]) < 1.5 * quarters[0]


CASES = [case for case in all_cases() if case.op in GATES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_learning_sees_what_the_reference_computes(case: Case) -> None:
    (node,) = (n for n in case.program.nodes if n.op in GATES)
    found = interpret(case.program, case.feeds, keep=[n for n in (*node.inputs, *node.outputs)])
    values = [
        torch.from_numpy(
            np.array(real_constant(case.program, n) if n in case.program.constants else found[n])
        )
        for n in node.inputs
    ]
    values[0].requires_grad_(True)
    made = operator(node.op)(values, node.attrs)
    np.testing.assert_allclose(made.detach().numpy(), found[node.outputs[0]], atol=2e-5)
    made.sum().backward()
    assert values[0].grad is not None and float(values[0].grad.abs().sum()) > 0
