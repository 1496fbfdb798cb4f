"""Orders of axes, by hand."""

from __future__ import annotations

import pytest
from tests.graph.same import ops
from tests.reference.networks import Net

from pocketpress.graph.axis_order import Axes, compose, inverse, moves_nothing, reordered, result_order

NCHW, NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def test_inverse_pairs_compose_to_nothing() -> None:
    assert inverse(NCHW) == NHWC and compose(NCHW, NHWC) == compose(NHWC, NCHW) == (0, 1, 2, 3)
    assert compose((1, 2, 0), (1, 2, 0)) == (2, 0, 1) == inverse((1, 2, 0))


@pytest.mark.parametrize(
    ("shape", "axes", "nothing"),
    [
        ((1, 1, 1, 5), NCHW, True),
        ((1, 4, 1, 1), NHWC, True),
        ((1, 4, 4, 1), NCHW, True),
        ((1, 4, 4, 2), NCHW, False),
        ((2, 3), (1, 0), False),
    ],
)
def test_axes_of_one_may_go_anywhere(shape: tuple[int, ...], axes: Axes, nothing: bool) -> None:
    assert moves_nothing(shape, axes) is nothing


def test_attributes_follow_their_axes() -> None:
    net = Net()
    x = net.input(1, 5, 6, 2)
    pad = net.op("pad", x, before=(0, 1, 2, 0), after=(0, 3, 4, 0), value=0.0)
    program = net.build(net.op("concat", pad, pad, axis=3), net.op("mean", pad, axes=(1, 2), keepdims=False))
    assert ops(program) == ["pad", "concat", "mean"]
    padding, joined, mean = program.nodes
    assert reordered(padding, NCHW)["before"] == (0, 0, 1, 2)
    assert reordered(padding, NCHW)["after"] == (0, 0, 3, 4)
    assert reordered(joined, NCHW)["axis"] == 1
    assert reordered(mean, NCHW)["axes"] == (2, 3)


def test_a_mean_that_drops_axes_leaves_the_others_in_sequence() -> None:
    net = Net()
    x = net.input(1, 5, 6, 2)
    program = net.build(
        net.op("mean", x, axes=(1, 2), keepdims=False),
        net.op("mean", x, axes=(2,), keepdims=False),
        net.op("mean", x, axes=(2,), keepdims=True),
    )
    assert [result_order(node, NCHW) for node in program.nodes] == [(0, 1), (0, 2, 1), NCHW]
