"""The training recipe: augmentation by hand, intervals, and that it learns what can be learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from examples.cifar.data import Split
from examples.cifar.train import Accuracy, Recipe, augment, train


def test_augmentation_only_crops_and_mirrors() -> None:
    padded = torch.arange(3 * 6 * 6, dtype=torch.uint8).reshape(1, 3, 6, 6)
    crops = augment(padded, torch.zeros(64, dtype=torch.long), 4, torch.Generator().manual_seed(0)) * 255
    allowed = [
        crop.float()
        for top in range(3)
        for left in range(3)
        for crop in (
            padded[0, :, top : top + 4, left : left + 4],
            padded[0, :, top : top + 4, left : left + 4].flip(-1),
        )
    ]
    seen = {
        next(i for i, crop in enumerate(allowed) if torch.allclose(crop, image, atol=1e-3)) for image in crops
    }
    assert len(seen) > 12


def test_wilson_interval_by_hand() -> None:
    # 8 of 10: centre (0.8 + 1.92 / 10) / 1.384, half width 1.96 * sqrt(0.016 + 0.0096) / 1.384.
    accuracy = Accuracy.of(8, 10)
    assert accuracy.low == pytest.approx(0.4902, abs=2e-4)
    assert accuracy.high == pytest.approx(0.9433, abs=2e-4)


@pytest.mark.slow
def test_a_network_learns_colours_and_the_run_repeats(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 256)
    images = rng.integers(0, 60, (256, 3, 32, 32), dtype=np.uint8)
    images[np.arange(256), labels] += 180
    split = Split(images, labels)
    recipe = Recipe(epochs=2, batch=32, learning_rate=0.02)
    accuracy = train("resnet8", split, split, recipe, tmp_path / "a")
    assert accuracy.share > 0.9
    train("resnet8", split, split, recipe, tmp_path / "b")
    assert (tmp_path / "a/resnet8.safetensors").read_bytes() == (
        tmp_path / "b/resnet8.safetensors"
    ).read_bytes()


def test_a_split_with_too_few_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="got 2 images and 1 labels"):
        Split(np.zeros((2, 3, 32, 32), np.uint8), np.zeros(1, np.int64))


def test_drawn_samples_are_saved_in_real_values(tmp_path: Path) -> None:
    split = Split(np.full((9, 3, 32, 32), 51, np.uint8), np.arange(9))
    split.draw(4, seed=1).save(tmp_path / "some.npz")
    with np.load(tmp_path / "some.npz") as saved:
        assert saved["x"].shape == (4, 3, 32, 32)
        assert saved["x"].dtype == np.float32
        np.testing.assert_allclose(saved["x"], 0.2, rtol=1e-6)
        assert len(set(saved["y"].tolist())) == 4
