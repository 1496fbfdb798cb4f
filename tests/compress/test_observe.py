"""Statistics of activations."""

from __future__ import annotations

import numpy as np
import pytest
from tests.reference.networks import Net, samples

from pocketpress.compress.quantize.observe import TensorStats, observe
from pocketpress.core.errors import DataError
from pocketpress.core.program import Program
from pocketpress.verify.reference import interpret


def network() -> Program:
    net = Net()
    return net.build(net.op("abs", net.input(1, 2, 3, 3), name="y"))


def run(feeds: list[dict[str, np.ndarray]]) -> dict[str, TensorStats]:
    return observe(network(), ["x", "y"], feeds, len(feeds), lambda p, f, n: interpret(p, f, keep=n))


def test_extremes_values_and_channel_means() -> None:
    feeds = samples(network(), 4)
    found = run(feeds)
    everything = np.stack([f["x"] for f in feeds])
    assert found["x"].low == everything.min() and found["x"].high == everything.max()
    assert found["y"].low == np.abs(everything).min()
    assert found["x"].values.size == everything.size
    mean = found["x"].channel_mean
    assert mean is not None
    np.testing.assert_allclose(mean, everything.mean(axis=(0, 1, 3, 4)), rtol=1e-5)


def test_what_is_kept_is_bounded() -> None:
    net = Net()
    program = net.build(net.op("abs", net.input(1, 1, 512, 512), name="y"))
    found = observe(program, ["y"], samples(program, 3), 3, lambda p, f, n: interpret(p, f, keep=n))
    assert found["y"].values.size <= 1 << 17


def test_no_samples_is_an_error() -> None:
    with pytest.raises(DataError, match="no calibration samples; give --data"):
        run([])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_activation_names_the_sample(bad: float) -> None:
    feeds = samples(network(), 3)
    feeds[1]["x"][0, 0, 1, 1] = bad
    with pytest.raises(DataError, match="x is NaN or infinite on calibration sample 1"):
        run(feeds)


def test_merged_statistics_cover_all_parts() -> None:
    merged = TensorStats.merged([TensorStats.of(np.asarray([1.0, 2.0])), TensorStats.of(np.asarray([-5.0]))])
    assert (merged.low, merged.high) == (-5.0, 2.0)
    assert merged.values.tolist() == [1.0, 2.0, -5.0]
