"""The comparison as numbers and as a sentence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pocketpress.core.errors import DataError
from pocketpress.measure.accuracy import compare_scores, compare_whole
from pocketpress.measure.paired import IntArray, mcnemar, tango


def right_and_wrong(lost: int, won: int, both: int, neither: int) -> tuple[list[bool], list[bool]]:
    """Scores of the artifact and of the float network."""
    ours = [False] * lost + [True] * won + [True] * both + [False] * neither
    floats = [True] * lost + [False] * won + [True] * both + [False] * neither
    return ours, floats


def test_a_drop_within_the_noise_says_how_many_samples_would_tell() -> None:
    metric = compare_scores("top1", *right_and_wrong(12, 9, 785, 94), unit="share")
    assert metric.value == pytest.approx(794 / 900) and metric.float_value == pytest.approx(797 / 900)
    assert metric.drop == pytest.approx(3 / 900)
    assert metric.drop_ci95 == tango(12, 9, 900).interval
    assert metric.p_value == mcnemar(12, 9) and metric.test == "mcnemar-exact"
    assert metric.distinguishable is False
    # (21/900 - (3/900)^2) (1.960 + 0.842)^2 / (3/900)^2 = 16,475
    assert metric.samples_to_tell == 17_000
    assert metric.words == (
        "drop 0.3 points, between -0.7 and 1.4: not distinguishable from zero on 900 samples; "
        "17,000 samples would tell"
    )


def test_a_real_drop() -> None:
    metric = compare_scores("top1", *right_and_wrong(40, 5, 800, 55), unit="share")
    assert metric.distinguishable is True and metric.samples_to_tell is None
    assert metric.words == "drop 3.9 points, between 2.6 and 5.5: real, on 900 samples"


def test_a_gain_is_called_one() -> None:
    metric = compare_scores("top1", *right_and_wrong(9, 12, 785, 94), unit="share")
    assert metric.drop == pytest.approx(-3 / 900)
    assert metric.words is not None
    assert metric.words.startswith("gain 0.3 points, between -0.7 and 1.4: not distinguishable")


def test_an_end_near_zero_shows_on_which_side_it_lies() -> None:
    metric = compare_scores("top1", *right_and_wrong(2, 8, 793, 197), unit="share")
    assert metric.distinguishable is False and metric.drop_ci95 is not None
    assert 0 < metric.drop_ci95[1] < 0.0005
    assert metric.words is not None and metric.words.startswith(
        "gain 0.600 points, between -0.024 and 1.395: not"
    )


def test_equal_scores_are_not_called_proof_of_no_drop() -> None:
    metric = compare_scores("top1", *right_and_wrong(0, 0, 90, 10), unit="share")
    assert metric.words == ("drop 0.0 points, between -3.7 and 3.7: every one of 100 samples scores the same")
    assert metric.samples_to_tell is None


def test_smaller_is_better_turns_the_sign() -> None:
    rng = np.random.default_rng(0)
    floats = rng.uniform(1, 2, 50)
    metric = compare_scores("mse", floats + rng.normal(0.5, 0.1, 50), floats, larger_is_better=False)
    assert metric.drop is not None and metric.drop == pytest.approx(0.5, abs=0.05)
    assert metric.value > (metric.float_value or 0)
    assert metric.words is not None and metric.words.startswith("drop 0.5")


def test_real_values_are_paired() -> None:
    """A small loss on every sample is visible though the samples themselves differ a thousand times more."""
    rng = np.random.default_rng(1)
    floats = rng.normal(25, 10, 200)
    metric = compare_scores("psnr", floats - rng.normal(0.01, 0.01, 200), floats, unit="dB")
    assert metric.test == "paired-bootstrap" and metric.distinguishable is True
    assert metric.drop_ci95 is not None and 0 < metric.drop_ci95[0] < 0.01 < metric.drop_ci95[1] < 0.02


def f1(predicted: np.ndarray, actual: np.ndarray) -> float:
    hits = int((predicted & actual).sum())
    total = int(predicted.sum() + actual.sum())
    return 2 * hits / total if total else math.nan


def test_a_metric_of_the_whole_set() -> None:
    rng = np.random.default_rng(2)
    actual = rng.random(400) < 0.3
    floats = actual ^ (rng.random(400) < 0.05)
    ours = floats ^ (rng.random(400) < 0.05)

    def value_of(indices: IntArray) -> float:
        return f1(ours[indices], actual[indices])

    def float_value_of(indices: IntArray) -> float:
        return f1(floats[indices], actual[indices])

    metric = compare_whole("f1", value_of, float_value_of, 400, unit="share")
    assert metric.drop == pytest.approx(f1(floats, actual) - f1(ours, actual))
    assert metric.drop_ci95 is not None and metric.drop is not None
    assert metric.drop_ci95[0] < metric.drop < metric.drop_ci95[1]
    assert metric.distinguishable is True


def test_one_sample_has_no_interval() -> None:
    metric = compare_scores("psnr", [24.0], [25.0], unit="dB")
    assert metric.drop == 1.0 and metric.drop_ci95 is None
    assert metric.words == "drop 1.00 dB: too few samples (1) for an interval"


@pytest.mark.parametrize(
    ("ours", "floats", "message"),
    [
        ([1.0], [1.0, 2.0], "metric psnr: pairs do not match: got 1 and 2 samples"),
        ([], [], "metric psnr has no samples"),
        ([1.0, math.inf], [1.0, 1.0], "metric psnr is not a number on a sample: got inf on sample 1"),
        ([1.0, 1.0], [math.nan, 1.0], "metric psnr is not a number on a sample: got nan on sample 0"),
    ],
)
def test_scores_that_cannot_be_compared(ours: list[float], floats: list[float], message: str) -> None:
    with pytest.raises(DataError) as caught:
        compare_scores("psnr", ours, floats)
    assert str(caught.value).startswith(message)


def test_a_metric_undefined_on_the_whole_set() -> None:
    with pytest.raises(DataError, match="metric f1 is not a number on the whole set"):
        compare_whole("f1", lambda indices: math.nan, lambda indices: 1.0, 10)


def test_a_difference_of_rounding_is_called_that() -> None:
    rng = np.random.default_rng(0)
    floats = rng.uniform(0.9, 1, 8)
    metric = compare_scores("agreement", floats - rng.uniform(1e-13, 3e-13, 8), floats, unit="share")
    assert metric.words == "no more than float32 rounds, on 8 samples"
