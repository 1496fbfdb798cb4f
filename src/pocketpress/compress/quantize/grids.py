"""Scales on which every runtime rounds alike.

Kernels agree on a real result except when it lies so near a rounding tie (k + 1/2) that fixed-point,
float32 and exact arithmetic fall on different sides.  So scales are chosen to keep results away from ties:

* an addition ``a*(sa/so) + b*(sb/so)`` with ratios p/127: the sum is a multiple of 1/127, and since 127 is
  odd it is at least 1/254 away from every tie, far more than any kernel's error (about 2^-11);
* a product with ``sa*sb/so = p/m``, m odd: at least 1/(2m) away;
* a mean with multiplier ``p/m``, m odd, likewise;
* a look-up table: its 256 entries are simply checked.

Equal ("tied") scales are the special case p = 127.  The ratio moves a scale by less than 1/p, so an input
keeps its own resolution; see docs/adr/0002-tie-free-scales.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

DENOMINATOR = 127
LARGEST_ODD = 511
SMALLEST_ODD = 125
SAFE_MARGIN = 5e-4
SAFE_MEAN = 1e-5
"""Means are one float32 product in every runtime."""
Real = npt.NDArray[np.float64]


def numerator_at_least(ratio: float) -> int:
    """Smallest p >= 1 with p/127 >= ratio (up to float32 rounding)."""
    return max(1, math.ceil(ratio * DENOMINATOR * (1 - 1e-6)))


def numerator_at_most(ratio: float) -> int:
    """Largest p >= 1 with p/127 <= ratio (up to float32 rounding)."""
    return max(1, math.floor(ratio * DENOMINATOR * (1 + 1e-6)))


def multiplier_at_most(wanted: float) -> tuple[int, int]:
    """The largest p/m <= ``wanted`` with odd m <= 511, or 1/m with the smallest odd m when that is below."""
    return _nearest_odd_fraction(wanted, math.floor, below=True)


def multiplier_at_least(wanted: float) -> tuple[int, int]:
    """The smallest p/m >= ``wanted`` with odd m <= 511, or 1/m with the largest odd m when that is below."""
    return _nearest_odd_fraction(wanted, math.ceil, below=False)


def _nearest_odd_fraction(wanted: float, rounding: Callable[[float], int], *, below: bool) -> tuple[int, int]:
    nudge = 1 + 1e-9 if below else 1 - 1e-9
    if wanted < 2 / LARGEST_ODD:
        m = math.ceil(1 / (wanted * nudge)) if below else math.floor(1 / (wanted * nudge))
        return 1, m if m % 2 else m + (1 if below else -1)
    found = [(max(1, rounding(wanted * m * nudge)), m) for m in range(LARGEST_ODD, SMALLEST_ODD, -2)]
    return min(found, key=lambda f: abs(f[0] / f[1] - wanted))


def tie_distance(values: Real) -> float:
    """Smallest distance of any value from k + 1/2, in steps of the output grid."""
    fraction = values - np.floor(values)
    return float(np.abs(fraction - 0.5).min(initial=0.5))


def sum_distance(ratio_a: float, zero_a: int, ratio_b: float, zero_b: int) -> float:
    """Tie distance over all 65,536 pairs of an addition."""
    q = np.arange(-128, 128, dtype=np.float64)
    return tie_distance(np.add.outer((q - zero_a) * ratio_a, (q - zero_b) * ratio_b))


def mean_distance(multiplier: float, zero: int, count: int) -> float:
    """Tie distance over all totals that ``count`` integers can have, the first 2^20 of them."""
    low, high = (-128 - zero) * count, (127 - zero) * count
    totals = np.arange(low, min(high, low + 2**20) + 1, dtype=np.float64)
    return tie_distance(totals * multiplier)


def product_distance(multiplier: float, zero_a: int, zero_b: int) -> float:
    """Tie distance over all 65,536 pairs of a multiplication."""
    q = np.arange(-128, 128, dtype=np.float64)
    return tie_distance(np.multiply.outer(q - zero_a, q - zero_b) * multiplier)
