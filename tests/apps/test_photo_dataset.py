"""Calibration and evaluation sets from a folder of photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from apps.photo.dataset import (
    PIXELS,
    SHIPPED_PHOTOS,
    Samples,
    build,
    list_photos,
    random_part,
    shipped_pairs,
)


@pytest.fixture(scope="module")
def samples() -> Samples:
    return build(list_photos(SHIPPED_PHOTOS), 6, seed=1)


def test_same_seed_same_samples(samples: Samples) -> None:
    again = build(list_photos(SHIPPED_PHOTOS), 6, seed=1)
    assert np.array_equal(samples.x, again.x)
    assert np.array_equal(samples.y, again.y)
    assert not np.array_equal(samples.x, build(list_photos(SHIPPED_PHOTOS), 6, seed=2).x)


def test_file_has_the_documented_keys(samples: Samples, tmp_path: Path) -> None:
    samples.save(tmp_path / "made" / "eval.npz")
    with np.load(tmp_path / "made" / "eval.npz", allow_pickle=False) as saved:
        assert set(saved) == {"x", "y"}
        assert (saved["x"].shape, saved["x"].dtype) == ((6, 256, 256, 3), np.float32)
        assert (saved["y"].shape, saved["y"].dtype) == ((6, 2, PIXELS, 3), np.float32)
        for values in (saved["x"], saved["y"]):
            assert values.min() >= 0
            assert values.max() <= 1


def test_a_second_round_uses_other_parts(samples: Samples) -> None:
    assert samples.photos == 4
    assert np.abs(samples.x[0] - samples.x[4]).mean() > 0.02


def test_parts_are_rectangles_of_the_photo() -> None:
    photo = np.arange(40 * 50 * 3, dtype=np.int64).reshape(40, 50, 3).astype(np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(20):
        part = random_part(photo, rng, 0.5)
        assert part.shape[0] >= 20
        assert part.shape[1] >= 25
        step = part[0, 1].astype(int) - part[0, 0]
        assert set((step % 256).tolist()) in ({3}, {253})


def test_the_shipped_photos_are_shown_degraded() -> None:
    pairs = shipped_pairs()
    assert [name for name, _, _ in pairs] == ["astronaut", "chelsea", "coffee", "rocket"]
    for (_, clean, degraded), (_, _, again) in zip(pairs, shipped_pairs(), strict=True):
        assert clean.shape == degraded.shape
        assert np.array_equal(degraded, again)
        assert np.abs(clean.astype(int) - degraded).mean() > 5


def test_a_folder_without_photos_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no \.jpg or \.png photos there"):
        list_photos(tmp_path)
