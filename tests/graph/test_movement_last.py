"""Slices and reshapes of a product let its bias and clamp pass."""

from __future__ import annotations

import numpy as np
from tests.graph.same import assert_same, ops
from tests.reference.networks import Net

from pocketpress.core.program import Program
from pocketpress.graph.movement_last import movement_last


def checked(before: Program) -> Program:
    after = movement_last(before)
    assert_same(before, after)
    return after


def cropped(net: Net) -> str:
    x = net.conv(net.input(1, 2, 5, 5), 3, bias=False)
    return net.op("slice", x, starts=(0, 0, 1, 0), sizes=(1, 3, 3, 4), steps=(1, 1, 1, 1))


def test_a_bias_and_a_clamp_pass_a_crop() -> None:
    net = Net()
    x = net.op("add", cropped(net), net.constant([[[1.0]], [[2.0]], [[3.0]]]))
    after = checked(net.build(net.op("clamp", x, low=0.0, high=None)))
    assert ops(after) == ["conv2d", "add", "clamp", "slice"]


def test_a_bias_passes_the_split_into_heads() -> None:
    net = Net()
    x = net.op("linear", net.input(1, 4, 5), net.constant(net.rng.normal(size=(6, 5))))
    x = net.op("reshape", x, shape=(1, 4, 2, 3))
    after = checked(net.build(net.op("add", x, net.constant(np.arange(6.0).reshape(2, 3)))))
    assert ops(after) == ["linear", "add", "reshape"]
    np.testing.assert_array_equal(after.constants[after.nodes[1].inputs[1]].reshape(-1), np.arange(6))


def test_what_is_not_one_number_per_channel_stays() -> None:
    net = Net()
    varied = net.op("add", cropped(net), net.constant(np.arange(4.0)))
    other = Net()
    x = other.op("linear", other.input(1, 4, 6), other.constant(other.rng.normal(size=(6, 6))))
    x = other.op("reshape", x, shape=(1, 6, 4))
    for program in (net.build(varied), other.build(other.op("add", x, other.constant(np.arange(4.0))))):
        assert ops(checked(program)) == ops(program)


def test_a_product_that_something_else_reads_stays() -> None:
    net = Net()
    x = net.conv(net.input(1, 2, 4, 4), 3, bias=False)
    flat = net.op("reshape", x, shape=(1, 48))
    program = net.build(net.op("clamp", flat, low=0.0, high=None), net.op("tanh", x))
    assert ops(checked(program)) == ["conv2d", "reshape", "clamp", "tanh"]
