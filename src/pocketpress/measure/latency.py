"""From raw, interleaved timings to medians, a paired speed-up and its interval."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pocketpress.core.errors import InternalError
from pocketpress.core.record import Latency

Timings = npt.NDArray[np.float64]
RESAMPLES = 4000


def summarise(
    timings: Timings,
    float_timings: Timings | None = None,
    *,
    threads: int,
    warmup: int = 0,
    overhead_s: float | None = None,
    seed: int = 0,
) -> Latency:
    """Summarise timings of one inference.

    The speed-up is the median over rounds of (float median / artifact median) within a round, so that a
    machine that slows down half-way slows both; its interval is a bootstrap over rounds.

    Args:
        timings: of the artifact in seconds, of shape (rounds, runs per round).
        float_timings: of the float artifact in the same rounds, same shape, or None.
        threads: threads the runtimes were given.
        warmup: untimed inferences before.
        overhead_s: time of an empty measurement.
        seed: of the bootstrap.
    """
    if timings.ndim != 2 or not timings.size:
        raise InternalError(
            "timings have another shape", got=timings.shape, allowed="(rounds, runs per round)"
        )
    base = Latency(
        median=float(np.median(timings)),
        p90=float(np.quantile(timings, 0.9)),
        threads=threads,
        runs=int(timings.size),
        warmup=warmup,
        timer_overhead=overhead_s,
    )
    if float_timings is None:
        return base
    if float_timings.shape != timings.shape:
        raise InternalError("timings are not paired", got=float_timings.shape, allowed=timings.shape)
    ratios = np.median(float_timings, axis=1) / np.median(timings, axis=1)
    return base.model_copy(
        update={
            "float_median": float(np.median(float_timings)),
            "float_p90": float(np.quantile(float_timings, 0.9)),
            "speedup": float(np.median(ratios)),
            "speedup_ci95": _median_interval(ratios, seed),
        }
    )


def _median_interval(values: Timings, seed: int) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the median; None from fewer than three values."""
    if len(values) < 3:
        return None
    rng = np.random.default_rng(seed)
    drawn = np.median(values[rng.integers(len(values), size=(RESAMPLES, len(values)))], axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)
