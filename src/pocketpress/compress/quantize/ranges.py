"""Range estimators: which real interval the 256 integers of an activation cover."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pocketpress.compress.quantize.observe import TensorStats
from pocketpress.core.errors import UserError

STEPS = 255
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


def mean_squared_error(stats: TensorStats, candidates: int = 48) -> tuple[float, float]:
    """The interval with the least squared rounding and clipping error (Choukroun et al. 2019).

    Both ends shrink together first, then each end alone around the best, so one-sided activations keep
    their zero end.
    """
    low, high = min_max(stats)
    seen = stats.values
    if seen.size == 0 or high == low:
        return low, high
    if seen.size > 1 << 15:
        seen = seen[:: seen.size // (1 << 15)]
    values = seen.astype(np.float64)
    best = _best(values, [(low * f, high * f) for f in np.linspace(0.3, 1.0, candidates)])
    spans = np.linspace(0.85, 1.15, 13)
    lows = [(max(best[0] * f, low), best[1]) for f in spans] if low < 0 else []
    best = _best(values, [best, *lows])
    highs = [(best[0], min(best[1] * f, high)) for f in spans] if high > 0 else []
    return _best(values, [best, *highs])


def _best(values: npt.NDArray[np.float64], spans: list[tuple[float, float]]) -> tuple[float, float]:
    errors = [_squared_error(values, low, high) for low, high in spans]
    return spans[int(np.argmin(errors))]


def _squared_error(values: npt.NDArray[np.float64], low: float, high: float) -> float:
    step = (high - low) / STEPS
    if step <= 0:
        return float(np.mean(values**2))
    zero = np.rint(-low / step)
    grid = np.clip(np.rint(values / step) + zero, 0, STEPS) - zero
    return float(np.mean((grid * step - values) ** 2))


ESTIMATORS: dict[str, Estimator] = {
    "min-max": min_max,
    "percentile": percentile,
    "mse": mean_squared_error,
}


def estimator(name: str) -> Estimator:
    """Look an estimator up.

    Raises:
        UserError: unknown name.
    """
    if name not in ESTIMATORS:
        raise UserError("unknown range estimator", got=name, allowed=sorted(ESTIMATORS))
    return ESTIMATORS[name]
