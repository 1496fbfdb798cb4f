"""Start tables: the principal components of the tables that undo random errors exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from apps.photo.degrade import (
    LUMA,
    SHOULDER,
    ErrorDistribution,
    PhotoError,
    degrade_values,
    linear_to_srgb,
    srgb_to_linear,
)
from apps.photo.levels import Levels
from apps.photo.lut import identity_table
from numpy.typing import NDArray

_SPARSE = 8
"""Every how many-th row and column is looked at for a photo's levels."""


def undo_values(degraded: NDArray[np.float32], error: PhotoError) -> NDArray[np.float32]:
    """The inverse of `degrade_values` for colours that were not cut: shape (..., 3), result in [0, 1]."""
    luma = (degraded @ LUMA)[..., None]
    out = luma + (degraded - luma) / np.float32(error.saturation)
    out = np.clip((out - np.float32(0.5)) / np.float32(error.contrast) + np.float32(0.5), 0, 1)
    linear = srgb_to_linear(out.astype(np.float32))
    span = np.maximum(error.gains - np.float32(SHOULDER), np.float32(1 - SHOULDER))
    ratio = span / np.float32(1 - SHOULDER)
    share = np.maximum(linear - np.float32(SHOULDER), 0) / np.float32(1 - SHOULDER)
    exposed = SHOULDER + span * share / (ratio - share * (ratio - 1))
    undone = np.clip(np.where(linear > SHOULDER, exposed, linear) / error.gains, 0, 1)
    return linear_to_srgb(undone.astype(np.float32))


def principal_tables(
    photos: Sequence[NDArray[np.uint8]],
    distribution: ErrorDistribution,
    count: int,
    size: int,
    draws: int,
    seed: int,
) -> NDArray[np.float32]:
    """The mean table that undoes random errors after the levels are stretched, and the principal offsets.

    Args:
        photos: Undamaged photos, each of shape (height, width, 3); with an error they decide the levels.
        distribution: What the errors are drawn from.
        count: K, components to keep.
        size: Grid points per axis.
        draws: Errors to draw, at least `count`.
        seed: Of the draws.

    Returns:
        Shape (K + 1, size, size, size, 3), as `lut.blend` wants it: the mean, then the components, scaled
        so that their coefficients have variance 1 over the draws.
    """
    rng = np.random.default_rng(seed)
    grid = identity_table(size)
    exact = np.empty((draws, grid.size), dtype=np.float32)
    for draw in range(draws):
        error = distribution.draw(rng)
        sparse = photos[draw % len(photos)][::_SPARSE, ::_SPARSE].astype(np.float32) / np.float32(255)
        levels = Levels.of(degrade_values(sparse, error).transpose(2, 0, 1)[None])
        exact[draw] = undo_values(levels.low + grid * levels.span, error).ravel()
    mean = exact.mean(axis=0)
    _, vectors = np.linalg.eigh((exact - mean) @ (exact - mean).T)
    components = vectors[:, -1 : -count - 1 : -1].T @ (exact - mean) / np.sqrt(draws)
    return np.concatenate([mean[None], components]).reshape(-1, size, size, size, 3).astype(np.float32)
