"""Synthetic errors: hand-computed values, reproducible draws, and the inverse used for the start tables."""

from __future__ import annotations

import numpy as np
import pytest
from apps.photo.degrade import (
    SHOULDER,
    STANDARD_ERRORS,
    ErrorDistribution,
    PhotoError,
    degrade,
    degrade_values,
    linear_to_srgb,
    roll_off,
    srgb_to_linear,
)
from apps.photo.tables import undo_values
from hypothesis import given
from hypothesis import strategies as st


def test_no_error_keeps_the_photo() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert np.array_equal(degrade(photo, PhotoError()), photo)


def test_one_stop_less_halves_linear_light() -> None:
    values = np.array([[0.8, 0.5, 0.2]], dtype=np.float32)
    darker = degrade_values(values, PhotoError(exposure_stops=-1))
    np.testing.assert_allclose(srgb_to_linear(darker), srgb_to_linear(values) / 2, rtol=1e-4)


def test_contrast_and_saturation_by_hand() -> None:
    values = np.array([[0.7, 0.5, 0.5]], dtype=np.float32)
    np.testing.assert_allclose(degrade_values(values, PhotoError(contrast=0.5)), [[0.6, 0.5, 0.5]], atol=1e-6)
    # Luma of (0.7, 0.5, 0.5) is 0.5 + 0.2 * 0.299 = 0.5598; half-way to it from each channel.
    flat = degrade_values(values, PhotoError(saturation=0.5))
    np.testing.assert_allclose(flat, [[0.6299, 0.5299, 0.5299]], atol=1e-6)


def test_gains_of_temperature_and_tint() -> None:
    gains = PhotoError(exposure_stops=1, temperature_stops=1, tint_stops=-1).gains
    np.testing.assert_allclose(gains, [4, 1, 1])


@given(st.floats(1.01, 8), st.floats(0, 1), st.floats(0, 1))
def test_roll_off_never_cuts_and_keeps_order(gain: float, one: float, other: float) -> None:
    gains = np.full(3, gain, dtype=np.float32)
    low, high = sorted((one, other))
    values = roll_off(np.array([[low] * 3, [high] * 3, [1.0] * 3], dtype=np.float32), gains)[:, 0]
    assert values[0] <= values[1] + 1e-6
    assert values[2] == pytest.approx(1, abs=1e-5)
    if low * gain <= SHOULDER:
        assert values[0] == pytest.approx(low * gain, rel=1e-5, abs=1e-6)


def test_draws_are_reproducible_and_inside_the_distribution() -> None:
    draws = [STANDARD_ERRORS.draw(np.random.default_rng(7)) for _ in range(2)]
    assert draws[0] == draws[1]
    rng = np.random.default_rng(8)
    for error in (STANDARD_ERRORS.draw(rng) for _ in range(100)):
        for name, (low, high) in vars(STANDARD_ERRORS).items():
            assert low <= getattr(error, name) <= high
    assert STANDARD_ERRORS.draw(rng) != draws[0]


def test_an_impossible_distribution_is_refused() -> None:
    with pytest.raises(ValueError, match=r"contrast: .* must be above 0"):
        ErrorDistribution(contrast=(0.0, 1.0))
    with pytest.raises(ValueError, match=r"tint_stops: .* must be the smaller"):
        ErrorDistribution(tint_stops=(1.0, 0.0))


@given(st.integers(0, 2**32 - 1))
def test_srgb_round_trip(seed: int) -> None:
    values = np.random.default_rng(seed).random(64, dtype=np.float32)
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(values)), values, atol=2e-6)


@given(st.integers(0, 2**32 - 1))
def test_errors_can_be_undone_where_nothing_was_cut(seed: int) -> None:
    rng = np.random.default_rng(seed)
    error = STANDARD_ERRORS.draw(rng)
    values = rng.random((200, 3), dtype=np.float32)
    degraded = degrade_values(values, error)
    whole = ((degraded > 0.004) & (degraded < 0.996)).all(axis=1)
    np.testing.assert_allclose(undo_values(degraded, error)[whole], values[whole], atol=2e-3)
