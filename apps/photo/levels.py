"""Levels: the darkest and the brightest value of each channel, and the stretch that makes them 0 and 1.

A fixed first step in front of network and table. It removes most of the spread that exposure and white
balance cause, so the network has less to guess, and a dark photo uses the whole table and not one corner of
it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_SPAN = 8 / 255
"""Smallest distance of a channel's levels: an empty channel is not blown up to noise."""


@dataclass(frozen=True)
class Levels:
    """The levels of one photo; values in [0, 1], one per channel, shape (3,)."""

    low: NDArray[np.float32]
    span: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Refuse a span that cannot be divided by."""
        if not (self.span > 0).all():
            raise ValueError(f"span: got {self.span}, all three must be above 0")

    @staticmethod
    def of(thumbnail: NDArray[np.float32]) -> Levels:
        """The levels of a thumbnail in [0, 1], shape (1, 3, height, width).

        A thumbnail's pixels are averages, so single hot or dead pixels of the photo hardly count.
        """
        channels = thumbnail.reshape(3, -1)
        low, high = channels.min(axis=1), channels.max(axis=1)
        return Levels(low, np.maximum(high - low, np.float32(LEAST_SPAN)))

    def stretch(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Stretch values of shape (..., 3) and cut them to [0, 1]."""
        stretched: NDArray[np.float32] = np.clip((values - self.low) / self.span, 0, 1)
        return stretched


NO_CHANGE = Levels(np.zeros(3, dtype=np.float32), np.ones(3, dtype=np.float32))
"""Levels that leave values as they are."""
