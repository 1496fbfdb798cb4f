"""Repeated measurements agree, or do not, or are too few to tell."""

from __future__ import annotations

import numpy as np

from pocketpress.measure.steady import is_steady


def rounds(*medians: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Four rounds of two runs for each median."""
    return np.repeat(np.asarray(medians), 4)[:, None] * np.ones((1, 2))


def test_by_hand() -> None:
    assert is_steady(rounds(1.0, 1.0, 1.0)) is True
    assert is_steady(rounds(1.0, 1.05, 1.09)) is True
    assert is_steady(rounds(1.0, 1.05, 1.11)) is False
    assert is_steady(rounds(1.2, 1.0, 1.0)) is False


def test_an_outlier_within_a_part_does_not_matter() -> None:
    times = rounds(1.0, 1.0, 1.0)
    times[5, 1] = 50.0
    assert is_steady(times) is True


def test_too_few_to_tell() -> None:
    assert is_steady(np.ones((5, 4))) is None
    assert is_steady(np.ones((6, 1))) is True
