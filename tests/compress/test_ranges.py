"""Range estimators."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.networks import Net

from pocketpress.compress.quantize.observe import TensorStats, observe
from pocketpress.compress.quantize.ranges import (
    Estimator,
    estimator,
    mean_cubed_error,
    mean_squared_error,
    min_max,
    percentile,
)
from pocketpress.core.errors import UserError


def stats(*values: float) -> TensorStats:
    return TensorStats.of(np.asarray(values, np.float32))


def test_min_max_includes_zero() -> None:
    assert min_max(stats(1.0, 3.0)) == (0.0, 3.0)
    assert min_max(stats(-2.0, -1.0)) == (-2.0, 0.0)
    assert min_max(stats(-2.0, 5.0)) == (-2.0, 5.0)


def test_percentile_cuts_a_lonely_outlier() -> None:
    values = np.concatenate([np.linspace(-1, 1, 100_000), [1000.0]]).astype(np.float32)
    low, high = percentile(TensorStats.of(values))
    assert -1.0 <= low < -0.99 and 0.99 < high <= 1.0


def test_percentile_keeps_one_sided_activations_at_zero() -> None:
    low, _ = percentile(TensorStats.of(np.linspace(0, 6, 1000).astype(np.float32)))
    assert low == 0.0


def test_mse_clips_an_outlier_and_keeps_a_uniform_range() -> None:
    uniform = np.linspace(0, 6, 10_000).astype(np.float32)
    low, high = mean_squared_error(TensorStats.of(uniform))
    assert low == 0.0 and high == pytest.approx(6, rel=0.02)
    heavy = np.concatenate([np.random.default_rng(0).normal(0, 1, 20_000), [30.0]]).astype(np.float32)
    low, high = mean_squared_error(TensorStats.of(heavy))
    # 20,000 errors of step^2/12 against one of (30 - high)^2: least at 30 - high = 0.8
    assert high == pytest.approx(29.2, abs=0.3)


def test_the_third_power_clips_less() -> None:
    heavy = np.concatenate([np.random.default_rng(0).normal(0, 1, 20_000), [30.0]]).astype(np.float32)
    assert mean_squared_error(TensorStats.of(heavy))[1] < mean_cubed_error(TensorStats.of(heavy))[1] <= 30
    # 20,000 errors of step^3/32, step 33.7/255, against one of (30 - high)^3: least at 30 - high = 0.21
    assert mean_cubed_error(TensorStats.of(heavy))[1] == pytest.approx(29.79, abs=0.3)


@pytest.mark.parametrize("estimate", [mean_squared_error, mean_cubed_error])
def test_rare_large_values_count_although_the_kept_subset_misses_them(estimate: Estimator) -> None:
    """One value in 1,000 is near 8, and too few values are kept to see more than a handful of them."""
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(64):
        sample = rng.normal(0, 1, 1 << 14).astype(np.float32)
        sample[rng.choice(sample.size, 16, replace=False)] = rng.uniform(7, 8, 16)
        samples.append({"x": sample})
    net = Net()
    program = net.build(net.op("abs", net.input(1 << 14), name="y"))
    found = observe(program, ["x"], samples, 1 << 14, lambda _, feeds, __: feeds)["x"]
    everything = TensorStats.of(np.concatenate([s["x"] for s in samples]))
    assert found.values.size < 1 << 13 and found.count == 1 << 20
    assert estimate(found) == pytest.approx(estimate(everything), rel=0.03)


def error(values: np.ndarray, low: float, high: float) -> float:
    step = (high - low) / 255
    zero = round(-low / step)
    values = values.astype(np.float64)
    grid = np.clip(np.rint(values / step) + zero, 0, 255) - zero
    return float(np.mean((grid * step - values) ** 2))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 4))
def test_mse_is_never_worse_than_min_max(seed: int, power: float) -> None:
    values = np.random.default_rng(seed).normal(0, 1, 2000).astype(np.float32)
    values = np.sign(values) * np.abs(values) ** np.float32(power)
    found = TensorStats.of(values)
    assert error(values, *mean_squared_error(found)) <= error(values, *min_max(found)) * (1 + 1e-6)


@pytest.mark.parametrize("name", ["l3", "min-max", "percentile", "mse"])
def test_constants_and_zeros_give_a_range_that_holds_zero(name: str) -> None:
    for values in ([0.0], [0.0, 0.0], [3.0], [-3.0]):
        low, high = estimator(name)(stats(*values))
        assert low <= 0 <= high
        assert low >= min(0.0, min(values)) - 1e-6 and high <= max(0.0, max(values)) + 1e-6


def test_an_unknown_estimator_names_the_known_ones() -> None:
    with pytest.raises(UserError) as caught:
        estimator("kl")
    assert str(caught.value) == "unknown range estimator: got kl; allowed: l3, min-max, mse, percentile"
