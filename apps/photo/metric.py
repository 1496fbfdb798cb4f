"""PSNR of the enhanced photo as a metric of the blend weights: `--metric apps.photo.metric:psnr`."""

from __future__ import annotations

from typing import Any

import numpy as np
from apps.photo import lut
from apps.photo.enhance import load_tables
from numpy.typing import NDArray

LEAST_ERROR = 1 / 12
"""Squared error in byte steps below which photos count as equal, that of rounding: at most 58.9 dB."""


def psnr_of_photos(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio in dB of two arrays of byte values of the same shape."""
    error = np.mean(np.square(one.astype(np.float64) - other.astype(np.float64)))
    return float(10 * np.log10(255**2 / max(float(error), LEAST_ERROR)))


def psnr(outputs: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.float64]:
    """PSNR of each enhanced photo against its undamaged original; higher is better.

    Args:
        outputs: Blend weights, shape (N, K).
        targets: Pixels with stretched levels and the same ones undamaged, in [0, 1], shape (N, 2, P, 3), as
            `apps.photo.dataset` writes them.

    Returns:
        Shape (N,), dB.

    Raises:
        ValueError: The shapes do not fit.
    """
    if targets.ndim != 4 or targets.shape[1] != 2 or targets.shape[3] != 3 or len(targets) != len(outputs):
        raise ValueError(
            f"targets: got shape {targets.shape} for outputs of shape {outputs.shape}, wanted "
            f"({len(outputs)}, 2, pixels, 3); write them with python -m apps.photo.dataset"
        )
    tables = load_tables()
    values = []
    for weights, (stretched, clean) in zip(np.asarray(outputs), targets.astype(np.float32), strict=True):
        enhanced = lut.look_up(lut.blend(tables, weights), stretched)
        values.append(psnr_of_photos(lut.to_bytes(enhanced), clean * 255))
    return np.asarray(values, dtype=np.float64)
