"""The flattening of a channels-last image needs no permute."""

from __future__ import annotations

import numpy as np
import pytest
from tests.graph.same import assert_same, ops
from tests.reference.networks import Net

from pocketpress.graph.permute_into_linear import permute_into_linear


def linear(net: Net, x: str, out: int, inner: int) -> str:
    return net.op("linear", x, net.constant(np.arange(float(out * inner)).reshape(out, inner)))


def test_the_columns_of_the_weight_are_put_in_order() -> None:
    """Two channels of one row of two pixels: (c0p0, c0p1, c1p0, c1p1) was (c0p0, c1p0, c0p1, c1p1)."""
    net = Net()
    x = net.op("permute", net.input(1, 2, 1, 2), axes=(0, 2, 3, 1))
    before = net.build(linear(net, net.op("reshape", x, shape=(1, 4)), 1, 4))
    after = permute_into_linear(before)
    assert ops(after) == ["reshape", "linear"]
    np.testing.assert_array_equal(after.constants[after.nodes[1].inputs[1]], [[0, 2, 1, 3]])
    assert_same(before, after)


def test_every_reader_is_a_layer_or_nothing_changes() -> None:
    for also in (False, True):
        net = Net()
        x = net.op("permute", net.input(2, 3, 4, 5), axes=(0, 2, 3, 1))
        flat = net.op("reshape", x, shape=(2, 60))
        outputs = [linear(net, flat, 2, 60), linear(net, flat, 3, 60)]
        before = net.build(*outputs, *([net.op("tanh", flat)] if also else []))
        after = permute_into_linear(before)
        assert ops(after).count("permute") == also
        assert_same(before, after, tolerance=1e-4)


@pytest.mark.parametrize(("axes", "shape"), [((1, 0, 2, 3), (2, 12)), ((0, 2, 3, 1), (4, 6))])
def test_a_permute_of_the_batch_or_another_reshape_stays(
    axes: tuple[int, ...], shape: tuple[int, int]
) -> None:
    net = Net()
    x = net.op("permute", net.input(2, 2, 2, 3), axes=axes)
    program = net.build(linear(net, net.op("reshape", x, shape=shape), 2, shape[1]))
    assert ops(permute_into_linear(program)) == ["permute", "reshape", "linear"]
