"""Summaries of timings, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pocketpress.core.errors import InternalError
from pocketpress.measure.latency import summarise


def test_medians_and_the_paired_ratio_by_hand() -> None:
    ours = np.array([[1.0, 1.0, 9.0], [2.0, 2.0, 2.0], [1.0, 1.0, 1.0]])
    floats = np.array([[3.0, 3.0, 3.0], [6.0, 6.0, 6.0], [2.0, 2.0, 2.0]])
    latency = summarise(ours, floats, threads=2, warmup=5, overhead_s=1e-7)
    assert latency.median == 1.0 and latency.float_median == 3.0
    assert latency.p90 == pytest.approx(np.quantile([1, 1, 9, 2, 2, 2, 1, 1, 1], 0.9))
    assert latency.speedup == 3.0  # the median of 3, 3 and 2
    assert latency.speedup_ci95 == (2.0, 3.0)
    assert (latency.threads, latency.runs, latency.warmup, latency.timer_overhead) == (2, 9, 5, 1e-7)


def test_a_machine_that_slows_down_half_way_does_not_change_the_ratio() -> None:
    speed = np.repeat([1.0, 4.0], 10)[:, None]
    ours, floats = speed * np.ones((1, 4)), speed * np.full((1, 4), 1.5)
    latency = summarise(ours, floats, threads=1)
    assert latency.speedup == 1.5 and latency.speedup_ci95 == (1.5, 1.5)


def test_the_interval_of_equal_speeds_holds_one() -> None:
    rng = np.random.default_rng(0)
    ours, floats = rng.lognormal(0, 0.1, (40, 4)), rng.lognormal(0, 0.1, (40, 4))
    latency = summarise(ours, floats, threads=1)
    assert latency.speedup_ci95 is not None
    low, high = latency.speedup_ci95
    assert 0.9 < low < 1 < high < 1.1


def test_without_a_float_artifact_there_is_no_speedup() -> None:
    latency = summarise(np.ones((2, 2)), threads=1)
    assert latency.float_median is None and latency.speedup is None and latency.speedup_ci95 is None


def test_unpaired_timings_are_our_bug() -> None:
    with pytest.raises(InternalError, match="not paired"):
        summarise(np.ones((2, 2)), np.ones((3, 2)), threads=1)
    with pytest.raises(InternalError, match="another shape"):
        summarise(np.ones(4), threads=1)
