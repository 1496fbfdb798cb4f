"""Slow, obvious references for `pocketpress.measure.paired`."""

from __future__ import annotations

import itertools
import math

import numpy as np


def mcnemar_by_enumeration(lost: int, won: int) -> float:
    """Share of all 2^n ways to toss the discordant pairs that are at least as uneven."""
    pairs = lost + won
    uneven = abs(lost - won)
    tosses = itertools.product((0, 1), repeat=pairs)
    return sum(abs(pairs - 2 * sum(toss)) >= uneven for toss in tosses) / 2**pairs


def tango_by_search(lost: int, won: int, samples: int) -> tuple[float, float]:
    """All differences whose score test is not rejected, nuisance parameter by maximising the likelihood."""
    z = 1.959963984540054
    kept = [
        delta for delta in np.linspace(-0.9995, 0.9995, 3999) if abs(_score(delta, lost, won, samples)) <= z
    ]
    return float(min(kept)), float(max(kept))


def _score(delta: float, lost: int, won: int, samples: int) -> float:
    """(observed - expected) / standard error, both under the most likely tables with this difference."""
    q = np.linspace(max(0.0, -delta), (1 - delta) / 2, 20001)[1:-1]
    with np.errstate(divide="ignore"):
        likelihood = (
            lost * np.log(q + delta) + won * np.log(q) + (samples - lost - won) * np.log(1 - 2 * q - delta)
        )
    best = float(q[np.argmax(likelihood)])
    variance = (2 * best + delta - delta**2) / samples
    return ((lost - won) / samples - delta) / math.sqrt(variance)


def all_resampled_means(values: list[float]) -> list[float]:
    """The means of all n^n bootstrap samples."""
    return sorted(sum(drawn) / len(values) for drawn in itertools.product(values, repeat=len(values)))
