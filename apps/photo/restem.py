"""Second stage of training: put the patch stem in place of the first layers, then fine-tune everything.

    python -m apps.photo.restem --photos train --val val --start first-stage --out apps/photo/weights

The stem is first taught, alone, to answer what the layers it replaces answered; then the whole network and
the tables are trained on as in `train.py`, at a lower rate.
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from apps.photo.dataset import list_photos, read_photo
from apps.photo.network import MOBILENET, PhotoEncoder
from apps.photo.thumbnail import THUMBNAIL_PIXELS
from apps.photo.train import Batch, Recipe, Trainer, draw_batch, validate
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

RECIPE = replace(
    Recipe(), steps=1200, full_size_steps=350, learning_rate=1.2e-3, table_learning_rate=3e-4, seed=1
)
STEM_STEPS = 250
STEM_RATE = 2e-2
STEM_BATCH = 8
_STEM_LAYERS = 3
_REPLACED_LAYERS = 15
"""Layers of the first stage's `features` (convolution, batch-norm and ReLU6 each) that the stem replaces."""


class SecondStage(Trainer):
    """A trainer that starts from the files of the first stage."""

    def __init__(self, recipe: Recipe, photos: list[NDArray[np.uint8]], start: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.photos = recipe, photos
        self.rng = np.random.default_rng(recipe.seed)
        first = PhotoEncoder(layout=MOBILENET)
        state = {name: value.float() for name, value in load_file(start / "encoder.safetensors").items()}
        first.load_state_dict(state, strict=False)
        self.network = behind_patches(first.eval())
        self._teach_stem(first.features[:_REPLACED_LAYERS])
        with np.load(start / "tables.npz", allow_pickle=False) as saved:
            self.tables = nn.Parameter(torch.from_numpy(saved["tables"].astype(np.float32)))
        self.kept, self.kept_tables = copy.deepcopy(self.network), self.tables.detach().clone()
        self.optimiser = torch.optim.AdamW(
            [
                {"params": list(self.network.parameters()), "weight_decay": recipe.weight_decay},
                {"params": [self.tables], "weight_decay": 0.0},
            ]
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser,
            max_lr=[recipe.learning_rate, recipe.table_learning_rate],
            total_steps=recipe.steps,
            pct_start=0.15,
        )

    def _teach_stem(self, front: nn.Module) -> None:
        """Least squares between the stem's answers and those of the layers it replaces."""
        stem = self.network.features[:_STEM_LAYERS].train()
        recipe = replace(self.recipe, batch=STEM_BATCH, loss_pixels=16)
        optimiser = torch.optim.Adam(stem.parameters(), STEM_RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, STEM_RATE, total_steps=STEM_STEPS)
        for _ in range(STEM_STEPS):
            images = draw_batch(self.photos, recipe, recipe.small_pixels, self.rng).thumbnails
            with torch.no_grad():
                wanted = front(images)
            loss = (stem(images) - wanted).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


def behind_patches(first: PhotoEncoder) -> PhotoEncoder:
    """The shipped layout with every layer of the first stage that it keeps; the stem is random."""
    network = PhotoEncoder()
    old, new = first.state_dict(), network.state_dict()
    for name in new:
        source = name
        if name.startswith("features."):
            _, index, rest = name.split(".", 2)
            if int(index) < _STEM_LAYERS:
                continue
            source = f"features.{int(index) - _STEM_LAYERS + _REPLACED_LAYERS}.{rest}"
        new[name] = old[source]
    network.load_state_dict(new)
    return network


def held_out(photos: Path, recipe: Recipe) -> list[Batch]:
    """Fixed batches of validation photos."""
    rng, chosen = np.random.default_rng(1), [read_photo(path) for path in list_photos(photos)]
    plain = replace(recipe, pairs=0.0)
    return [draw_batch(chosen, plain, THUMBNAIL_PIXELS, rng) for _ in range(6)]


def main() -> None:
    """Parse the arguments and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="folder of undamaged training photos")
    parser.add_argument("--val", type=Path, required=True, help="folder of photos to watch progress on")
    parser.add_argument("--start", type=Path, required=True, help="folder that train.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for encoder.safetensors, tables.npz")
    parser.add_argument("--steps", type=int, default=RECIPE.steps)
    given = parser.parse_args()
    torch.set_num_threads(1)
    recipe = replace(RECIPE, steps=given.steps)
    trainer = SecondStage(recipe, [read_photo(path) for path in list_photos(given.photos)], given.start)
    watched = held_out(given.val, recipe)
    for index in range(recipe.steps):
        gain = trainer.step(index)
        if (index + 1) % 200 == 0 or index + 1 == recipe.steps:
            before, after = validate(trainer.kept, trainer.kept_tables, watched)
            print(f"step {index + 1}  train {gain:.2f} dB  val {before:.2f} -> {after:.2f} dB", flush=True)
            trainer.save(given.out)


if __name__ == "__main__":
    main()
