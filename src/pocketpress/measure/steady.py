"""Do repeated measurements agree?  A number that does not repeat proves nothing, and is marked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

PARTS = 3
APART = 0.1
"""Medians of the parts of a measurement may be so far apart, as a share of the smallest."""
FEW_ROUNDS = 6
"""With fewer there is nothing to compare: two rounds a part."""


def is_steady(timings: npt.NDArray[np.float64]) -> bool | None:
    """Whether the medians of the first, middle and last third of the rounds are within 10 % of each other.

    Args:
        timings: seconds, of shape (rounds, runs per round), in the order they were taken.

    Returns:
        None for fewer than six rounds, which cannot tell.
    """
    if len(timings) < FEW_ROUNDS:
        return None
    medians = [float(np.median(part)) for part in np.array_split(timings, PARTS)]
    return max(medians) <= min(medians) * (1 + APART)
