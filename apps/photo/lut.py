"""3-D colour look-up tables: blend a few, apply one to a photo with trilinear interpolation. NumPy only."""

from __future__ import annotations

import numpy as np
from apps.photo.levels import NO_CHANGE, Levels
from numpy.typing import NDArray

_PIXELS_AT_ONCE = 1 << 18
"""Pixels looked up at once: bounds the working memory to about 30 MB whatever the photo's size."""


def identity_table(size: int) -> NDArray[np.float32]:
    """The table that changes nothing: (size, size, size, 3), [red, green, blue] -> (r, g, b) in [0, 1]."""
    if size < 2:
        raise ValueError(f"a table needs at least 2 grid points per axis, got {size}")
    axis = np.linspace(0, 1, size, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def blend(tables: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first table plus the weighted sum of the others: the image-adaptive table of one photo.

    Zeng et al., "Learning Image-adaptive 3D Lookup Tables", TPAMI 2020, eq. (2); the first table's weight
    is fixed at 1, so a network has one output less than there are tables.

    Args:
        tables: Shape (K + 1, size, size, size, 3): the table for weights of zero, then K learned offsets.
        weights: One number per offset, shape (K,), as the network returned them.

    Returns:
        A table of shape (size, size, size, 3). Its values may leave [0, 1]; `apply` cuts after interpolating.

    Raises:
        ValueError: The number of weights is not the number of offsets.
    """
    if weights.shape != (len(tables) - 1,):
        raise ValueError(f"weights: got shape {weights.shape}, the tables need ({len(tables) - 1},)")
    return np.asarray(
        tables[0] + np.tensordot(weights.astype(np.float32), tables[1:], axes=1), dtype=np.float32
    )


def look_up(table: NDArray[np.float32], colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Interpolate a table at colours in [0, 1], trilinearly.

    Args:
        table: Shape (size, size, size, 3).
        colours: Shape (N, 3), red, green, blue.

    Returns:
        Shape (N, 3), not cut to [0, 1].
    """
    size = table.shape[0]
    flat = table.reshape(-1, 3)
    position = colours * np.float32(size - 1)
    cell = np.clip(position.astype(np.int32), 0, size - 2)
    high = position - cell.astype(np.float32)
    low = np.float32(1) - high
    corner = (cell[:, 0] * size + cell[:, 1]) * size + cell[:, 2]
    out = np.zeros_like(colours)
    for r in (0, 1):
        for g in (0, 1):
            for b in (0, 1):
                share = (high if r else low)[:, 0] * (high if g else low)[:, 1] * (high if b else low)[:, 2]
                out += share[:, None] * flat[corner + (r * size + g) * size + b]
    return out


def apply(
    table: NDArray[np.float32], photo: NDArray[np.uint8], levels: Levels = NO_CHANGE
) -> NDArray[np.uint8]:
    """Stretch a photo's levels and look its colours up in a table.

    Args:
        table: Shape (size, size, size, 3).
        photo: Shape (..., 3), sRGB bytes.
        levels: The stretch before the table; none by default.

    Returns:
        The photo in the same shape, cut to [0, 255] and rounded half to even.
    """
    pixels = photo.reshape(-1, 3)
    out = np.empty_like(pixels)
    for start in range(0, len(pixels), _PIXELS_AT_ONCE):
        colours = pixels[start : start + _PIXELS_AT_ONCE].astype(np.float32) / np.float32(255)
        out[start : start + _PIXELS_AT_ONCE] = to_bytes(look_up(table, levels.stretch(colours)))
    return out.reshape(photo.shape)


def to_bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Cut values to [0, 1] and round them to bytes, half to even."""
    rounded: NDArray[np.float32] = np.rint(np.clip(values, 0, 1) * np.float32(255))
    return rounded.astype(np.uint8)
