"""The thumbnail that the network looks at: area averages of the photo, in the network's layout."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

THUMBNAIL_PIXELS = 256
"""Height and width of the network's input; the photo's aspect ratio is not kept."""


def average_along(values: NDArray[np.float64], axis: int, size: int) -> NDArray[np.float64]:
    """Resample one axis to `size` samples, each the exact mean over its share of the axis."""
    moved = np.moveaxis(values, axis, 0)
    length = moved.shape[0]
    sums = np.concatenate([np.zeros_like(moved[:1]), np.cumsum(moved, axis=0)])
    edges = np.arange(size + 1) * (length / size)
    cell = np.minimum(edges.astype(np.int64), length - 1)
    inside = (edges - cell).reshape(-1, *([1] * (moved.ndim - 1)))
    at_edges = sums[cell] + inside * moved[cell]
    return np.moveaxis(np.diff(at_edges, axis=0) * (size / length), 0, axis)


def thumbnail(photo: NDArray[np.uint8], pixels: int = THUMBNAIL_PIXELS) -> NDArray[np.float32]:
    """Shrink a photo for the network.

    Args:
        photo: Shape (height, width, 3), sRGB bytes.
        pixels: Height and width of the result.

    Returns:
        Shape (1, 3, pixels, pixels), float32 in [0, 1].

    Raises:
        ValueError: The photo is not a colour photo of bytes.
    """
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        raise ValueError(
            f"photo: got shape {photo.shape} of {photo.dtype}, wanted (height, width, 3) of uint8; "
            "convert it to RGB first"
        )
    columns = average_along(photo.astype(np.float64), 1, pixels)
    small = average_along(columns, 0, pixels)
    return np.ascontiguousarray((small / 255).astype(np.float32).transpose(2, 0, 1)[None])
