"""Range estimators: which real interval the 256 integers of an activation cover."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pocketpress.compress.quantize.observe import TensorStats
from pocketpress.core.errors import UserError

STEPS = 255
BODY = 1 << 15
"""Values of the subset that intervals are judged on."""
Estimator = Callable[[TensorStats], tuple[float, float]]


def min_max(stats: TensorStats) -> tuple[float, float]:
    """Everything seen, 0 included (Jacob et al. 2018, section 3.1)."""
    return min(stats.low, 0.0), max(stats.high, 0.0)


def percentile(stats: TensorStats, share: float = 99.99) -> tuple[float, float]:
    """The central ``share`` per cent of the values (Wu et al. 2020, section 3.2), 0 included."""
    values = stats.values
    if values.size == 0:
        return min_max(stats)
    low, high = np.percentile(values, [100 - share, share])
    low = stats.low if stats.low >= 0 else max(float(low), stats.low)
    return min(low, 0.0), max(min(float(high), stats.high), 0.0)


def mean_squared_error(stats: TensorStats) -> tuple[float, float]:
    """The interval with the least squared rounding and clipping error (Choukroun et al. 2019)."""
    return _least_error(_Seen.of(stats, 2), min_max(stats))


def mean_cubed_error(stats: TensorStats) -> tuple[float, float]:
    """The interval with the least third power of the error (Lp norm: Nahshan et al. 2019, arXiv:1911.07190).

    It clips little: a clipped value is far off, and a network is hurt by few such values more than their
    squares tell.
    """
    return _least_error(_Seen.of(stats, 3), min_max(stats))


@dataclass(frozen=True)
class _Seen:
    """What an interval is judged on.

    Attributes:
        body: a subset of the values, sorted, for rounding.
        lowest: the least values of all samples, sorted, for clipping.
        highest: their largest, sorted.
        count: how many values there were.
        power: of the errors that are added up.
    """

    body: npt.NDArray[np.float64]
    lowest: npt.NDArray[np.float64]
    highest: npt.NDArray[np.float64]
    count: int
    power: int

    @classmethod
    def of(cls, stats: TensorStats, power: int) -> _Seen:
        values = stats.values
        if values.size > BODY:
            values = values[:: values.size // BODY]
        lowest, highest = (np.concatenate(t or [values]) for t in (stats.lowest, stats.highest))
        body, low, high = (np.sort(v.astype(np.float64)) for v in (values, lowest, highest))
        return cls(body, low, high, max(stats.count, 1), power)

    def error(self, low: float, high: float) -> float:
        """Mean power of the rounding error inside the interval and of the clipping error outside.

        Where more is clipped than the tails hold, the body tells better: the larger of both counts.
        """
        step = (high - low) / STEPS
        if step <= 0:
            return np.inf
        zero = np.rint(-low / step)
        first, last = -zero * step, (STEPS - zero) * step
        start, end = np.searchsorted(self.body, first), np.searchsorted(self.body, last, "right")
        inside = self.body[start:end] / step
        rounded = self._sum(np.rint(inside) - inside) / self.body.size * step**self.power
        lowest = self.lowest[: np.searchsorted(self.lowest, first)]
        highest = self.highest[np.searchsorted(self.highest, last, "right") :]
        below = self._clipped(first - lowest, first - self.body[:start])
        above = self._clipped(highest - last, self.body[end:] - last)
        return rounded + below + above

    def _clipped(self, tail: npt.NDArray[np.float64], body: npt.NDArray[np.float64]) -> float:
        return max(self._sum(tail) / self.count, self._sum(body) / self.body.size)

    def _sum(self, errors: npt.NDArray[np.float64]) -> float:
        """Of their powers.  Products: numpy's ``**`` takes ten times as long for all but squares."""
        powers = errors * errors
        for _ in range(self.power - 2):
            powers *= np.abs(errors)
        return float(powers.sum())


def _least_error(seen: _Seen, extremes: tuple[float, float], candidates: int = 48) -> tuple[float, float]:
    """Both ends shrink together first, then each end alone: one-sided activations keep their zero end."""
    low, high = extremes
    if seen.body.size == 0 or high == low:
        return low, high
    best = _best(seen, [(low * f, high * f) for f in np.linspace(0.3, 1.0, candidates)])
    spans = np.linspace(0.85, 1.15, 13)
    lows = [(max(best[0] * f, low), best[1]) for f in spans] if low < 0 else []
    best = _best(seen, [best, *lows])
    highs = [(best[0], min(best[1] * f, high)) for f in spans] if high > 0 else []
    return _best(seen, [best, *highs])


def _best(seen: _Seen, spans: list[tuple[float, float]]) -> tuple[float, float]:
    return spans[int(np.argmin([seen.error(low, high) for low, high in spans]))]


ESTIMATORS: dict[str, Estimator] = {
    "min-max": min_max,
    "percentile": percentile,
    "mse": mean_squared_error,
    "l3": mean_cubed_error,
}


def estimator(name: str) -> Estimator:
    """Look an estimator up.

    Raises:
        UserError: unknown name.
    """
    if name not in ESTIMATORS:
        raise UserError("unknown range estimator", got=name, allowed=sorted(ESTIMATORS))
    return ESTIMATORS[name]
