"""Permutes of many axes move the same elements with few."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.graph.same import assert_same, ops
from tests.reference.networks import Net

from pocketpress.graph.lower_rank import joined, lower_rank
from pocketpress.graph.remove_noops import remove_noops


@pytest.mark.parametrize(
    ("shape", "axes", "wanted"),
    [
        ((1, 2, 4, 2, 4, 3), (0, 1, 3, 2, 4, 5), ((2, 4, 2, 12), (0, 2, 1, 3))),
        ((1, 3, 2, 2, 4, 5), (0, 1, 4, 2, 5, 3), ((3, 2, 2, 4, 5), (0, 3, 1, 4, 2))),
        ((1, 1, 1, 1, 1, 1), (5, 4, 3, 2, 1, 0), ((1,), (0,))),
        ((2, 3, 2, 3, 2, 3), (0, 1, 2, 3, 4, 5), ((216,), (0,))),
    ],
)
def test_axes_that_stay_together_are_one(
    shape: tuple[int, ...], axes: tuple[int, ...], wanted: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    assert joined(shape, axes) == wanted


def test_every_order_moves_the_same_elements() -> None:
    shape = (2, 1, 3, 2, 1)
    x = np.arange(12).reshape(shape)
    for axes in itertools.permutations(range(5)):
        sizes, order = joined(shape, axes)
        np.testing.assert_array_equal(
            x.reshape(sizes).transpose(order).reshape(-1), x.transpose(axes).reshape(-1)
        )


def test_windows_of_an_image_have_five_axes_at_most() -> None:
    net = Net()
    x = net.op("reshape", net.input(1, 4, 6, 3), shape=(1, 2, 2, 3, 2, 3))
    x = net.op("permute", x, axes=(0, 1, 3, 2, 4, 5))
    before = net.build(net.op("reshape", x, shape=(6, 4, 3)))
    after = remove_noops(lower_rank(before))
    assert_same(before, after)
    assert ops(after) == ["reshape", "permute", "reshape"]
    assert max(len(t.shape) for t in after.types.values()) == 4


def test_few_axes_stay_as_they_are() -> None:
    net = Net()
    program = net.build(net.op("permute", net.input(1, 4, 6, 3, 2), axes=(0, 4, 1, 2, 3)))
    assert lower_rank(program) is program
