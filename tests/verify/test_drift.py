"""How an error develops over the steps, by numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np

from pocketpress.verify.drift import drift


def sequence(values: list[float]) -> dict[str, np.ndarray]:
    return {"y": np.asarray(values, np.float32).reshape(-1, 1, 1)}


def test_an_error_of_a_tenth_is_20_db_everywhere() -> None:
    floats = [sequence([1.0] * 16)]
    got = [sequence([1.1] * 16)]
    found = drift(got, got, floats)
    assert (found.sequences, found.steps, len(found.segments)) == (1, 16, 8)
    assert [(s.first, s.last) for s in found.segments] == [(2 * i, 2 * i + 1) for i in range(8)]
    np.testing.assert_allclose([s.sqnr_float_db for s in found.segments], 20, atol=1e-4)
    assert all(s.sqnr_reference_db == float("inf") for s in found.segments)
    assert abs(found.growth_db or 0) < 1e-3
    assert not found.grows


def test_an_error_that_doubles_between_the_quarters_grows_by_6_db() -> None:
    floats = [sequence([1.0] * 16)]
    got = [sequence([1.0] * 4 + [1.01] * 4 + [1.0] * 4 + [1.02] * 4)]
    found = drift(got, floats, floats)
    np.testing.assert_allclose(found.growth_db or 0, 20 * np.log10(2), atol=1e-3)
    assert found.grows
    assert found.segments[-1].sqnr_reference_db == found.segments[-1].sqnr_float_db


def test_float_rounding_that_grows_is_no_ones_loss() -> None:
    floats = [sequence([1.0] * 16)]
    got = [sequence([1.0] * 8 + [1.0 + 2.0**-20] * 8)]
    found = drift(got, got, floats)
    assert found.growth_db is not None and found.growth_db > 100
    assert not found.grows


def test_short_and_unequal_sequences() -> None:
    floats = [sequence([1.0, 1.0]), sequence([1.0, 1.0, 1.0])]
    got = [sequence([1.0, 1.1]), sequence([1.0, 1.0, 1.1])]
    found = drift(got, got, floats)
    assert (found.steps, found.growth_db, found.grows) == (3, None, False)
    np.testing.assert_allclose(found.segments[1].sqnr_float_db, 20 + 10 * np.log10(2), atol=1e-3)
    np.testing.assert_allclose(found.segments[2].sqnr_float_db, 20, atol=1e-3)


def test_a_wreck_stays_a_number() -> None:
    floats = [sequence([1.0] * 8)]
    found = drift([sequence([1.0] * 7 + [float("nan")])], floats, floats)
    assert np.isfinite(found.segments[-1].sqnr_float_db)
    assert found.grows
