"""Train the encoder and the colour tables: `python -m apps.photo.train --photos DIR --val DIR --out DIR`.

One step draws photos, cuts a random part of each, degrades it with a random error, shows the encoder its
thumbnail, with stretched levels, blends the tables with the predicted weights, and compares the result with
the undamaged photo on random pixels. The loss is the logarithm of each photo's mean squared error, which is
its PSNR in other units. Most steps use 128-pixel thumbnails, the last ones the real 256 pixels. With the
same seed, thread count and library versions the result is the same.
"""

from __future__ import annotations

import argparse
import copy
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from apps.photo.backbone import start_from
from apps.photo.dataset import list_photos, random_part, read_photo
from apps.photo.degrade import STANDARD_ERRORS, degrade_values
from apps.photo.levels import Levels
from apps.photo.network import MOBILENET, TABLES, PhotoEncoder
from apps.photo.tables import principal_tables
from apps.photo.thumbnail import THUMBNAIL_PIXELS
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, besides the photos and the pretrained backbone."""

    seed: int = 0
    table_size: int = 13
    """Grid points per axis of the colour tables."""
    table_draws: int = 1500
    """Random errors whose exact inverses give the start tables."""
    steps: int = 2500
    full_size_steps: int = 500
    """The last steps, on 256-pixel thumbnails; the others use `small_pixels`."""
    small_pixels: int = 128
    batch: int = 32
    loss_pixels: int = 1024
    """Random pixels per photo on which the loss is measured."""
    least_part: float = 0.4
    """Smallest height and width of the random part, as a share of the photo's."""
    pairs: float = 0.5
    """Share of the samples that show two photos side by side."""
    dropout: float = 0.3
    """Share of the pooled features that a step hides; the network itself has no dropout layer."""
    learning_rate: float = 2e-3
    table_learning_rate: float = 5e-4
    weight_decay: float = 0.05
    average: float = 0.995
    """Decay of the running average of the weights, which is what is kept."""
    loss_floor: float = 3e-4
    """Added to the squared error before the logarithm: 35 dB is good enough."""


@dataclass(frozen=True)
class Batch:
    """Network inputs (N, 3, S, S); pixels with stretched levels and undamaged, (N, P, 3); all in [0, 1]."""

    thumbnails: Tensor
    stretched: Tensor
    clean: Tensor


def _to_bytes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round to 8 bits, staying in [0, 1]."""
    rounded: NDArray[np.float32] = np.rint(values * np.float32(255)) / np.float32(255)
    return rounded


def draw_scene(
    photos: list[NDArray[np.uint8]], recipe: Recipe, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A random part of a photo, or of two side by side: so few photos would else be learned by heart."""
    part = random_part(photos[rng.integers(len(photos))], rng, recipe.least_part)
    if rng.random() >= recipe.pairs:
        return part
    other = random_part(photos[rng.integers(len(photos))], rng, recipe.least_part)
    height, share = min(len(part), len(other)), rng.uniform(0.25, 0.75)
    left, right = part[:height, : int(share * part.shape[1])], other[:height, int(share * other.shape[1]) :]
    return np.concatenate([left, right], axis=1)


def draw_batch(
    photos: list[NDArray[np.uint8]], recipe: Recipe, pixels: int, rng: np.random.Generator
) -> Batch:
    """Draw random scenes with random errors."""
    thumbnails, stretched_pixels, clean = [], [], []
    for _ in range(recipe.batch):
        part = draw_scene(photos, recipe, rng)
        small = np.asarray(Image.fromarray(part).resize((pixels, pixels), Image.Resampling.BOX))
        chosen = part.reshape(-1, 3)[rng.integers(part.shape[0] * part.shape[1], size=recipe.loss_pixels)]
        both = np.concatenate([small.reshape(-1, 3), chosen]).astype(np.float32) / np.float32(255)
        damaged = _to_bytes(degrade_values(both, STANDARD_ERRORS.draw(rng)))
        thumbnail = damaged[: pixels * pixels].reshape(pixels, pixels, 3).transpose(2, 0, 1)
        stretched = Levels.of(thumbnail[None]).stretch(damaged)
        thumbnails.append(stretched[: pixels * pixels].reshape(pixels, pixels, 3).transpose(2, 0, 1))
        stretched_pixels.append(stretched[pixels * pixels :])
        clean.append(both[pixels * pixels :])
    return Batch(*(torch.from_numpy(np.stack(parts)) for parts in (thumbnails, stretched_pixels, clean)))


def look_up(tables: Tensor, weights: Tensor, colours: Tensor) -> Tensor:
    """`lut` in torch: blend tables (K + 1, D, D, D, 3) by weights (N, K), look up colours (N, P, 3)."""
    blended = tables[0] + torch.einsum("nk,krgbc->nrgbc", weights, tables[1:])
    volume = blended.permute(0, 4, 1, 2, 3)
    grid = colours.flip(-1)[:, None, None] * 2 - 1
    found = nn.functional.grid_sample(volume, grid, align_corners=True)
    return found[:, :, 0, 0].transpose(1, 2)


