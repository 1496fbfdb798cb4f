"""Thumbnails are exact area averages, whatever the photo's size."""

from __future__ import annotations

import numpy as np
import pytest
from apps.photo.thumbnail import average_along, thumbnail


def test_averages_by_hand() -> None:
    # Three samples to two: each covers one and a half.
    found = average_along(np.array([0.0, 3.0, 6.0]), 0, 2)
    np.testing.assert_allclose(found, [(0 + 1.5) / 1.5, (1.5 + 6) / 1.5])


def test_enlarging_repeats() -> None:
    np.testing.assert_allclose(average_along(np.array([1.0, 5.0]), 0, 4), [1, 1, 5, 5])


def test_layout_range_and_mean() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (321, 481, 3), dtype=np.uint8)
    small = thumbnail(photo)
    assert small.shape == (1, 3, 256, 256)
    assert small.dtype == np.float32
    np.testing.assert_allclose(small[0].mean(axis=(1, 2)), photo.mean(axis=(0, 1)) / 255, rtol=1e-5)


def test_a_photo_of_the_same_size_is_kept() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    np.testing.assert_allclose(thumbnail(photo)[0].transpose(1, 2, 0) * 255, photo, atol=1e-4)


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))]
)
def test_anything_but_a_colour_photo_of_bytes_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"wanted \(height, width, 3\) of uint8"):
        thumbnail(bad)
