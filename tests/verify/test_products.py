"""Integer convolutions and matrix products: by hand, and against loops over single elements."""

from __future__ import annotations

import numpy as np
import pytest
from tests.reference import slow_integers as slow
from tests.verify.one_node import grid, run

from pocketpress.core.program import Quantization

PLAIN = {"stride": (1, 1), "pads": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1, "clamp": None}


def test_convolution_by_hand() -> None:
    x = np.asarray([[[[1, 2], [3, 4]]]], np.int8)
    weight = np.asarray([[[[1, -1], [2, 0]]], [[[10, 10], [10, 10]]]], np.int8)
    bias = np.asarray([5, -8], np.int32)
    out = run(
        "conv2d", [(x, grid(0.5, 1))], (1, 2, 1, 1), grid(0.1, -7),
        [(weight, Quantization.per_channel([0.1, 0.05], 0)),
         (bias, Quantization.per_channel([0.05, 0.025], 0))],
        **PLAIN,
    )  # fmt: skip
    # centred x = 0 1 2 3: channel 0: 0 - 1 + 4 + 0 + 5 = 8, * 0.5*0.1/0.1 = 4, - 7 = -3
    # channel 1: 60 - 8 = 52, * 0.25 = 13, - 7 = 6
    assert out.reshape(-1).tolist() == [-3, 6]


def test_padding_is_real_zero_not_integer_zero() -> None:
    x = np.full((1, 1, 1, 1), 10, np.int8)
    weight = np.ones((1, 1, 3, 3), np.int8)
    out = run(
        "conv2d", [(x, grid(1.0, 10))], (1, 1, 1, 1), grid(1.0, 0),
        [(weight, Quantization.per_channel([1.0], 0))], **{**PLAIN, "pads": (1, 1, 1, 1)},
    )  # fmt: skip
    assert out.reshape(-1).tolist() == [0]


def test_linear_by_hand_with_half_to_even() -> None:
    x = np.asarray([[3, -1]], np.int8)
    weight = np.asarray([[1, 0], [1, -2], [0, 127]], np.int8)
    out = run(
        "linear", [(x, grid(1.0))], (1, 3), grid(1.0, 0),
        [(weight, Quantization.per_channel([0.5, 0.5, 2.0], 0))], clamp=None,
    )  # fmt: skip
    # 3 * 0.5 = 1.5 -> 2; 5 * 0.5 = 2.5 -> 2; -127 * 2 saturates
    assert out.tolist() == [[2, 2, -128]]


def test_accumulator_beyond_float32_stays_exact() -> None:
    """The sum is just below 2**31, where float32 steps by 128; one unit more or less must be seen."""
    count = 66_000
    x = np.full((1, count), 127, np.int8)
    weight = np.full((1, count), 127, np.int8)
    exact = 255 * 127 * count
    bias = np.asarray([-exact + 3], np.int32)
    out = run(
        "linear", [(x, grid(1.0, -128))], (1, 1), grid(1.0, 0),
        [(weight, Quantization.per_channel([1.0], 0)), (bias, Quantization.per_channel([1.0], 0))],
        clamp=None,
    )  # fmt: skip
    assert out.tolist() == [[3]]


def test_clamp_inside_a_convolution() -> None:
    x = np.asarray([[[[-100, 0, 100]]]], np.int8)
    weight = np.ones((1, 1, 1, 1), np.int8)
    out = run(
        "conv2d", [(x, grid(0.1))], (1, 1, 1, 3), grid(0.1, -128),
        [(weight, Quantization.per_channel([1.0], 0))], **{**PLAIN, "clamp": (0.0, 6.0)},
    )  # fmt: skip
    assert out.reshape(-1).tolist() == [-128, -128, -68]


