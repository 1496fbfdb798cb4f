"""Weights and biases as integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pocketpress.compress.quantize.weights import channel_scales, quantize_bias, quantize_weight

weights = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
    elements=st.floats(-100, 100, width=32),
)


@settings(max_examples=100, deadline=None)
@given(weights)
def test_round_trip_is_within_half_a_step(weight: np.ndarray) -> None:
    scales = channel_scales(weight, 0, search=False).astype(np.float32)
    grid = quantize_weight(weight, scales, 0)
    shape = (-1, *([1] * (weight.ndim - 1)))
    steps = scales.astype(np.float64).reshape(shape)
    error = np.abs(grid * steps - weight)
    assert np.all(error <= steps * (0.5 + 1e-4))
    assert grid.dtype == np.int8 and grid.min() >= -127 and grid.max() <= 127


@settings(max_examples=60, deadline=None)
@given(weights)
def test_quantising_twice_changes_nothing(weight: np.ndarray) -> None:
    scales = channel_scales(weight, 0, search=False).astype(np.float32)
    grid = quantize_weight(weight, scales, 0)
    shape = (-1, *([1] * (weight.ndim - 1)))
    again = quantize_weight((grid * scales.reshape(shape)).astype(np.float32), scales, 0)
    np.testing.assert_array_equal(again, grid)


@pytest.mark.parametrize("search", [False, True])
@pytest.mark.parametrize("size", [1e-45, 1e-40, 1e-37])
def test_subnormal_channels_have_a_normal_scale(size: float, search: bool) -> None:
    for weight in ([[size]], [[size], [1.0]]):
        values = np.asarray(weight, np.float32)
        scales = channel_scales(values, 0, search=search).astype(np.float32)
        assert np.all(scales >= np.finfo(np.float32).tiny)
        assert abs(quantize_weight(values, scales, 0)[0, 0]) <= 127


@settings(max_examples=60, deadline=None)
@given(weights)
def test_the_search_never_adds_error(weight: np.ndarray) -> None:
    def error(search: bool) -> np.ndarray:
        scales = channel_scales(weight, 0, search=search)
        rows = weight.reshape(len(weight), -1).astype(np.float64)
        grid = np.clip(np.rint(rows / scales[:, None]), -127, 127)
        return np.asarray(((grid * scales[:, None] - rows) ** 2).sum(axis=1))

    assert np.all(error(True) <= error(False) + 1e-12)


def test_scales_by_hand() -> None:
    weight = np.asarray([[1.27, -0.5], [0.0, 0.0], [-2.54, 1.0]], np.float32)
    scales = channel_scales(weight, 0, search=False)
    np.testing.assert_allclose(scales, [0.01, 0.02, 0.02], rtol=1e-6)  # zeros get the largest
    assert quantize_weight(weight, scales.astype(np.float32), 0).tolist() == [[127, -50], [0, 0], [-127, 50]]


def test_an_all_zero_weight_has_a_usable_scale() -> None:
    assert np.all(channel_scales(np.zeros((2, 3), np.float32), 0, search=True) > 0)


def test_axis_one_for_transposed_convolutions() -> None:
    weight = np.zeros((2, 3, 1, 1), np.float32)
    weight[0, :, 0, 0] = [1.27, 2.54, 12.7]
    scales = channel_scales(weight, 1, search=False)
    np.testing.assert_allclose(scales, [0.01, 0.02, 0.1], rtol=1e-6)
    assert quantize_weight(weight, scales.astype(np.float32), 1)[0, :, 0, 0].tolist() == [127, 127, 127]


@pytest.mark.parametrize(("bias", "wanted"), [(0.0126, 6), (-0.01, -5), (1e9, 2**30), (-1e9, -(2**30))])
def test_bias_has_the_scale_of_the_accumulator(bias: float, wanted: int) -> None:
    got = quantize_bias(np.asarray([bias], np.float32), np.float32(0.02), np.asarray([0.1], np.float32))
    assert got.dtype == np.int32 and got.tolist() == [wanted]
