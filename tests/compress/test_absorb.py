"""Bias absorption, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compress.test_equalize import seen
from tests.reference.networks import Net, samples

from pocketpress.compress.quantize.absorb import apply_absorption, plan_absorption
from pocketpress.core.program import Program
from pocketpress.verify.reference import interpret


def network(pads: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Program:
    """Channel 0 lies near 100, channel 1 around 0."""
    net = Net()
    x = net.input(1, 2, 4, 4)
    plain = {"stride": (1, 1), "dilation": (1, 1), "groups": 1}
    eye = np.eye(2).reshape(2, 2, 1, 1)
    first = net.op(
        "conv2d",
        x,
        net.constant(eye),
        net.constant([100.0, 0.0]),
        pads=(0, 0, 0, 0),
        clamp=(0.0, None),
        **plain,
    )
    weight = np.asarray([[2.0, 1.0]]).reshape(1, 2, 1, 1)
    return net.build(
        net.op("conv2d", first, net.constant(weight), net.constant([5.0]), name="output", pads=pads, **plain)
    )


def test_by_hand() -> None:
    program = network()
    stats = seen(program)
    plan = plan_absorption(program, stats)
    ((_, shift),) = plan.shifts
    first = stats[program.nodes[0].outputs[0]]
    assert first.channel_floor is not None and first.channel_peak is not None
    low, high = first.channel_floor[0], first.channel_peak[0]
    assert shift[0] == pytest.approx(low - 0.1 * (high - low)) and 80 < shift[0] < 100 and shift[1] == 0
    moved = apply_absorption(program, plan)
    first_bias, second_bias = (moved.constants[node.inputs[2]] for node in moved.nodes)
    assert first_bias == pytest.approx([100 - shift[0], 0.0]) and second_bias == pytest.approx(
        [5 + 2 * shift[0]]
    )


def test_the_function_stays_and_the_range_shrinks() -> None:
    program = network()
    moved = apply_absorption(program, plan_absorption(program, seen(program)))
    for feed in samples(program, 8):
        truth, got = interpret(program, feed)["output"], interpret(moved, feed)["output"]
        assert np.abs(truth - got).max() <= 1e-5 * np.abs(truth).max()
    name = program.nodes[0].outputs[0]
    assert seen(moved)[name].high < seen(program)[name].high / 5


def test_padding_forbids_it() -> None:
    program = network(pads=(1, 1, 1, 1))
    assert plan_absorption(program, seen(program)).shifts == ()