CONVOLUTIONS = [
    ((1, 3, 6, 5), (4, 3, 3, 3), {"pads": (1, 1, 1, 1)}),
    ((1, 4, 7, 7), (4, 1, 3, 3), {"groups": 4, "stride": (2, 2), "pads": (0, 1, 1, 0)}),
    ((2, 4, 5, 6), (6, 2, 2, 3), {"groups": 2, "dilation": (2, 1), "pads": (1, 0, 2, 1)}),
    ((1, 8, 3, 3), (5, 8, 1, 1), {}),
]


@pytest.mark.parametrize(("x_shape", "w_shape", "changes"), CONVOLUTIONS)
@pytest.mark.parametrize("with_bias", [True, False])
def test_convolution_equals_the_loops(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], changes: dict[str, object], with_bias: bool
) -> None:
    rng = np.random.default_rng(sum(x_shape) + sum(w_shape))
    x = rng.integers(-128, 128, x_shape).astype(np.int8)
    weight = rng.integers(-127, 128, w_shape).astype(np.int8)
    bias = rng.integers(-3000, 3000, w_shape[0]).astype(np.int32) if with_bias else None
    scales = rng.uniform(0.001, 0.01, w_shape[0]).astype(np.float32).tolist()
    attrs = {**PLAIN, **changes}
    loops = {k: v for k, v in attrs.items() if k != "clamp"}
    wanted = slow.conv2d(x, -9, weight, bias, 0.02, scales, 0.07, 4, **loops)
    constants = [(weight, Quantization.per_channel(scales, 0))]
    if bias is not None:
        constants.append((bias, Quantization.per_channel([0.02 * s for s in scales], 0)))
    got = run("conv2d", [(x, grid(0.02, -9))], wanted.shape, grid(0.07, 4), constants, **attrs)
    assert len(set(wanted.reshape(-1).tolist())) > 20
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    ("stride", "pads", "grow"), [((2, 2), (0, 0, 0, 0), (0, 0)), ((2, 1), (1, 0, 1, 1), (1, 0))]
)
def test_transposed_convolution_equals_the_loops(
    stride: tuple[int, int], pads: tuple[int, int, int, int], grow: tuple[int, int]
) -> None:
    rng = np.random.default_rng(7)
    x = rng.integers(-128, 128, (1, 3, 4, 5)).astype(np.int8)
    weight = rng.integers(-127, 128, (3, 2, 3, 2)).astype(np.int8)
    bias = rng.integers(-500, 500, 2).astype(np.int32)
    scales = [0.004, 0.009]
    wanted = slow.conv_transpose2d(
        x, 5, weight, bias, 0.03, scales, 0.05, -2, stride=stride, pads=pads, output_padding=grow
    )
    got = run(
        "conv_transpose2d", [(x, grid(0.03, 5))], wanted.shape, grid(0.05, -2),
        [(weight, Quantization.per_channel(scales, 1)),
         (bias, Quantization.per_channel([0.03 * s for s in scales], 0))],
        stride=stride, pads=pads, output_padding=grow, groups=1, clamp=None,
    )  # fmt: skip
    np.testing.assert_array_equal(got, wanted)


def test_linear_equals_the_loops() -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(-128, 128, (2, 3, 9)).astype(np.int8)
    weight = rng.integers(-127, 128, (5, 9)).astype(np.int8)
    scales = rng.uniform(0.001, 0.02, 5).astype(np.float32).tolist()
    wanted = slow.linear(x, 11, weight, None, 0.03, scales, 0.09, -20)
    got = run(
        "linear", [(x, grid(0.03, 11))], wanted.shape, grid(0.09, -20),
        [(weight, Quantization.per_channel(scales, 0))], clamp=None,
    )  # fmt: skip
    np.testing.assert_array_equal(got, wanted)


def test_matmul_of_two_activations() -> None:
    a = np.asarray([[1, 2], [3, 4]], np.int8)
    b = np.asarray([[1, 0], [0, 1]], np.int8)
    out = run("matmul", [(a, grid(0.5, 1)), (b, grid(0.5, 0))], (2, 2), grid(0.25, 0))
    assert out.tolist() == [[0, 1], [2, 3]]
