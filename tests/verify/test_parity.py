"""Agreement measures, and the control that tells agreement from indifference."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.reference.networks import ALL_INTEGER, Net, plan_of, quantized, residual_network, samples

from pocketpress.compress.quantize.apply import apply_plan
from pocketpress.compress.quantize.observe import observe
from pocketpress.compress.quantize.place import place, without
from pocketpress.compress.quantize.plan import QuantizationOptions, int8_tensors, make_plan
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.testing import all_cases
from pocketpress.verify.parity import compare, has_float_sums, is_approximate, sqnr_db
from pocketpress.verify.reference import interpret

GRID = Signature((TensorSpec("x", (1,), "float32"),), (TensorSpec("y", (1, 4), "float32", grid_scale=0.5),))
REAL = Signature((TensorSpec("x", (1,), "float32"),), (TensorSpec("y", (1, 4), "float32"),))
BASE = [[0.0, 10.0, -5.0, 2.0], [20.0, 1.0, 3.5, -7.0], [-9.0, 4.0, 30.0, 0.5]]


def outputs(rows: list[list[float]]) -> list[dict[str, np.ndarray]]:
    return [{"y": np.asarray([row], np.float32)} for row in rows]


def test_the_same_outputs() -> None:
    found = compare(outputs(BASE), outputs(BASE), GRID, outputs(BASE))
    assert (found.samples, found.elements) == (3, 12)
    assert (found.equal, found.within_1_lsb, found.max_lsb, found.max_abs) == (1.0, 1.0, 0, 0.0)
    assert found.sqnr_reference_db == math.inf and found.sqnr_float_db == math.inf
    assert found.argmax_agreement == 1.0 and found.vacuous is False
    # neighbouring samples differ by at most 20 and 29: the median is 24.5, in steps of 0.5
    assert found.spread == pytest.approx(49)


def test_steps_are_counted_on_the_output_grid() -> None:
    got = [row.copy() for row in BASE]
    got[0][0] += 0.5  # one step
    got[1][1] += 1.5  # three steps
    got[2][2] -= 0.5
    found = compare(outputs(got), outputs(BASE), GRID)
    assert found.equal == pytest.approx(9 / 12)
    assert found.within_1_lsb == pytest.approx(11 / 12)
    assert found.max_lsb == 3 and found.max_abs == pytest.approx(1.5)


def test_argmax_of_the_first_output() -> None:
    got = [row.copy() for row in BASE]
    got[0][3] = 99.0
    assert compare(outputs(got), outputs(BASE), GRID).argmax_agreement == pytest.approx(2 / 3)


def test_float_outputs_have_a_tolerance_and_no_steps() -> None:
    found = compare(outputs(BASE), outputs(BASE), REAL)
    assert found.equal is None and found.max_lsb is None
    assert found.tolerance == pytest.approx(39 * 1e-4)


def test_outputs_that_do_not_depend_on_the_input_are_vacuous() -> None:
    """Agreement of two dead networks proves nothing, and is said to prove nothing."""
    dead = outputs([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.5, 4.0], [1.0, 2.0, 3.0, 4.0]])
    found = compare(dead, dead, GRID)
    assert found.equal == 1.0 and found.vacuous is True and found.spread == 1.0


def test_one_sample_cannot_tell() -> None:
    found = compare(outputs(BASE[:1]), outputs(BASE[:1]), GRID)
    assert found.vacuous is None and found.spread is None


def test_one_dead_output_of_two_is_enough_to_be_vacuous() -> None:
    signature = Signature(GRID.inputs, (GRID.outputs[0], TensorSpec("z", (1,), "float32", grid_scale=1.0)))
    both = [{**o, "z": np.zeros(1, np.float32)} for o in outputs(BASE)]
    assert compare(both, both, signature).vacuous is True


def test_a_broken_artifact_with_infinite_outputs_still_gives_a_record() -> None:
    got = [row.copy() for row in BASE]
    got[0][0] = math.inf
    found = compare(outputs(got), outputs(BASE), REAL)
    assert math.isfinite(found.max_abs) and found.max_abs > 1e30


def test_nan_is_never_equal() -> None:
    got = [row.copy() for row in BASE]
    got[1][2] = math.nan
    found = compare(outputs(got), outputs(BASE), GRID)
    assert found.equal == pytest.approx(11 / 12)
    assert found.max_lsb is not None and found.max_lsb > 255


@pytest.mark.parametrize(
    ("signal", "noise", "decibels"),
    [([10.0], [1.0], 20.0), ([3.0, 4.0], [0.05], 40.0), ([1.0], [0.0], math.inf), ([1.0], [10.0], -20.0)],
)
def test_sqnr(signal: list[float], noise: list[float], decibels: float) -> None:
    assert sqnr_db(np.asarray(signal), np.asarray(noise)) == pytest.approx(decibels)


def test_float_layers_between_integer_ones_leave_rounding_to_the_runtime() -> None:
    """A float convolution whose result is quantised again does; one that ends in an output does not."""
    program = residual_network()
    placement, feeds = place(program, ALL_INTEGER), samples(program, 2)
    names = [n for n in int8_tensors(program, placement) if n not in program.constants]
    stats = observe(program, names, feeds, 2, lambda p, f, keep: interpret(p, f, keep=keep))
    for kept, wanted in (("b0", True), ("output", False)):
        plan = make_plan(program, without(program, placement, {kept: "why"}), stats, QuantizationOptions())
        assert is_approximate(apply_plan(program, plan)) is wanted
    assert not is_approximate(apply_plan(program, plan_of(program)))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("gru-plain-fp32", False),
        ("gru-plain-w8a8-static", True),
        ("lstm-rounded_projected-w8a8-static", True),
    ],
)
def test_recurrent_layers_round_in_their_own_ways_where_states_are_rounded(name: str, wanted: bool) -> None:
    """Float alone is compared as float; the case in int8 rounds what comes out, or the state itself."""
    (program,) = (case.program for case in all_cases() if case.id == name)
    assert is_approximate(program) is wanted


def test_a_rounded_state_is_enough() -> None:
    (program,) = (c.program for c in all_cases() if c.id == "gru-rounded-w8a8-static")
    (node,) = (n for n in program.nodes if n.op == "gru")
    alone = program.prefix(node.outputs)
    assert is_approximate(alone)
    plain = tuple(n.with_attrs(state_scale=None) if n.op == "gru" else n for n in alone.nodes)
    assert not is_approximate(replace(alone, nodes=plain))


@pytest.mark.parametrize(
    ("op", "attrs", "wanted"),
    [("softmax", {"axis": 1}, True), ("exp", {}, True), ("abs", {}, False), ("sigmoid", {}, False)],
)
def test_float_layers_whose_last_bits_differ(op: str, attrs: dict[str, int], wanted: bool) -> None:
    net = Net()
    x = net.op(op, net.linear(net.input(1, 6), 4), **attrs)
    assert has_float_sums(quantized(net.build(net.linear(net.op("tanh", net.linear(x, 4)), 2)))) is wanted
