"""Operators that only move integers."""

from __future__ import annotations

import numpy as np
import pytest
from tests.reference import slow_integers as slow
from tests.verify.one_node import grid, run

Q = grid(0.1, -4)


@pytest.mark.parametrize(
    ("kernel", "stride", "pads"),
    [((2, 2), (2, 2), (0, 0, 0, 0)), ((3, 3), (2, 2), (1, 1, 1, 1)), ((3, 2), (1, 2), (1, 0, 0, 1))],
)
def test_max_pool_equals_the_loops(
    kernel: tuple[int, int], stride: tuple[int, int], pads: tuple[int, int, int, int]
) -> None:
    x = np.random.default_rng(0).integers(-128, -100, (1, 2, 6, 7)).astype(np.int8)
    wanted = slow.max_pool2d(x, kernel=kernel, stride=stride, pads=pads)
    attrs = {"kernel": kernel, "stride": stride, "pads": pads, "dilation": (1, 1)}
    np.testing.assert_array_equal(run("max_pool2d", [(x, Q)], wanted.shape, Q, **attrs), wanted)


def test_pad_writes_the_integer_of_the_real_value() -> None:
    x = np.asarray([[[[7]]]], np.int8)
    attrs = {"before": (0, 0, 1, 0), "after": (0, 0, 0, 1)}
    assert run("pad", [(x, Q)], (1, 1, 2, 2), Q, value=0.0, **attrs).tolist() == [[[[-4, -4], [7, -4]]]]
    assert run("pad", [(x, Q)], (1, 1, 2, 2), Q, value=0.5, **attrs).tolist() == [[[[1, 1], [7, 1]]]]


def test_slice_with_steps() -> None:
    x = np.arange(20, dtype=np.int8).reshape(1, 4, 5)
    out = run("slice", [(x, Q)], (1, 2, 2), Q, starts=(0, 1, 0), sizes=(1, 2, 2), steps=(1, 2, 3))
    assert out.tolist() == [[[5, 8], [15, 18]]]


def test_resize_nearest_takes_the_floor() -> None:
    x = np.asarray([[[[1, 2, 3]]]], np.int8)
    assert run("resize_nearest", [(x, Q)], (1, 1, 2, 5), Q, size=(2, 5)).tolist() == [
        [[[1, 1, 2, 2, 3], [1, 1, 2, 2, 3]]]
    ]


def test_permute_reshape_and_concat() -> None:
    x = np.arange(6, dtype=np.int8).reshape(1, 2, 3)
    assert run("permute", [(x, Q)], (1, 3, 2), Q, axes=(0, 2, 1)).tolist() == [[[0, 3], [1, 4], [2, 5]]]
    assert run("reshape", [(x, Q)], (3, 2), Q, shape=(3, 2)).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert run("concat", [(x, Q), (x, Q)], (1, 4, 3), Q, axis=1)[0, 2].tolist() == [0, 1, 2]
