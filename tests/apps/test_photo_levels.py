"""Levels: found per channel, stretched to the whole range."""

from __future__ import annotations

import numpy as np
import pytest
from apps.photo.levels import LEAST_SPAN, NO_CHANGE, Levels


def test_levels_are_the_extremes_of_each_channel() -> None:
    thumbnail = np.array([[0.2, 0.4], [0.0, 1.0], [0.5, 0.75]], dtype=np.float32).reshape(1, 3, 1, 2)
    levels = Levels.of(thumbnail)
    np.testing.assert_allclose(levels.low, [0.2, 0.0, 0.5])
    np.testing.assert_allclose(levels.span, [0.2, 1.0, 0.25], rtol=1e-6)
    np.testing.assert_allclose(
        levels.stretch(np.array([0.3, 0.5, 0.5], dtype=np.float32)), [0.5, 0.5, 0.0], rtol=1e-6
    )


def test_an_empty_channel_is_not_blown_up() -> None:
    levels = Levels.of(np.full((1, 3, 2, 2), 0.5, dtype=np.float32))
    np.testing.assert_allclose(levels.span, LEAST_SPAN)


def test_no_change_changes_nothing() -> None:
    values = np.random.default_rng(0).random((5, 3), dtype=np.float32)
    assert np.array_equal(NO_CHANGE.stretch(values), values)


def test_a_span_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="all three must be above 0"):
        Levels(np.zeros(3, dtype=np.float32), np.zeros(3, dtype=np.float32))
