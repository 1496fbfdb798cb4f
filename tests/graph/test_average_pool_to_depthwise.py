"""Average pooling as a convolution."""

from __future__ import annotations

import pytest
from tests.graph.same import assert_same, ops
from tests.reference.networks import Net

from pocketpress.graph.average_pool_to_depthwise import average_pool_to_depthwise


@pytest.mark.parametrize(
    ("kernel", "stride", "pads"),
    [((2, 2), (2, 2), (0, 0, 0, 0)), ((3, 3), (1, 1), (1, 1, 1, 1)), ((3, 2), (2, 1), (0, 0, 0, 0))],
)
def test_pooling_with_a_constant_count(
    kernel: tuple[int, int], stride: tuple[int, int], pads: tuple[int, int, int, int]
) -> None:
    net = Net()
    before = net.build(
        net.op(
            "avg_pool2d",
            net.input(1, 3, 6, 6),
            kernel=kernel,
            stride=stride,
            pads=pads,
            count_include_pad=True,
        )
    )
    after = average_pool_to_depthwise(before)
    assert ops(after) == ["conv2d"] and after.nodes[0].attrs["groups"] == 3
    assert_same(before, after)


def test_a_count_that_varies_at_the_border_stays() -> None:
    net = Net()
    before = net.build(
        net.op(
            "avg_pool2d", net.input(1, 3, 6, 6), kernel=(3, 3), stride=(1, 1), pads=(1, 1, 1, 1),
            count_include_pad=False,
        )
    )  # fmt: skip
    assert ops(average_pool_to_depthwise(before)) == ["avg_pool2d"]
