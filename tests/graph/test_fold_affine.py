"""Batch-norm folding."""

from __future__ import annotations

import numpy as np
import pytest
from tests.graph.same import assert_same, ops
from tests.reference.networks import Net

from pocketpress.graph.fold_affine import fold_affine


def normalised(net: Net, x: str, shape: tuple[int, ...]) -> str:
    """A batch-norm as sources write it: a factor and a shift per channel."""
    scaled = net.op("mul", x, net.constant(net.rng.normal(1, 0.5, shape)))
    return net.op("add", scaled, net.constant(net.rng.normal(0, 1, shape)))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_after_a_convolution(groups: int, bias: bool) -> None:
    net = Net(groups)
    x = net.conv(net.input(1, 4, 5, 5), 8, groups=groups, bias=bias)
    before = net.build(net.op("clamp", normalised(net, x, (1, 8, 1, 1)), low=0.0, high=None))
    after = fold_affine(before)
    assert ops(after) == ["conv2d", "clamp"]
    assert_same(before, after)


@pytest.mark.parametrize("groups", [1, 2])
def test_after_a_transposed_convolution(groups: int) -> None:
    net = Net(3)
    weight = net.constant(net.rng.normal(0, 1, (4, 3, 2, 2)))
    x = net.op(
        "conv_transpose2d", net.input(1, 4, 3, 3), weight, stride=(2, 2), pads=(0, 0, 0, 0),
        output_padding=(0, 0), groups=groups,
    )  # fmt: skip
    before = net.build(normalised(net, x, (1, 3 * groups, 1, 1)))
    after = fold_affine(before)
    assert ops(after) == ["conv_transpose2d"]
    assert_same(before, after)


@pytest.mark.parametrize("shape", [(6,), (1, 6), (1, 1)])
def test_after_a_linear_layer(shape: tuple[int, ...]) -> None:
    net = Net(4)
    before = net.build(normalised(net, net.linear(net.input(2, 5), 6), shape))
    after = fold_affine(before)
    assert ops(after) == ["linear"]
    assert_same(before, after)


def test_a_long_chain_folds_to_the_end() -> None:
    net = Net(5)
    x = net.conv(net.input(1, 2, 4, 4), 3)
    for _ in range(3):
        x = normalised(net, x, (1, 3, 1, 1))
    before = net.build(x)
    assert ops(fold_affine(before)) == ["conv2d"]
    assert_same(before, fold_affine(before))


def test_left_alone() -> None:
    """Another reader, a clamp in between, a constant that varies over the image, a returned tensor."""
    net = Net(6)
    x = net.input(1, 2, 4, 4)
    shared = net.conv(x, 3)
    a = net.op("mul", shared, net.constant(np.full((1, 3, 1, 1), 2.0)))
    b = net.op("add", a, shared)
    clamped = net.op("mul", net.conv(x, 3, clamp=(0.0, 6.0)), net.constant(np.full((1, 3, 1, 1), 2.0)))
    varying = net.op("mul", net.conv(x, 3), net.constant(net.rng.normal(0, 1, (1, 1, 4, 4))))
    returned = net.conv(x, 3, name="returned")
    after_returned = net.op("mul", returned, net.constant(np.full((1, 3, 1, 1), 2.0)))
    before = net.build(b, clamped, varying, returned, after_returned)
    assert ops(fold_affine(before)) == ops(before)
    assert_same(before, fold_affine(before))


def test_two_layers_that_share_a_weight_keep_their_own() -> None:
    net = Net(7)
    x = net.input(1, 2, 4, 4)
    weight = net.constant(net.rng.normal(0, 1, (2, 2, 1, 1)), "shared")
    attrs = {"stride": (1, 1), "pads": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1}
    first = net.op("mul", net.op("conv2d", x, weight, **attrs), net.constant(np.full((1, 2, 1, 1), 3.0)))
    before = net.build(net.op("conv2d", first, weight, **attrs))
    after = fold_affine(before)
    assert ops(after) == ["conv2d", "conv2d"]
    assert_same(before, after)


def test_idempotent() -> None:
    net = Net(8)
    once = fold_affine(net.build(normalised(net, net.conv(net.input(1, 2, 4, 4), 3), (1, 3, 1, 1))))
    assert fold_affine(once) is once
