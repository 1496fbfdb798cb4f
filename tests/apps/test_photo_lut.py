"""Colour tables: numbers worked out by hand, and properties of the interpolation."""

from __future__ import annotations

import numpy as np
import pytest
from apps.photo import lut
from apps.photo.levels import Levels
from hypothesis import given
from hypothesis import strategies as st


def table_of(values: list[float]) -> np.ndarray:
    """A 2 x 2 x 2 table with the same value in all channels; corners in the order of r, g, b bits."""
    return np.repeat(np.asarray(values, dtype=np.float32).reshape(2, 2, 2, 1), 3, axis=3)


def test_trilinear_by_hand() -> None:
    # Corners 000..111 hold 0, 1, ..., 7: the value at (r, g, b) is 4 r + 2 g + b.
    found = lut.look_up(table_of([0, 1, 2, 3, 4, 5, 6, 7]), np.array([[0.25, 0.5, 0.75]], dtype=np.float32))
    assert found.tolist() == [[2.75, 2.75, 2.75]]


def test_one_corner_weighs_the_product_of_its_shares() -> None:
    # Only corner (1, 0, 1) is 1: its share at (0.5, 0.25, 0.5) is 0.5 * 0.75 * 0.5.
    found = lut.look_up(table_of([0, 0, 0, 0, 0, 1, 0, 0]), np.array([[0.5, 0.25, 0.5]], dtype=np.float32))
    assert found[0, 0] == pytest.approx(0.1875)


def test_inside_the_second_cell_of_a_finer_table() -> None:
    table = np.zeros((3, 3, 3, 3), dtype=np.float32)
    table[2, 1, 1] = (1.0, 0.5, 0.0)
    # Red 0.75 is half-way between grid points 1 and 2; green and blue 0.5 are on grid point 1.
    found = lut.look_up(table, np.array([[0.75, 0.5, 0.5]], dtype=np.float32))
    assert found.tolist() == [[0.5, 0.25, 0.0]]


@pytest.mark.parametrize("size", [2, 3, 13, 17])
def test_identity_returns_the_photo(size: int) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (19, 23, 3), dtype=np.uint8)
    assert np.array_equal(lut.apply(lut.identity_table(size), photo), photo)


def test_apply_gives_the_same_bytes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    photo = rng.integers(0, 256, (16, 9, 3), dtype=np.uint8)
    table = rng.random((5, 5, 5, 3), dtype=np.float32)
    whole = lut.apply(table, photo)
    monkeypatch.setattr(lut, "_PIXELS_AT_ONCE", 7)
    assert np.array_equal(lut.apply(table, photo), whole)


def test_apply_stretches_levels_first() -> None:
    levels = Levels(np.full(3, 51 / 255, dtype=np.float32), np.full(3, 102 / 255, dtype=np.float32))
    photo = np.array([[[0, 51, 102], [153, 204, 255]]], dtype=np.uint8)
    # (0 - 51) / 102 is cut to 0; (102 - 51) / 102 * 255 = 127.5 rounds to the even 128.
    assert lut.apply(lut.identity_table(2), photo, levels).tolist() == [[[0, 0, 128], [255, 255, 255]]]


def test_blend_adds_weighted_offsets_to_the_first_table() -> None:
    tables = np.stack([lut.identity_table(2), np.full((2, 2, 2, 3), 0.1), np.full((2, 2, 2, 3), -0.3)])
    mixed = lut.blend(tables.astype(np.float32), np.array([2.0, 1.0], dtype=np.float32))
    np.testing.assert_allclose(mixed, lut.identity_table(2) - 0.1, atol=1e-7)


def test_blend_refuses_another_number_of_weights() -> None:
    with pytest.raises(ValueError, match=r"weights: got shape \(3,\), the tables need \(2,\)"):
        lut.blend(np.zeros((3, 2, 2, 2, 3), dtype=np.float32), np.zeros(3, dtype=np.float32))


def test_values_outside_the_range_are_cut() -> None:
    photo = np.full((1, 1, 3), 200, dtype=np.uint8)
    assert lut.apply(lut.identity_table(2) + 1, photo).tolist() == [[[255, 255, 255]]]
    assert lut.apply(lut.identity_table(2) - 1, photo).tolist() == [[[0, 0, 0]]]


@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_interpolation_stays_between_the_corners(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.random((size, size, size, 3), dtype=np.float32)
    found = lut.look_up(table, rng.random((50, 3), dtype=np.float32))
    assert found.min() >= table.min() - 1e-6
    assert found.max() <= table.max() + 1e-6
