"""Paired statistics against hand-computed numbers, enumerations, and their own coverage."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.measure.slow_statistics import all_resampled_means, mcnemar_by_enumeration, tango_by_search

from pocketpress.measure.paired import (
    Z95,
    Estimate,
    IntArray,
    bootstrap_mean,
    bootstrap_statistic,
    mcnemar,
    samples_to_tell,
    tango,
)


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (1, 0), (5, 0), (3, 1), (2, 2), (1, 8), (9, 3)])
def test_mcnemar_is_the_share_of_all_tosses(lost: int, won: int) -> None:
    assert mcnemar(lost, won) == pytest.approx(mcnemar_by_enumeration(lost, won), abs=1e-12)


def test_mcnemar_by_hand() -> None:
    assert mcnemar(6, 0) == 2 / 64  # both tails of 2^6 tosses
    assert mcnemar(12, 2) == pytest.approx(2 * (1 + 14 + 91) / 2**14)


def test_mcnemar_for_many_pairs_continues_the_exact_test() -> None:
    exact, approximate = mcnemar(1050, 950), mcnemar(1051, 950)
    assert approximate == pytest.approx(math.erfc(100 / math.sqrt(2001) / math.sqrt(2)))
    assert 0 < exact - approximate < 0.002


@pytest.mark.parametrize(
    ("lost", "won", "samples"), [(12, 2, 50), (1, 0, 10), (0, 4, 30), (3, 3, 20), (9, 0, 9), (14, 10, 900)]
)
def test_tango_against_a_search_over_all_tables(lost: int, won: int, samples: int) -> None:
    low, high = tango_by_search(lost, won, samples)
    estimate = tango(lost, won, samples)
    assert estimate.difference == (lost - won) / samples
    assert estimate.interval == pytest.approx((low, high), abs=6e-4)


def test_tango_without_discordant_pairs_is_not_a_point() -> None:
    edge = Z95**2 / (900 + Z95**2)  # n delta = z sqrt(n delta (1 - delta))
    assert tango(0, 0, 900).interval == pytest.approx((-edge, edge), abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(lost=st.integers(0, 30), won=st.integers(0, 30), same=st.integers(0, 200))
def test_tango_is_antisymmetric_and_holds_its_estimate(lost: int, won: int, same: int) -> None:
    samples = lost + won + same
    if not samples:
        return
    here, there = tango(lost, won, samples), tango(won, lost, samples)
    low, high = here.interval
    assert -1 <= low <= here.difference <= high <= 1
    assert (-high, -low) == pytest.approx(there.interval, abs=1e-9)


def test_tango_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(1)
    lost_rate, won_rate, samples = 0.04, 0.02, 300
    tables = rng.multinomial(samples, (lost_rate, won_rate, 1 - lost_rate - won_rate), size=400)
    hits = 0
    for lost, won, _ in tables:
        low, high = tango(int(lost), int(won), samples).interval
        hits += low <= lost_rate - won_rate <= high
    assert 0.92 <= hits / 400 <= 0.985  # binomial spread of 400 tries is 0.011


def test_bca_against_all_resamples_and_a_written_out_jackknife() -> None:
    values = [-1.0, -0.3, 0.2, 0.4, 1.9, 0.3]
    mean, means = float(np.mean(values)), np.asarray(all_resampled_means(values))
    left_out = [float(np.mean(values[:i] + values[i + 1 :])) for i in range(len(values))]
    centred = [float(np.mean(left_out)) - value for value in left_out]
    a = sum(c**3 for c in centred) / (6 * sum(c**2 for c in centred) ** 1.5)
    ties = np.abs(means - mean) <= 1e-12
    z0 = NormalDist().inv_cdf(float(np.mean((means < mean) & ~ties) + np.mean(ties) / 2))
    levels = [NormalDist().cdf(z0 + (z0 + z) / (1 - a * (z0 + z))) for z in (-Z95, Z95)]
    expected = tuple(np.quantile(means, levels))
    assert bootstrap_mean(np.asarray(values), seed=0, resamples=60_000).interval == pytest.approx(
        expected, abs=0.02
    )


def test_bootstrap_of_many_normal_differences_is_the_t_interval() -> None:
    values = np.random.default_rng(3).normal(0.1, 1.0, 2000)
    estimate = bootstrap_mean(values, seed=0)
    half = Z95 * values.std(ddof=1) / math.sqrt(2000)
    assert estimate.interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.003)


def test_bootstrap_leans_towards_the_long_tail() -> None:
    values = np.random.default_rng(4).exponential(1.0, 40)
    low, high = bootstrap_mean(values, seed=0).interval
    assert high - values.mean() > 1.1 * (values.mean() - low)


def test_bootstrap_is_seeded() -> None:
    values = np.random.default_rng(5).normal(size=50)
    assert bootstrap_mean(values, seed=7) == bootstrap_mean(values, seed=7)
    assert bootstrap_mean(values, seed=7) != bootstrap_mean(values, seed=8)


def test_bootstrap_of_constant_differences() -> None:
    assert bootstrap_mean(np.full(9, 0.25), seed=0) == Estimate(0.25, (0.25, 0.25), 0.0)


def test_bootstrap_of_a_statistic_agrees_with_that_of_a_mean() -> None:
    values = np.random.default_rng(6).normal(0.2, 1.0, 300)

    def mean(indices: IntArray) -> float:
        return float(values[indices].mean())

    whole, plain = bootstrap_statistic(mean, 300, seed=0, resamples=4000), bootstrap_mean(values, seed=1)
    assert whole.difference == plain.difference
    assert whole.interval == pytest.approx(plain.interval, abs=0.01)
    assert whole.variance == pytest.approx(plain.variance, rel=0.1)


def test_resamples_on_which_a_statistic_is_undefined_are_left_out() -> None:
    def undefined_without_the_first(indices: IntArray) -> float:
        return 1.0 if 0 in indices else math.nan

    assert bootstrap_statistic(undefined_without_the_first, 5, seed=0).interval == (1.0, 1.0)


def test_samples_to_tell_tell_four_times_in_five() -> None:
    """Draw sets of the promised size from a world with exactly this difference, and count."""
    lost_rate, won_rate = 0.03, 0.018
    world = Estimate(lost_rate - won_rate, (0, 0), lost_rate + won_rate - (lost_rate - won_rate) ** 2)
    needed = samples_to_tell(world)
    assert needed is not None
    tables = np.random.default_rng(2).multinomial(
        round(needed), (lost_rate, won_rate, 1 - lost_rate - won_rate), size=300
    )
    told = sum(tango(int(lost), int(won), round(needed)).interval[0] > 0 for lost, won, _ in tables)
    assert 0.73 <= told / 300 <= 0.87


def test_no_number_of_samples_tells_no_difference() -> None:
    assert samples_to_tell(Estimate(0.0, (-0.1, 0.1), 1.0)) is None
