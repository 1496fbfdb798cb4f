"""A factor per channel that nothing absorbs becomes a depthwise convolution."""

from __future__ import annotations

import numpy as np
import pytest
from tests.graph.same import assert_same, ops
from tests.reference.networks import Net

from pocketpress.graph.affine_to_depthwise import affine_to_depthwise


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (3, 1, 1)])
def test_factor_and_shift(shape: tuple[int, ...]) -> None:
    net = Net()
    x = net.op("mul", net.input(1, 3, 4, 4), net.constant(net.rng.normal(1, 1, shape)))
    x = net.op("add", x, net.constant(net.rng.normal(0, 1, shape)), clamp=(0.0, 6.0))
    before = net.build(x)
    after = affine_to_depthwise(before)
    assert ops(after) == ["conv2d"] and after.nodes[0].attrs["groups"] == 3
    assert_same(before, after)


def test_a_factor_alone() -> None:
    net = Net()
    before = net.build(net.op("mul", net.input(1, 3, 4, 4), net.constant(net.rng.normal(1, 1, (3, 1, 1)))))
    after = affine_to_depthwise(before)
    assert ops(after) == ["conv2d"]
    assert_same(before, after)


def test_a_factor_read_twice_keeps_its_shift_apart() -> None:
    net = Net()
    x = net.op("mul", net.input(1, 3, 4, 4), net.constant([[[2.0]], [[1.0]], [[3.0]]]))
    y = net.op("add", x, net.constant(np.ones((1, 3, 1, 1))))
    before = net.build(net.op("sub", x, y))
    assert ops(affine_to_depthwise(before)) == ["conv2d", "add", "sub"]
    assert_same(before, affine_to_depthwise(before))


@pytest.mark.parametrize("shape", [(1, 1, 4, 4), (1, 1, 1, 4)])
def test_a_factor_over_the_image_stays(shape: tuple[int, ...]) -> None:
    net = Net()
    before = net.build(net.op("mul", net.input(1, 3, 4, 4), net.constant(net.rng.normal(1, 1, shape))))
    assert ops(affine_to_depthwise(before)) == ["mul"]


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), ()])
def test_one_number_for_all_channels_stays_a_multiplication(shape: tuple[int, ...]) -> None:
    net = Net()
    before = net.build(net.op("mul", net.input(1, 3, 4, 4), net.constant(np.full(shape, 0.7))))
    assert ops(affine_to_depthwise(before)) == ["mul"]


def test_a_vector_on_a_matrix_stays() -> None:
    net = Net()
    before = net.build(net.op("mul", net.input(1, 3), net.constant([1.0, 2.0, 3.0])))
    assert ops(affine_to_depthwise(before)) == ["mul"]
