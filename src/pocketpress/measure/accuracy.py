"""Is the drop real?  The task metric of an artifact against the float network's, on the same samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketpress.core.errors import DataError
from pocketpress.core.record import Metric
from pocketpress.core.words import SHARE, about, digits, name, quantity
from pocketpress.measure.paired import (
    EXACT_DISCORDANT,
    Estimate,
    FloatArray,
    IntArray,
    bootstrap_mean,
    bootstrap_statistic,
    mcnemar,
    samples_to_tell,
    tango,
)

Scores = npt.ArrayLike
Whole = Callable[[IntArray], float]
ROUNDING = 2.0**-24
"""Of a share: half a step of float32 at 1."""


def compare_scores(
    metric: str,
    scores: Scores,
    float_scores: Scores,
    *,
    unit: str = "",
    larger_is_better: bool = True,
    seed: int = 0,
) -> Metric:
    """Compare a metric that is a mean over samples.

    Scores that are all 0 or 1 (right or wrong) get McNemar's test and Tango's interval; others a paired
    BCa bootstrap of the mean difference.

    Args:
        metric: its name.
        scores: one number per sample, of the artifact in its runtime; shape (N,).
        float_scores: of the float network on the same samples, in the same order.
        unit: "share" for means of 0 and 1, "dB", or empty.
        larger_is_better: direction of the metric.
        seed: of the bootstrap.

    Raises:
        DataError: no samples, another number of samples, or a score that is not finite.
    """
    ours, floats = _checked(metric, scores, float_scores)
    losses = floats - ours if larger_is_better else ours - floats
    base = Metric(
        name=metric,
        value=float(ours.mean()),
        float_value=float(floats.mean()),
        samples=len(ours),
        unit=unit,
        larger_is_better=larger_is_better,
    )
    if np.isin(ours, (0, 1)).all() and np.isin(floats, (0, 1)).all():
        lost, won = int((losses > 0).sum()), int((losses < 0).sum())
        test = "mcnemar-exact" if lost + won <= EXACT_DISCORDANT else "mcnemar"
        return _with(base, tango(lost, won, len(ours)), test, mcnemar(lost, won), same=lost + won == 0)
    if len(ours) < 2:
        return _alone(base, float(losses[0]))
    estimate = bootstrap_mean(losses, seed=seed)
    return _with(base, estimate, "paired-bootstrap", None, same=not losses.any())


def compare_whole(
    metric: str,
    value_of: Whole,
    float_value_of: Whole,
    samples: int,
    *,
    unit: str = "",
    larger_is_better: bool = True,
    seed: int = 0,
    resamples: int = 1000,
) -> Metric:
    """Compare a metric of the whole set that is no mean over samples (F1, mean average precision, ...).

    Args:
        metric: its name.
        value_of: the metric of the artifact on the samples with these indices (repeats included).
        float_value_of: the same of the float network.
        samples: number of samples.
        unit: as in `compare_scores`.
        larger_is_better: direction of the metric.
        seed: of the bootstrap.
        resamples: bootstrap samples, each one evaluation of both.

    Raises:
        DataError: no samples, or the metric is undefined on the whole set.
    """
    if samples < 1:
        raise DataError(f"metric {metric} has no samples", next_step="give evaluation data with labels")
    sign = 1.0 if larger_is_better else -1.0
    everything = np.arange(samples)
    base = Metric(
        name=metric,
        value=_finite(metric, value_of(everything)),
        float_value=_finite(metric, float_value_of(everything)),
        samples=samples,
        unit=unit,
        larger_is_better=larger_is_better,
    )

    def loss(indices: IntArray) -> float:
        return sign * (float(float_value_of(indices)) - float(value_of(indices)))

    if samples < 2:
        return _alone(base, loss(everything))
    estimate = bootstrap_statistic(loss, samples, seed=seed, resamples=resamples)
    if not all(map(math.isfinite, estimate.interval)):
        return _alone(base, estimate.difference)
    return _with(base, estimate, "paired-bootstrap", None, same=False)


def describe(estimate: Estimate, samples: int, unit: str, *, same: bool = False) -> str:
    """The comparison as a sentence.

    Args:
        estimate: of the loss.
        samples: number of pairs.
        unit: of the metric.
        same: whether every sample scored the same in both.
    """
    low, high = estimate.interval
    width = _resolution(estimate, unit)
    kind = "gain" if estimate.difference < 0 else "drop"
    shown = digits(abs(estimate.difference), unit, resolution=width)
    if estimate.difference < 0:
        low, high = -high, -low
    text = (
        f"{kind} {shown} {name(unit)}".rstrip()
        + f", between {digits(low, unit, resolution=width)} and {digits(high, unit, resolution=width)}: "
    )
    count = f"{samples:,} sample{'s' if samples != 1 else ''}"
    if unit == SHARE and 0 < max(abs(low), abs(high)) < ROUNDING:
        return f"no more than float32 rounds, on {count}"
    if same:
        return text + f"every one of {count} scores the same"
    if not low <= 0 <= high:
        return text + f"real, on {count}"
    text += f"not distinguishable from zero on {count}"
    needed = samples_to_tell(estimate)
    if needed is not None:
        text += f"; {about(max(needed, samples + 1)):,} samples would tell"
    return text


def _resolution(estimate: Estimate, unit: str) -> float | None:
    """The size that digits must show: the interval's, or that of an end near zero, so that its side shows."""
    low, high = estimate.interval
    width = max(high - low, abs(estimate.difference)) or None
    near = [abs(end) for end in (low, high) if end and float(digits(end, unit, resolution=width)) == 0]
    return width if width is None or not near else max(min(near), width / 1000)


def _with(base: Metric, estimate: Estimate, test: str, p_value: float | None, *, same: bool) -> Metric:
    low, high = estimate.interval
    needed = samples_to_tell(estimate)
    told = not low <= 0 <= high
    return base.model_copy(
        update={
            "drop": estimate.difference,
            "drop_ci95": (low, high),
            "p_value": p_value,
            "test": test,
            "distinguishable": told,
            "samples_to_tell": None if needed is None or told else about(max(needed, base.samples + 1)),
            "words": describe(estimate, base.samples, base.unit, same=same),
        }
    )


def _alone(base: Metric, drop: float) -> Metric:
    shown = quantity(abs(drop), base.unit)
    words = f"{'gain' if drop < 0 else 'drop'} {shown}: too few samples ({base.samples}) for an interval"
    return base.model_copy(update={"drop": drop, "words": words})


def _checked(metric: str, scores: Scores, float_scores: Scores) -> tuple[FloatArray, FloatArray]:
    ours, floats = (np.asarray(values, dtype=np.float64).reshape(-1) for values in (scores, float_scores))
    if len(ours) != len(floats):
        raise DataError(f"metric {metric}: pairs do not match", got=f"{len(ours)} and {len(floats)} samples")
    if not len(ours):
        raise DataError(f"metric {metric} has no samples", next_step="give evaluation data with labels")
    for values in (ours, floats):
        if not np.isfinite(values).all():
            index = int(np.flatnonzero(~np.isfinite(values))[0])
            raise DataError(
                f"metric {metric} is not a number on a sample", got=f"{values[index]} on sample {index}"
            )
    return ours, floats


def _finite(metric: str, value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise DataError(f"metric {metric} is not a number on the whole set", got=number)
    return number


__all__ = ["SHARE", "compare_scores", "compare_whole", "describe"]
