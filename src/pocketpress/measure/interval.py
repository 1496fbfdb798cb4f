"""The interval of a share that was counted."""

from __future__ import annotations

import math

Z95 = 1.96


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of ``hits`` out of ``count`` (at least one), after Wilson 1927.

    Unlike the normal approximation it stays within 0 and 1, and has a width at 0 and 1.
    """
    share, z = hits / count, Z95
    centre = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
