"""Agreement of outputs, on numbers worked out by hand."""

import numpy as np
import pytest
from benchmarks.agreement import Pair, equal_share, fidelity, grid_step, pairs, same_argmax

GRID = np.asarray([[0.0, 0.5, 1.0], [1.5, 0.5, -0.5]], np.float32)


def test_grid_step_is_the_smallest_gap() -> None:
    assert grid_step(GRID) == 0.5


def test_grid_step_ignores_float_rounding_of_one_value() -> None:
    jittered = np.concatenate([GRID, GRID * np.float32(1 + 1e-7)])
    assert grid_step(jittered) == pytest.approx(0.5, rel=1e-5)


def test_grid_step_of_a_constant_is_zero() -> None:
    assert grid_step(np.ones((2, 3), np.float32)) == 0.0


def test_equal_share_counts_elements_on_the_same_grid_point() -> None:
    other = GRID.copy()
    other[0, 0] += 0.5
    assert equal_share(GRID, GRID) == 1.0
    assert equal_share(GRID, other) == pytest.approx(5 / 6)


def test_equal_share_takes_half_of_the_coarser_step() -> None:
    fine = np.asarray([[0.0, 0.125, 0.25], [0.375, 0.5, 0.625]], np.float32)
    coarse = np.asarray([[0.0, 0.0, 0.5], [0.5, 0.5, 1.0]], np.float32)
    assert equal_share(fine, coarse) == pytest.approx(4 / 6)


def test_fidelity_of_a_known_error() -> None:
    floats = np.asarray([[3.0, 4.0], [4.0, 3.0]], np.float32)
    got = floats + np.asarray([[0.5, 0.0], [0.0, 0.5]], np.float32)
    found = fidelity(got, floats)
    assert found.sqnr_db == pytest.approx(20.0)
    assert found.sqnr_median_db == pytest.approx(20.0)
    assert found.argmax_agreement == 1.0


def test_pairs_compares_every_two() -> None:
    found = pairs({"a": GRID, "b": GRID, "c": -GRID})
    assert [(p.first, p.second) for p in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found[0] == Pair("a", "b", 1.0, 1.0)
    assert found[1].equal == pytest.approx(1 / 6)


def test_same_argmax_by_row() -> None:
    assert same_argmax(GRID, np.asarray([[0, 0, 1], [0, 1, 0]], np.float32)) == 0.5
