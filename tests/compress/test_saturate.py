"""A range ends where no reader tells numbers apart, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from tests.reference.networks import Net, plan_of, samples

from pocketpress.compress.quantize.observe import TensorStats
from pocketpress.compress.quantize.plan import QuantizationOptions
from pocketpress.compress.quantize.saturate import saturated
from pocketpress.core.program import Program

WIDE = {"x": TensorStats.of(np.linspace(-20, 20, 401))}


def read_by(*readers: str, moved: bool = False, returned: bool = False) -> Program:
    net = Net()
    x = net.linear(net.input(1, 4, name="input"), 4, name="x")
    read = net.op("reshape", x, shape=(2, 2)) if moved else x
    made = [net.op(op, read, **({"alpha": 1.0} if op == "elu" else {})) for op in readers]
    return net.build(*made, *([x] if returned else []))


def bounds(program: Program, *, real: str | None = None) -> tuple[float, float]:
    integer = {node.name for node in program.nodes if node.op != real}
    found = saturated(program, WIDE, integer)["x"]
    values = np.concatenate([found.values, *found.lowest, *found.highest])
    assert (values.min(), values.max()) == pytest.approx((found.low, found.high))
    return found.low, found.high


@pytest.mark.parametrize(
    ("readers", "low", "high"),
    [
        (("hardswish",), -3, 20),
        (("hardsigmoid",), -3, 3),
        (("hardsigmoid", "tanh"), -4, 4),
        (("sigmoid", "hardswish"), -8, 20),
        (("elu",), -6, 20),
        (("hardswish", "neg"), -20, 20),
    ],
)
def test_the_widest_of_all_readers_counts(readers: tuple[str, ...], low: float, high: float) -> None:
    assert bounds(read_by(*readers)) == (low, high)
    assert bounds(read_by(*readers, moved=True)) == (low, high)


@pytest.mark.parametrize(("reader", "low"), [("sigmoid", -20), ("tanh", -20), ("hardswish", -3)])
def test_the_tails_of_what_is_computed_in_float_may_be_looked_at(reader: str, low: float) -> None:
    assert bounds(read_by(reader), real=reader) == (low, 20)


def test_what_is_returned_keeps_its_range() -> None:
    assert bounds(read_by("hardswish", returned=True)) == (-20, 20)


@pytest.mark.parametrize(("other", "low"), [(False, -8), (True, -20)])
def test_a_swish_in_two_pieces(other: bool, low: float) -> None:
    net = Net()
    x = net.linear(net.input(1, 4, name="input"), 4, name="x")
    gate = net.op("sigmoid", x)
    y = net.op("mul", x, gate)
    assert bounds(net.build(y, *([net.op("neg", x)] if other else []))) == (low, 20)


def test_the_layer_before_has_the_steps() -> None:
    """In a plan: the scale is that of -3 to the largest, and nothing below is told apart."""
    net = Net()
    x = net.linear(net.input(1, 16, name="input"), 8, name="x")
    program = net.build(net.linear(net.op("hardswish", x), 2))
    feeds = samples(program, 16, scale=8.0)
    grid = plan_of(program, QuantizationOptions(estimator="min-max"), feeds=feeds).activations["x"]
    lowest = float(grid.step) * (-128 - grid.zero_point)
    assert lowest == pytest.approx(-3, abs=float(grid.step))
