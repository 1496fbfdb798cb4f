"""Train the keyword network on one core: `python -m examples.keywords.train --parquet P --out DIR`.

Adam with a one-cycle learning rate and label smoothing.  Every recording is heard at five speeds, anywhere
within the second, louder or softer, with a run of frames and of bands left out (Park et al., SpecAugment,
arXiv:1904.08779).  After training the weights are rounded to float16, saved, loaded again, and measured on
the test recordings, which are used for nothing else.  Same seed, thread count and library versions: same
result.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from examples.cifar.train import Accuracy
from examples.keywords.data import Recordings, read_recordings
from examples.keywords.features import BANDS, FRAMES, HOP, SAMPLES, WINDOW, Array, log_mel
from examples.keywords.networks import Keywords, load
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

LEAD = 25
"""Frames of silence before and behind a recording, from which the second is cut anywhere."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, besides network and data."""

    epochs: int = 60
    batch: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 1e-3
    label_smoothing: float = 0.1
    speeds: tuple[float, ...] = (0.8, 0.9, 1.0, 1.1, 1.2)
    loudness: float = 0.35
    """Standard deviation of what is added to all features of a recording: 0.25 is a factor e of power."""
    noise: float = 0.05
    """Standard deviation of what is added to each feature."""
    masked_frames: int = 8
    masked_bands: int = 8
    """The longest run of frames and of bands that is left out."""
    seed: int = 0


def at_speed(sound: Array, speed: float) -> Array:
    """The recording played faster: shorter, and higher in pitch."""
    places = np.arange(0, len(sound) - 1, speed)
    return np.interp(places, np.arange(len(sound)), sound).astype(np.float32)


def with_silence(sound: Array) -> Array:
    """Features of a recording with silence around it, the same number of frames for all."""
    samples = WINDOW + (2 * LEAD + FRAMES - 1) * HOP
    middle = sound[max(0, (len(sound) - SAMPLES) // 2) :][:SAMPLES]
    placed = np.zeros(samples, np.float32)
    start = (samples - len(middle)) // 2
    placed[start : start + len(middle)] = middle
    return log_mel(placed)


def placements(sound: Array) -> tuple[int, int]:
    """First and last frame at which a second may start that holds the recording, or its middle."""
    frames = min(FRAMES, -(-len(sound) // HOP))
    slack = (FRAMES - frames) // 2
    return LEAD - slack, LEAD + slack


def augment(features: Tensor, recipe: Recipe, random: np.random.Generator) -> Tensor:
    """Louder or softer, noisier, with a run of frames and of bands at the value of silence; (B, 49, 40)."""
    count, silence = len(features), features.amin()
    louder = torch.from_numpy(random.normal(0, recipe.loudness, (count, 1, 1)).astype(np.float32))
    noise = torch.from_numpy(random.normal(0, recipe.noise, features.shape).astype(np.float32))
    changed = torch.clamp(features + louder + noise, min=float(silence))
    hidden = _runs(count, FRAMES, recipe.masked_frames, random)[:, :, None]
    hidden = hidden | _runs(count, BANDS, recipe.masked_bands, random)[:, None, :]
    return torch.where(torch.from_numpy(hidden), silence, changed)


def _runs(count: int, size: int, longest: int, random: np.random.Generator) -> NDArray[np.bool_]:
    starts = random.integers(0, size, (count, 1))
    lengths = random.integers(0, longest + 1, (count, 1))
    places = np.arange(size)
    return (places >= starts) & (places < starts + lengths)


def fit(network: Keywords, recordings: Recordings, recipe: Recipe) -> None:
    """Train in place, printing a line every ten epochs."""
    random = np.random.default_rng(recipe.seed)
    played = [[at_speed(sound, speed) for speed in recipe.speeds] for sound in recordings.sounds]
    heard = np.stack([[with_silence(sound) for sound in versions] for versions in played])
    bounds = np.asarray([[placements(sound) for sound in versions] for versions in played])
    labels = torch.from_numpy(recordings.digits)
    steps = len(labels) // recipe.batch
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=steps * recipe.epochs
    )
    started = time.monotonic()
    network.train()
    for epoch in range(recipe.epochs):
        order, total = random.permutation(len(labels)), 0.0
        for chosen in np.split(order[: steps * recipe.batch], steps):
            version = random.integers(0, len(recipe.speeds), len(chosen))
            low, high = bounds[chosen, version].T
            start = random.integers(low, high + 1)
            frames = start[:, None] + np.arange(FRAMES)
            features = torch.from_numpy(heard[chosen[:, None], version[:, None], frames])
            scores = network(augment(features, recipe, random))
            loss = nn.functional.cross_entropy(scores, labels[chosen], label_smoothing=recipe.label_smoothing)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        if epoch % 10 == 9:
            seconds = time.monotonic() - started
            print(f"epoch {epoch + 1}/{recipe.epochs}  loss {total / steps:.3f}  {seconds:.0f} s", flush=True)


@torch.no_grad()
def measure(network: Keywords, recordings: Recordings) -> Accuracy:
    """Accuracy in float32."""
    scores = network.eval()(torch.from_numpy(recordings.features()))
    return Accuracy.of(int((scores.argmax(1).numpy() == recordings.digits).sum()), len(recordings.digits))


def train(parquet: Path, recipe: Recipe, out: Path) -> dict[str, Accuracy]:
    """Train, write keywords.safetensors and keywords.json into `out`, return the accuracies."""
    torch.manual_seed(recipe.seed)
    to_learn, to_test = read_recordings(parquet)
    network = Keywords()
    fit(network, to_learn, recipe)
    out.mkdir(parents=True, exist_ok=True)
    state = {key: value.half().contiguous() for key, value in network.state_dict().items()}
    save_file(state, out / "keywords.safetensors")
    saved = load(out / "keywords.safetensors")
    accuracy = {
        "new takes of known speakers": measure(saved, to_test.chosen(~to_test.is_stranger)),
        "a speaker never heard": measure(saved, to_test.chosen(to_test.is_stranger)),
    }
    card = {
        "network": "keywords",
        "parameters": sum(value.numel() for value in network.parameters()),
        "trained_on_recordings": len(to_learn.digits),
        "test_accuracy": {name: asdict(found) for name, found in accuracy.items()},
        "recipe": asdict(recipe),
    }
    (out / "keywords.json").write_text(json.dumps(card, indent=2) + "\n")
    return accuracy


def main() -> None:
    """Parse the arguments, train, print the accuracies."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parquet", type=Path, required=True)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the weights and the measured card"
    )
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name, found in train(given.parquet, Recipe(epochs=given.epochs, seed=given.seed), given.out).items():
        print(f"{name}: {found}")


if __name__ == "__main__":
    main()
