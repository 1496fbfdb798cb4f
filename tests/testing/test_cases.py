"""The cases keep the rules under which all runtimes agree, and meet what they claim to meet."""

from __future__ import annotations

import numpy as np
import pytest

from pocketpress.core.program import Program
from pocketpress.core.program.tables import FUNCTIONS, real_table
from pocketpress.testing import Case, all_cases
from pocketpress.verify.reference import interpret

INTEGERS = [case for case in all_cases() if case.precision == "w8a8-static" and not case.island]


def step(program: Program, name: str) -> float:
    quant = program.type(name).quant
    assert quant is not None
    return float(quant.step)


def tie_distance(case: Case) -> float:
    """Least distance of any result from a rounding tie, over all pairs of integers."""
    (node,) = (node for node in case.program.nodes if node.op == case.op)
    a, b = (step(case.program, name) for name in node.inputs)
    out = step(case.program, node.outputs[0])
    q = np.arange(-255, 256, dtype=np.float64)
    pairs = np.multiply.outer(q, q) * (a * b / out) if case.op == "mul" else np.add.outer(q * a, q * b) / out
    return float(np.abs(pairs - np.floor(pairs) - 0.5).min())


@pytest.mark.parametrize("case", [c for c in INTEGERS if c.op in ("add", "sub", "mul")], ids=lambda c: c.id)
def test_sums_and_products_stay_clear_of_ties(case: Case) -> None:
    assert tie_distance(case) > 1e-3


@pytest.mark.parametrize("case", [c for c in INTEGERS if c.op in FUNCTIONS], ids=lambda c: c.id)
def test_tables_stay_clear_of_ties(case: Case) -> None:
    (node,) = (node for node in case.program.nodes if node.op == case.op)
    source, out = case.program.type(node.inputs[0]).quant, case.program.type(node.outputs[0]).quant
    assert source is not None and out is not None
    real = real_table(case.op, node.attrs, source, out)
    assert np.abs(real - np.floor(real) - 0.5).min() > 5e-4


@pytest.mark.parametrize("case", [c for c in INTEGERS if c.op == "mean"], ids=lambda c: c.id)
def test_means_divide_by_an_odd_number(case: Case) -> None:
    (node,) = (node for node in case.program.nodes if node.op == "mean")
    count = np.prod([case.program.type(node.inputs[0]).shape[axis] for axis in node.attrs["axes"]])
    divisor = step(case.program, node.outputs[0]) * count / step(case.program, node.inputs[0])
    assert abs(divisor - round(divisor)) < 1e-4 and round(divisor) % 2 == 1


def test_inputs_reach_both_ends_of_the_grid() -> None:
    for case in INTEGERS:
        stored = [node.outputs[0] for node in case.program.nodes if node.op == "quantize"]
        if case.op in ("quantize", "dequantize", "requantize"):
            continue
        values = interpret(case.program, case.feeds, keep=stored)
        for value in values.values():
            assert (value.min(), value.max()) == (-128, 127), case.id


def test_building_the_cases_again_gives_the_same_cases() -> None:
    first = all_cases()
    all_cases.cache_clear()
    for old, new in zip(first, all_cases(), strict=True):
        assert old.id == new.id
        for name in old.program.constants:
            np.testing.assert_array_equal(old.program.constants[name], new.program.constants[name])
        for name in old.feeds:
            np.testing.assert_array_equal(old.feeds[name], new.feeds[name])
