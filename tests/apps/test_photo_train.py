"""The training recipe agrees with the app, and a few steps of it repeat exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from apps.photo import lut
from apps.photo.dataset import SHIPPED_PHOTOS, list_photos, read_photo
from apps.photo.degrade import STANDARD_ERRORS
from apps.photo.tables import principal_tables
from apps.photo.train import Recipe, Trainer, draw_batch, look_up

PHOTOS = [read_photo(path) for path in list_photos(SHIPPED_PHOTOS)]
TINY = replace(
    Recipe(),
    steps=4,
    full_size_steps=1,
    batch=2,
    loss_pixels=64,
    small_pixels=64,
    table_draws=40,
    table_size=5,
)


def test_torch_look_up_is_the_apps() -> None:
    rng = np.random.default_rng(0)
    tables = rng.random((4, 5, 5, 5, 3), dtype=np.float32)
    weights = rng.standard_normal((2, 3)).astype(np.float32)
    colours = rng.random((2, 100, 3), dtype=np.float32)
    found = look_up(*(torch.from_numpy(values) for values in (tables, weights, colours))).numpy()
    for sample in range(2):
        wanted = lut.look_up(lut.blend(tables, weights[sample]), colours[sample])
        np.testing.assert_allclose(found[sample], wanted, atol=2e-5)


def test_principal_tables_have_coefficients_of_variance_one() -> None:
    tables = principal_tables(PHOTOS, STANDARD_ERRORS, 6, 5, 60, 0).reshape(7, -1)
    gram = tables[1:] @ tables[1:].T
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-3 * gram.max()
    assert (np.diff(np.diag(gram)) <= 0).all()


def test_batches_are_in_range_and_reproducible() -> None:
    one, other = (draw_batch(PHOTOS, TINY, 64, np.random.default_rng(3)) for _ in range(2))
    assert one.thumbnails.shape == (2, 3, 64, 64)
    assert one.stretched.shape == one.clean.shape == (2, 64, 3)
    for first, second in zip(vars(one).values(), vars(other).values(), strict=True):
        assert torch.equal(first, second)
        assert 0 <= float(first.min()) <= float(first.max()) <= 1


def test_a_few_steps_change_the_weights_and_repeat(tmp_path: Path) -> None:
    for name in ("a", "b"):
        trainer = Trainer(TINY, PHOTOS, backbone=None)
        start = {key: value.clone() for key, value in trainer.kept.state_dict().items()}
        for index in range(TINY.steps):
            assert np.isfinite(trainer.step(index))
        changed = [k for k, v in trainer.kept.state_dict().items() if not torch.equal(v, start[k])]
        assert "head.2.weight" in changed
        assert "features.0.weight" in changed
        trainer.save(tmp_path / name)
    one, other = ((tmp_path / name / "encoder.safetensors").read_bytes() for name in ("a", "b"))
    assert one == other
