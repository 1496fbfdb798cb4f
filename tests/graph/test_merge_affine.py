"""Chains of scales and shifts, by hand."""

from __future__ import annotations

import numpy as np
from tests.graph.same import assert_same, ops
from tests.reference.networks import Net

from pocketpress.core.program import Program
from pocketpress.graph.merge_affine import merge_affine


def checked(before: Program) -> Program:
    after = merge_affine(before)
    assert_same(before, after)
    return after


def test_a_batch_norm_in_three_steps_becomes_two() -> None:
    """((x - 1) * 2 + 5) is 2 x + 3."""
    net = Net()
    x = net.op("add", net.input(1, 2, 3, 3), net.constant([[[-1.0]], [[-1.0]]]))
    x = net.op("mul", x, net.constant([[[2.0]], [[4.0]]]))
    x = net.op("add", x, net.constant([[[5.0]], [[5.0]]]), clamp=(0.0, 6.0))
    after = checked(net.build(x))
    assert ops(after) == ["mul", "add"] and after.nodes[-1].attrs["clamp"] == (0.0, 6.0)
    scale, shift = (after.constants[node.inputs[1]].reshape(-1) for node in after.nodes)
    np.testing.assert_array_equal(scale, [2, 4])
    np.testing.assert_array_equal(shift, [3, 1])


def test_a_number_and_a_vector() -> None:
    net = Net()
    x = net.op("mul", net.input(1, 3, 2, 2), net.constant(1 / 255))
    x = net.op("add", x, net.constant([[[-0.5]], [[-0.25]], [[0.0]]]))
    x = net.op("mul", x, net.constant([[[2.0]], [[4.0]], [[8.0]]]))
    assert ops(checked(net.build(x))) == ["mul", "add"]


def test_opposite_shifts_vanish() -> None:
    net = Net()
    x = net.op("add", net.input(1, 3), net.constant(2.0))
    x = net.op("mul", net.op("add", x, net.constant(-2.0)), net.constant(3.0))
    assert ops(checked(net.build(x))) == ["mul"]


def test_what_would_not_get_shorter_or_would_grow_stays() -> None:
    net = Net()
    x = net.input(1, 3, 2, 2)
    two = net.op("add", net.op("mul", x, net.constant(2.0)), net.constant(1.0))
    row = net.constant(np.arange(1.0, 3.0))
    column = net.constant(np.arange(1.0, 3.0).reshape(2, 1))
    crossed = net.op("mul", net.op("mul", x, row), column)
    clamped = net.op("add", net.op("add", x, net.constant(1.0), clamp=(0.0, None)), net.constant(1.0))
    program = net.build(two, crossed, clamped)
    assert ops(checked(program)) == ops(program)


def test_a_step_that_something_else_reads_stays() -> None:
    net = Net()
    first = net.op("add", net.input(1, 3), net.constant(2.0))
    program = net.build(net.op("add", first, net.constant(1.0)), net.op("tanh", first))
    assert ops(checked(program)) == ["add", "add", "tanh"]
