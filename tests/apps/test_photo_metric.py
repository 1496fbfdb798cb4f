"""PSNR by hand, and the metric of blend weights agrees with enhancing whole photos."""

from __future__ import annotations

import numpy as np
import pytest
from apps.photo.dataset import SHIPPED_PHOTOS, build, list_photos, read_photo
from apps.photo.degrade import STANDARD_ERRORS, degrade
from apps.photo.enhance import enhance, load_tables
from apps.photo.metric import psnr, psnr_of_photos


def test_psnr_by_hand() -> None:
    one = np.zeros((2, 2, 3), dtype=np.uint8)
    assert psnr_of_photos(one, one + 255) == 0
    assert psnr_of_photos(one, one + 5) == pytest.approx(20 * np.log10(51))
    assert psnr_of_photos(one, one) == pytest.approx(10 * np.log10(255**2 * 12))


def test_metric_of_samples_is_close_to_that_of_whole_photos() -> None:
    paths = list_photos(SHIPPED_PHOTOS)
    samples = build(paths, 4, seed=3)
    rng = np.random.default_rng(5)
    weights = rng.standard_normal((4, len(load_tables()) - 1)).astype(np.float32) / 4
    found = psnr(weights, samples.y)
    assert found.shape == (4,)
    rng = np.random.default_rng(3)
    for index, path in enumerate(paths):
        clean = read_photo(path)
        degraded = degrade(clean, STANDARD_ERRORS.draw(rng))
        rng.integers(clean.shape[0] * clean.shape[1], size=samples.y.shape[2])
        assert found[index] == pytest.approx(
            psnr_of_photos(enhance(degraded, weights[index]), clean), abs=0.25
        )


def test_targets_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"wanted \(2, 2, pixels, 3\); write them with"):
        psnr(np.zeros((2, 20)), np.zeros((3, 2, 10, 3)))
