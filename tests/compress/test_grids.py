"""Scales that keep every result away from a rounding tie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pocketpress.compress.quantize import grids

numerator = st.integers(1, 4 * 127)
point = st.integers(-128, 127)
multiplier = st.floats(1e-5, 50, allow_nan=False)


@settings(max_examples=40, deadline=None)
@given(numerator, numerator, point, point, st.floats(1e-6, 1e4))
def test_sums_of_a_127th_stay_clear_of_ties(p: int, r: int, za: int, zb: int, scale: float) -> None:
    """1/254 in exact arithmetic; float32 scales may eat a little of it, never more than 1e-3."""
    out = np.float32(scale)
    a, b = np.float32(out * np.float32(p / 127)), np.float32(out * np.float32(r / 127))
    distance = grids.sum_distance(float(a) / float(out), za, float(b) / float(out), zb)
    assert distance >= 1 / 254 - 1e-3


def test_an_even_denominator_would_not_do() -> None:
    assert grids.sum_distance(1 / 128, 0, 1 / 128, 0) == 0.0
    assert grids.sum_distance(0.5, 0, 0.5, 0) == 0.0
    assert grids.sum_distance(1.0, 0, 1.0, 0) == 0.5


@settings(max_examples=40, deadline=None)
@given(multiplier, point, point)
def test_products_stay_clear_of_ties(wanted: float, za: int, zb: int) -> None:
    p, m = grids.multiplier_at_most(wanted)
    exact = grids.product_distance(p / m, za, zb)
    # products reach 255 * 255: in double precision p/m is good to 1e-11 there
    assert exact >= 1 / (2 * m) - 1e-9


@settings(max_examples=300)
@given(multiplier)
def test_multiplier_at_most_bounds_and_is_odd(wanted: float) -> None:
    p, m = grids.multiplier_at_most(wanted)
    assert p >= 1 and m % 2 == 1
    assert p / m <= wanted * (1 + 1e-6)
    assert p / m >= wanted * 0.98 or m > grids.LARGEST_ODD or p == 1


@settings(max_examples=300)
@given(multiplier)
def test_multiplier_at_least_bounds_and_is_odd(wanted: float) -> None:
    p, m = grids.multiplier_at_least(wanted)
    assert p >= 1 and m % 2 == 1
    assert p / m >= wanted * (1 - 1e-6)
    assert p / m <= wanted * 1.02 or p == 1


@settings(max_examples=200)
@given(st.integers(1, 400), st.integers(62, 255).map(lambda n: 2 * n + 1))
def test_a_fraction_that_is_already_odd_is_met_exactly(p: int, m: int) -> None:
    for found in (grids.multiplier_at_most(p / m), grids.multiplier_at_least(p / m)):
        assert abs(found[0] / found[1] - p / m) <= 1e-9 * max(1, p / m)


@pytest.mark.parametrize(("ratio", "least", "most"), [(1.0, 127, 127), (0.5, 64, 63), (1e-9, 1, 1)])
def test_numerators(ratio: float, least: int, most: int) -> None:
    assert grids.numerator_at_least(ratio) == least
    assert grids.numerator_at_most(ratio) == most


@settings(max_examples=200)
@given(st.floats(1e-3, 100))
def test_numerators_bound_the_ratio(ratio: float) -> None:
    assume(ratio * 127 >= 1)
    assert grids.numerator_at_most(ratio) / 127 <= ratio * (1 + 2e-6)
    assert grids.numerator_at_least(ratio) / 127 >= ratio * (1 - 2e-6)


def test_tie_distance_by_hand() -> None:
    assert grids.tie_distance(np.asarray([0.0, 1.0, -3.0])) == 0.5
    assert grids.tie_distance(np.asarray([0.1, 2.4])) == pytest.approx(0.1)
    assert grids.tie_distance(np.asarray([-1.5])) == 0.0
    assert grids.tie_distance(np.zeros(0)) == 0.5
