"""Zero padding moves into the convolution."""

from __future__ import annotations

import pytest
from tests.graph.same import assert_same, ops
from tests.reference.networks import Net

from pocketpress.graph.fuse_padding import fuse_padding


def padded(net: Net, value: float = 0.0, before: tuple[int, ...] = (0, 0, 1, 2)) -> str:
    return net.op("pad", net.input(1, 2, 4, 4), before=before, after=(0, 0, 3, 0), value=value)


def test_asymmetric_padding_adds_to_the_convolution() -> None:
    net = Net()
    before = net.build(net.conv(padded(net), 3, pad=1))
    after = fuse_padding(before)
    assert ops(after) == ["conv2d"] and after.nodes[0].attrs["pads"] == (2, 3, 4, 1)
    assert_same(before, after)


def test_two_readers_each_take_it() -> None:
    net = Net()
    x = padded(net)
    before = net.build(net.conv(x, 3), net.conv(x, 2, 1))
    assert ops(fuse_padding(before)) == ["conv2d", "conv2d"]
    assert_same(before, fuse_padding(before))


@pytest.mark.parametrize(("value", "before"), [(1.0, (0, 0, 1, 1)), (0.0, (0, 1, 1, 1))])
def test_other_values_and_other_axes_stay(value: float, before: tuple[int, ...]) -> None:
    net = Net()
    program = net.build(net.conv(padded(net, value, before), 3))
    assert ops(fuse_padding(program)) == ["pad", "conv2d"]


def pooled(net: Net, x: str, value: float, edge: int = 1) -> str:
    x = net.op("pad", x, before=(0, 0, edge, edge), after=(0, 0, 0, edge), value=value)
    return net.op("max_pool2d", x, kernel=(3, 3), stride=(2, 2), pads=(0, 0, 0, 0), dilation=(1, 1))


@pytest.mark.parametrize("value", [float("-inf"), 0.0, -3.0])
def test_padding_that_is_never_the_maximum_is_the_pooling_s_own(value: float) -> None:
    net = Net()
    before = net.build(pooled(net, net.op("clamp", net.input(1, 2, 5, 5), low=0.0, high=None), value))
    after = fuse_padding(before)
    assert ops(after) == ["clamp", "max_pool2d"] and after.nodes[1].attrs["pads"] == (1, 1, 0, 1)
    assert_same(before, after)


def test_padding_that_may_be_the_maximum_stays() -> None:
    net = Net()
    x = net.input(1, 2, 5, 5)
    program = net.build(
        pooled(net, x, 0.0),
        pooled(net, net.op("clamp", x, low=-1.0, high=6.0), 0.0),
        pooled(net, net.op("clamp", x, low=0.0, high=None), 0.0, edge=3),
    )
    assert ops(fuse_padding(program)).count("pad") == 3
