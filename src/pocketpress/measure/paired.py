"""Statistics of paired samples: the same inputs through two networks.  Pure functions of NumPy arrays.

Everywhere a positive difference is a loss: the float network did better.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Statistic = Callable[[IntArray], float]

Z95 = NormalDist().inv_cdf(0.975)
Z_POWER = NormalDist().inv_cdf(0.8)
EXACT_DISCORDANT = 2000
RESAMPLES = 10_000
LEAST_RESAMPLES = 1000
DRAWN_ELEMENTS = 50_000_000
CHUNK_ELEMENTS = 2_000_000


@dataclass(frozen=True)
class Estimate:
    """A mean difference and what is known about it.

    Attributes:
        difference: the point estimate.
        interval: 95 % confidence interval.
        variance: of one sample's contribution, for planning.
    """

    difference: float
    interval: tuple[float, float]
    variance: float


def mcnemar(lost: int, won: int) -> float:
    """Two-sided p-value of McNemar's test that losses and wins are equally likely.

    Exact (binomial, conditional on the discordant pairs) up to 2,000 discordant pairs, then the normal
    approximation with continuity correction.

    Args:
        lost: pairs that only the float network gets right.
        won: pairs that only the compressed one gets right.
    """
    discordant = lost + won
    if discordant == 0:
        return 1.0
    if discordant <= EXACT_DISCORDANT:
        tail = sum(math.comb(discordant, k) for k in range(min(lost, won) + 1))
        return min(1.0, 2 * tail / (1 << discordant))
    z = max(0.0, abs(lost - won) - 1) / math.sqrt(discordant)
    return math.erfc(z / math.sqrt(2))


def tango(lost: int, won: int, samples: int) -> Estimate:
    """Difference of two paired proportions with Tango's score interval.

    Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design", Statistics in Medicine 17 (1998), eq. (10)-(12).  It keeps its coverage with few or no discordant
    pairs, where the textbook interval collapses to a point.

    Args:
        lost: pairs that only the float network gets right.
        won: pairs that only the compressed one gets right.
        samples: all pairs, at least 1.
    """
    difference = (lost - won) / samples
    low = _root(lambda delta: _score(delta, lost, won, samples) - Z95, -1.0, difference)
    high = _root(lambda delta: _score(delta, lost, won, samples) + Z95, difference, 1.0)
    return Estimate(difference, (low, high), (lost + won) / samples - difference**2)


def _score(delta: float, lost: int, won: int, samples: int) -> float:
    """The score statistic of the hypothesis that the difference is ``delta``; falls as ``delta`` grows."""
    numerator = lost - won - samples * delta
    a = 2.0 * samples
    b = -lost - won + (2 * samples - lost + won) * delta
    c = -won * delta * (1 - delta)
    q = max(0.0, (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a))
    variance = samples * (2 * q + delta * (1 - delta))
    if variance <= 0:
        return math.copysign(math.inf, numerator) if numerator else 0.0
    return numerator / math.sqrt(variance)


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses zero, by bisection; an end of the range when it does not."""
    for _ in range(80):
        middle = (low + high) / 2
        if falling(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def bootstrap_mean(differences: FloatArray, *, seed: int, resamples: int | None = None) -> Estimate:
    """Mean of paired differences with a BCa bootstrap interval.

    Efron, "Better bootstrap confidence intervals", JASA 82 (1987): percentiles corrected for bias
    and skewness.

    Args:
        differences: of shape (N,), N >= 2.
        seed: of the resampling.
        resamples: bootstrap samples; by default 10,000, fewer where N is very large.
    """
    mean, variance = float(differences.mean()), float(differences.var(ddof=1))
    if resamples is None:
        resamples = min(RESAMPLES, max(LEAST_RESAMPLES, DRAWN_ELEMENTS // len(differences)))
    if variance == 0:
        return Estimate(mean, (mean, mean), 0.0)
    means = _resampled_means(differences, np.random.default_rng(seed), resamples)
    deviations = differences - mean  # those of the jackknife, but for a factor that cancels
    acceleration = float((deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5))
    below = float((means < mean).mean() + (means == mean).mean() / 2)
    bias = NormalDist().inv_cdf(min(max(below, 1 / resamples), 1 - 1 / resamples))
    low, high = (_bca_level(z, bias, acceleration) for z in (-Z95, Z95))
    return Estimate(mean, (float(np.quantile(means, low)), float(np.quantile(means, high))), variance)


def _bca_level(z: float, bias: float, acceleration: float) -> float:
    shifted = bias + z
    return NormalDist().cdf(bias + shifted / (1 - acceleration * shifted))


def _resampled_means(values: FloatArray, rng: np.random.Generator, resamples: int) -> FloatArray:
    rows = max(1, CHUNK_ELEMENTS // len(values))
    parts = [
        values[rng.integers(len(values), size=(min(rows, resamples - start), len(values)))].mean(axis=1)
        for start in range(0, resamples, rows)
    ]
    return np.concatenate(parts)


def bootstrap_statistic(
    difference_of: Statistic, samples: int, *, seed: int, resamples: int = 1000
) -> Estimate:
    """Any statistic of the whole set (F1, correlation, ...) with a percentile bootstrap interval.

    Args:
        difference_of: takes sample indices (with repeats) and returns float network minus compressed.
        samples: number of samples, at least 2.
        seed: of the resampling.
        resamples: bootstrap samples; those on which the statistic is undefined (NaN) are left out.
    """
    rng = np.random.default_rng(seed)
    difference = difference_of(np.arange(samples))
    drawn = np.asarray([difference_of(rng.integers(samples, size=samples)) for _ in range(resamples)])
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < 2:
        return Estimate(difference, (-math.inf, math.inf), math.inf)
    low, high = np.quantile(defined, (0.025, 0.975))
    return Estimate(difference, (float(low), float(high)), float(defined.var(ddof=1)) * samples)


def samples_to_tell(estimate: Estimate) -> float | None:
    """Samples with which a 95 % interval excludes zero four times in five, were the difference as measured.

    None when there is no difference to tell.
    """
    if estimate.difference == 0 or not math.isfinite(estimate.variance):
        return None
    return estimate.variance * (Z95 + Z_POWER) ** 2 / estimate.difference**2