def mean_squared_errors(network: PhotoEncoder, tables: Tensor, batch: Batch, dropout: float = 0.0) -> Tensor:
    """The squared error of each photo after enhancement, shape (N,)."""
    pooled = torch.flatten(network.pool(network.features(batch.thumbnails)), 1)
    weights = network.head(nn.functional.dropout(pooled, dropout))
    enhanced = look_up(tables, weights, batch.stretched)
    return (enhanced - batch.clean).square().mean(dim=(1, 2))


@torch.no_grad()
def validate(network: PhotoEncoder, tables: Tensor, batches: list[Batch]) -> tuple[float, float]:
    """Mean PSNR in dB with stretched levels only, and after enhancement."""
    network.eval()
    before = torch.cat([(batch.stretched - batch.clean).square().mean(dim=(1, 2)) for batch in batches])
    after = torch.cat([mean_squared_errors(network, tables, batch) for batch in batches])
    return float(-10 * before.log10().mean()), float(-10 * after.log10().mean())


class Trainer:
    """The state of one training run: network, tables, optimiser and the running averages that are kept."""

    def __init__(self, recipe: Recipe, photos: list[NDArray[np.uint8]], backbone: Path | None) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.photos = recipe, photos
        self.rng = np.random.default_rng(recipe.seed)
        self.network = PhotoEncoder(layout=MOBILENET)
        start = principal_tables(
            photos, STANDARD_ERRORS, TABLES, recipe.table_size, recipe.table_draws, recipe.seed
        )
        self.tables = nn.Parameter(torch.from_numpy(start))
        if backbone is not None:
            start_from(
                self.network, backbone, draw_batch(photos, recipe, THUMBNAIL_PIXELS, self.rng).thumbnails
            )
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

    def step(self, index: int) -> float:
        """One step; returns the mean PSNR of the batch in dB."""
        full = index >= self.recipe.steps - self.recipe.full_size_steps
        pixels = THUMBNAIL_PIXELS if full else self.recipe.small_pixels
        self.network.train()
        batch = draw_batch(self.photos, self.recipe, pixels, self.rng)
        errors = mean_squared_errors(self.network, self.tables, batch, self.recipe.dropout)
        loss = (errors + self.recipe.loss_floor).log().mean()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.schedule.step()
        self._average()
        return float(-10 * errors.detach().log10().mean())

    @torch.no_grad()
    def _average(self) -> None:
        """Move the kept weights a little towards the present ones."""
        share = 1 - self.recipe.average
        for kept, now in zip(
            self.kept.state_dict().values(), self.network.state_dict().values(), strict=True
        ):
            if kept.dtype.is_floating_point:
                kept.lerp_(now, share)
        self.kept_tables.lerp_(self.tables, share)

    def save(self, folder: Path) -> None:
        """Write encoder.safetensors and tables.npz, both float16."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            name: value.half() for name, value in self.kept.state_dict().items() if value.is_floating_point()
        }
        save_file(state, folder / "encoder.safetensors")
        np.savez_compressed(folder / "tables.npz", tables=self.kept_tables.numpy().astype(np.float16))


def train(recipe: Recipe, photos: Path, val: Path, backbone: Path | None, out: Path) -> float:
    """Run the recipe, print progress, save the result; returns the mean PSNR on `val` in dB."""
    trainer = Trainer(recipe, [read_photo(path) for path in list_photos(photos)], backbone)
    val_recipe = replace(recipe, pairs=0.0)
    val_rng, val_photos = np.random.default_rng(1), [read_photo(path) for path in list_photos(val)]
    held_out = [draw_batch(val_photos, val_recipe, THUMBNAIL_PIXELS, val_rng) for _ in range(6)]
    started, after = time.monotonic(), 0.0
    recent: list[float] = []
    for index in range(recipe.steps):
        recent.append(trainer.step(index))
        if (index + 1) % 100 == 0:
            line = f"step {index + 1}/{recipe.steps}  train {np.mean(recent):.2f} dB"
            recent.clear()
            if (index + 1) % 500 == 0 or index + 1 == recipe.steps:
                before, after = validate(trainer.kept, trainer.kept_tables, held_out)
                line += f"  val {before:.2f} -> {after:.2f} dB"
                trainer.save(out)
            print(f"{line}  {time.monotonic() - started:.0f} s", flush=True)
    return after


def main() -> None:
    """Parse the arguments and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="folder of undamaged training photos")
    parser.add_argument("--val", type=Path, required=True, help="folder of photos to watch progress on")
    parser.add_argument(
        "--backbone", type=Path, help="TFLite MobileNetV1 0.25 to start from; else from random weights"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for encoder.safetensors and tables.npz"
    )
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--full-size-steps", type=int, default=Recipe.full_size_steps)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    recipe = Recipe(seed=given.seed, steps=given.steps, full_size_steps=given.full_size_steps)
    train(recipe, given.photos, given.val, given.backbone, given.out)


if __name__ == "__main__":
    main()
