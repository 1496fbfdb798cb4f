"""Grey-world and auto-contrast do what they are said to do."""

from __future__ import annotations

import numpy as np
from apps.photo.baseline import auto_contrast, grey_world, grey_world_auto_contrast
from apps.photo.degrade import PhotoError, degrade, srgb_to_linear


def test_grey_world_makes_the_linear_means_equal() -> None:
    photo = np.random.default_rng(0).integers(20, 120, (30, 30, 3), dtype=np.uint8)
    photo[..., 2] //= 2
    means = srgb_to_linear(grey_world(photo)).reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(means, means[0], rtol=1e-4)


def test_auto_contrast_reaches_both_ends() -> None:
    stretched = auto_contrast(np.array([0.25, 0.5, 0.75], dtype=np.float32), 0)
    np.testing.assert_allclose(stretched, [0, 0.5, 1])


def test_a_grey_photo_with_a_colour_cast_is_restored() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    cast = degrade(ramp, PhotoError(exposure_stops=-1.5, temperature_stops=0.5))
    restored = grey_world_auto_contrast(cast)
    # Not exact: stretching encoded values is a gain in linear light only up to sRGB's offset of 0.055.
    assert np.abs(restored.astype(int) - ramp).max() <= 8
    assert np.abs(cast.astype(int) - ramp).max() > 100
