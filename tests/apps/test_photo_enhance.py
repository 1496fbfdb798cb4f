"""The app around any network."""

from __future__ import annotations

import numpy as np
from apps.photo import lut
from apps.photo.enhance import enhance, enhance_with, load_tables, look, predict


def a_photo(height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(30, 200, (height, width, 3), dtype=np.uint8)


def test_zero_weights_apply_the_first_table_to_stretched_levels() -> None:
    photo = a_photo()
    tables = np.stack([1 - lut.identity_table(2), np.ones((2, 2, 2, 3), dtype=np.float32)])
    negative = enhance(photo, np.zeros((1, 1), dtype=np.float32), tables)
    positive = lut.apply(lut.identity_table(2), photo, look(photo).levels)
    assert np.abs(negative.astype(int) + positive - 255).max() <= 1


def test_network_input_is_stretched_to_the_whole_range() -> None:
    seen = look(a_photo())
    assert seen.network_input.shape == (1, 256, 256, 3)
    assert seen.network_input.dtype == np.float32
    np.testing.assert_array_equal(seen.network_input.min(axis=(0, 1, 2)), 0)
    np.testing.assert_array_equal(seen.network_input.max(axis=(0, 1, 2)), 1)


def test_functions_and_sessions_give_the_same_photo() -> None:
    weights = np.random.default_rng(1).standard_normal((1, len(load_tables()) - 1)).astype(np.float32)
    plain = enhance_with(a_photo(), lambda thumbnail: weights)
    named = enhance_with(a_photo(), lambda thumbnail: {"weights": weights})
    assert np.array_equal(plain, named)
    assert np.array_equal(plain, enhance(a_photo(), weights))


def test_the_network_sees_the_stretched_thumbnail_once() -> None:
    seen = []

    def spy(thumbnail: np.ndarray) -> np.ndarray:
        seen.append(thumbnail)
        return np.zeros((1, 3), dtype=np.float32)

    assert predict(a_photo(), spy).shape == (3,)
    assert len(seen) == 1
    assert np.array_equal(seen[0], look(a_photo()).network_input)


def test_any_size_keeps_its_shape() -> None:
    for shape in ((7, 300), (1, 1), (257, 255)):
        photo = a_photo(*shape)
        better = enhance(photo, np.zeros(len(load_tables()) - 1, dtype=np.float32))
        assert better.shape == photo.shape
        assert better.dtype == np.uint8
