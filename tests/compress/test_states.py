"""Where a state is kept in float, and where its two ends share one grid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pocketpress.compress.quantize.apply import apply_plan
from pocketpress.compress.quantize.observe import observe
from pocketpress.compress.quantize.place import place
from pocketpress.compress.quantize.plan import QuantizationOptions, make_plan
from pocketpress.compress.quantize.states import undecided, updating_nodes
from pocketpress.core.program import OPS, Program, ProgramBuilder, State, TensorType, with_states
from pocketpress.pipeline.evaluate import run_program
from pocketpress.pipeline.sequences import full_feeds
from pocketpress.verify.drift import drift
from pocketpress.verify.reference import interpret

WIDTH = 8
ABLE = frozenset(op for op, spec in OPS.items() if spec.integer != "float")
RNG = np.random.default_rng(0)


def gated() -> Program:
    """``h' = h + (n - h) / 32``, n of products of x and h; the scores are a product of h'."""
    b, row = ProgramBuilder(), TensorType((1, WIDTH))
    x, h = b.input("x", row), b.input("h", row)
    weights = [
        b.constant(f"w{i}", (RNG.normal(size=(WIDTH, WIDTH)) / 3).astype(np.float32)) for i in range(3)
    ]

    def linear(name: str, value: str, weight: str) -> str:
        return b.node("linear", [value, weight], row, name=name, clamp=None)

    both = [linear("nx", x, weights[0]), linear("nh", h, weights[1])]
    n = b.node("tanh", [b.node("add", both, row, name="sum", clamp=None)], row, name="n")
    z = b.constant("z", np.full((1, WIDTH), 1 / 32, np.float32))
    change = b.node(
        "mul", [z, b.node("sub", [n, h], row, name="n_h", clamp=None)], row, name="zn", clamp=None
    )
    after = b.node("add", [h, change], row, name="after", clamp=None)
    return with_states(b.build([linear("scores", after, weights[2]), after]), [State("h", "after")])


def buffered() -> Program:
    """The last four frames move along; their mean is returned."""
    b, row = ProgramBuilder(), TensorType((1, WIDTH, 4))
    x, past = b.input("x", TensorType((1, WIDTH, 1))), b.input("past", row)
    frames = b.node("concat", [past, x], TensorType((1, WIDTH, 5)), name="frames", axis=2)
    moved: dict[str, Any] = {"starts": (0, 0, 1), "sizes": (1, WIDTH, 4), "steps": (1, 1, 1)}
    after = b.node("slice", [frames], row, name="after", **moved)
    mean = b.node("mean", [frames], TensorType((1, WIDTH)), name="mean", axes=(2,), keepdims=False)
    weight = b.constant("w", RNG.normal(size=(3, WIDTH)).astype(np.float32))
    scores = b.node("linear", [mean, weight], TensorType((1, 3)), name="scores", clamp=None)
    return with_states(b.build([scores, after]), [State("past", "after")])


def quantized(program: Program, sequences: list[dict[str, Any]], *, ignore_states: bool = False) -> Program:
    feeds = [feed for sequence in sequences for feed in full_feeds(program, sequence)]
    seen = replace(program, states=()) if ignore_states else program
    names = [*program.inputs, *(n.outputs[0] for n in program.nodes)]
    stats = observe(seen, names, feeds, len(feeds), lambda p, f, k: interpret(p, f, keep=k))
    plan = make_plan(seen, place(seen, ABLE), stats, QuantizationOptions("min-max"))
    return replace(apply_plan(seen, plan, {}), states=program.states)


def sequences(program: Program, count: int, steps: int) -> list[dict[str, Any]]:
    shape = program.type("x").shape
    return [{"x": RNG.normal(size=(steps, *shape)).astype(np.float32)} for _ in range(count)]


def test_what_carries_a_state_element_by_element_is_in_float() -> None:
    program = gated()
    assert updating_nodes(program) == {"n_h", "zn", "after"}
    reasons = {s.name: s.reason for s in place(program, ABLE).left_in_float}
    assert reasons["add after"] == "it updates a state, which is kept in float"
    assert {"nx", "nh", "sum", "n", "scores"} <= place(program, ABLE).integer


def test_what_only_moves_a_state_may_be_integer_on_one_grid() -> None:
    program = buffered()
    assert updating_nodes(program) == frozenset()
    found = quantized(program, sequences(program, 4, 20))
    given = next(n for n in found.nodes if n.op == "quantize" and n.inputs == ("past",))
    taken = next(n for n in found.nodes if n.outputs == ("after",))
    assert taken.op == "dequantize"
    assert found.type(given.outputs[0]) == found.type(taken.inputs[0])


def test_a_buffer_comes_back_as_the_same_integers() -> None:
    """Through float between quantise and dequantise nothing is lost: the fourth frame is the first."""
    program = buffered()
    found = quantized(program, sequences(program, 4, 20))
    x = RNG.normal(size=(1, WIDTH, 1)).astype(np.float32)
    past = np.zeros((1, WIDTH, 4), np.float32)
    first = interpret(found, {"x": x, "past": past})["after"]
    kept = first
    for _ in range(3):
        kept = interpret(found, {"x": x, "past": kept})["after"]
    np.testing.assert_array_equal(kept[..., 0], first[..., -1])


@pytest.mark.slow
def test_the_error_does_not_grow_and_would_without_the_rule() -> None:
    """Slow updates: an integer state loses what is below half a step, for ever."""
    program = gated()
    seen, unseen = sequences(program, 6, 60), sequences(program, 16, 240)
    floats = run_program(program, unseen, lambda: None)
    runs = [
        run_program(quantized(program, seen, ignore_states=ignore), unseen, lambda: None)
        for ignore in (False, True)
    ]
    ours, theirs = (drift(run, run, floats) for run in runs)
    assert not ours.grows
    last, last_without = ours.segments[-1].sqnr_float_db, theirs.segments[-1].sqnr_float_db
    assert last > last_without + 6


def test_near_ties_of_sums_and_products_stay_in_float_where_there_is_state() -> None:
    program = gated()
    assert set(undecided(program, ["sum", "n", "scores"])) == {"sum"}
    assert undecided(replace(program, states=()), ["sum"]) == {}


@pytest.mark.parametrize("program", [gated(), buffered()], ids=["gated", "buffered"])
def test_no_sum_or_product_of_a_quantised_network_lies_near_a_tie(program: Program) -> None:
    feeds = [f for s in sequences(program, 4, 20) for f in full_feeds(program, s)]
    names = [*program.inputs, *(n.outputs[0] for n in program.nodes)]
    stats = observe(program, names, feeds, len(feeds), lambda p, f, k: interpret(p, f, keep=k))
    plan = make_plan(program, place(program, ABLE), stats, QuantizationOptions("min-max"))
    ops = {node.name: node.op for node in program.nodes}
    near = {s.name for s in plan.skipped if "rounding tie:" in s.reason}
    assert {ops[name] for name in near} <= {"mean", "sigmoid", "tanh"}
