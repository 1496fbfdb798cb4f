"""Clamps move into the operator before them."""

from __future__ import annotations

import pytest
from tests.graph.same import assert_same, ops
from tests.reference.networks import Net

from pocketpress.graph.fuse_clamp import Limits, fuse_clamp, intersect


def test_relu6_after_a_convolution_and_relu_after_a_sum() -> None:
    net = Net()
    a = net.op("clamp", net.conv(net.input(1, 2, 4, 4), 3), low=0.0, high=6.0)
    b = net.conv(a, 3)
    before = net.build(net.op("clamp", net.op("add", a, b), name="y", low=0.0, high=None))
    after = fuse_clamp(before)
    assert ops(after) == ["conv2d", "conv2d", "add"]
    assert [n.attrs["clamp"] for n in after.nodes] == [(0.0, 6.0), None, (0.0, None)]
    assert_same(before, after)
    assert ops(fuse_clamp(after)) == ops(after)


def test_two_clamps_become_their_intersection() -> None:
    net = Net()
    x = net.op("clamp", net.linear(net.input(1, 4), 8), low=-0.5, high=None)
    before = net.build(net.op("clamp", x, low=-1.0, high=0.25))
    after = fuse_clamp(before)
    assert after.nodes[0].attrs["clamp"] == (-0.5, 0.25)
    assert_same(before, after)


@pytest.mark.parametrize("clamps", [((0.0, 1.0), (2.0, 3.0)), ((2.0, 3.0), (0.0, 1.0))])
def test_disjoint_clamps(clamps: tuple[tuple[float, float], tuple[float, float]]) -> None:
    net = Net()
    x = net.linear(net.input(1, 4), 8)
    for low, high in clamps:
        x = net.op("clamp", x, low=low, high=high)
    before = net.build(x)
    assert_same(before, fuse_clamp(before))


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (None, (0.0, 6.0), (0.0, 6.0)),
        ((0.0, None), (None, 6.0), (0.0, 6.0)),
        ((-1.0, 1.0), (0.0, 0.5), (0.0, 0.5)),
    ],
)
def test_intersect(first: Limits | None, second: Limits, both: Limits) -> None:
    assert intersect(first, second) == both


def test_a_result_with_another_reader_stays() -> None:
    net = Net()
    x = net.conv(net.input(1, 2, 4, 4), 2)
    before = net.build(net.op("add", net.op("clamp", x, low=0.0, high=None), x))
    assert ops(fuse_clamp(before)) == ops(before)


def test_a_returned_result_stays_visible() -> None:
    net = Net()
    x = net.conv(net.input(1, 2, 4, 4), 2, name="raw")
    before = net.build(x, net.op("clamp", x, name="y", low=0.0, high=None))
    assert_same(before, fuse_clamp(before))
    assert ops(fuse_clamp(before)) == ["conv2d", "clamp"]
