"""Weights: symmetric, one scale per output channel, in [-127, 127] or [-7, 7] (LiteRT 8-bit specification).

The textbook form is uniform quantisation ``y = round(x / q)``: here ``x`` is the weight, ``q`` the scale.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LIMIT = 127
LIMITS = {8: 127, 4: 7}
"""Largest integer by bits."""
_TINY = 1e-12
Real = npt.NDArray[np.float64]


def channel_scales(weight: npt.NDArray[np.float32], axis: int, *, search: bool, limit: int = LIMIT) -> Real:
    """One scale per index of ``axis``.

    Args:
        weight: float weights.
        axis: output-channel axis.
        search: minimise the squared rounding error over shrunken ranges instead of covering the extremes.
        limit: the largest integer.

    Returns:
        Shape (channels,), positive; a channel of zeros gets the largest scale of the others.
    """
    rows = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1).astype(np.float64)
    peak = np.abs(rows).max(axis=1)
    least = float(np.finfo(np.float32).tiny) * 2 * limit  # or scales are subnormal, even 0, as float32
    largest = peak.max(initial=0.0)
    fallback = largest if largest > least else 1.0
    scales = np.where(peak > max(_TINY * fallback, least), peak, fallback) / limit
    return _search(rows, scales, limit) if search else scales


def _search(rows: Real, full: Real, limit: int) -> Real:
    best, best_error = full.copy(), np.full(full.shape, np.inf)
    for factor in np.linspace(1.0, 0.7 if limit > 7 else 0.4, 31 if limit > 7 else 61):
        scales = full * factor
        grid = np.clip(np.rint(rows / scales[:, None]), -limit, limit)
        error = ((grid * scales[:, None] - rows) ** 2).sum(axis=1)
        better = error < best_error
        best[better], best_error[better] = scales[better], error[better]
    return best


def quantize_weight(
    weight: npt.NDArray[np.float32], scales: npt.NDArray[np.float32], axis: int, limit: int = LIMIT
) -> npt.NDArray[np.int8]:
    """Round to nearest, half to even, and saturate at +-limit."""
    shape = [1] * weight.ndim
    shape[axis] = -1
    grid = np.rint(weight.astype(np.float64) / scales.astype(np.float64).reshape(shape))
    return np.clip(grid, -limit, limit).astype(np.int8)


def quantize_bias(
    bias: npt.NDArray[np.float32], input_scale: np.float32, scales: npt.NDArray[np.float32]
) -> npt.NDArray[np.int32]:
    """int32 with scale ``input_scale * scales[c]`` and zero point 0."""
    grid = np.rint(bias.astype(np.float64) / (np.float64(input_scale) * scales.astype(np.float64)))
    return np.clip(grid, -(2**30), 2**30).astype(np.int32)
