"""Train a CIFAR-10 network on one core: `python -m examples.cifar.train NAME --train P --test P --out DIR`.

Stochastic gradient descent with Nesterov momentum and a one-cycle learning rate, random crops of the image
padded by reflection, random mirroring, float32 or (``--bfloat16``, where the processor has it) bfloat16
matrix products. ``--progressive`` shows small images first and whole ones last, which costs a third less
(Howard 2018, "progressive resizing"). ``--start`` goes on from trained weights. A checkpoint is kept per
epoch, and the same command goes on from it. After training the
weights are rounded to float16, saved, loaded again, and measured on the test set, which is used for nothing
else. Same seed, thread count and library versions: same result.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from examples.cifar.data import Split, read_split
from examples.cifar.networks import UNTRAINED, load
from safetensors.torch import save_file
from torch import Tensor, nn

from pocketpress.measure.interval import wilson
from pocketpress.zoo.fit import image_order


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, besides network and data."""

    epochs: int = 10
    batch: int = 128
    learning_rate: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warm_up: float = 0.25
    """Share of the steps in which the learning rate rises."""
    padding: int = 3
    """Pixels of reflection around the image before the random crop."""
    label_smoothing: float = 0.0
    bfloat16: bool = False
    """Compute the matrix products in bfloat16."""
    progressive: bool = False
    """Train on images scaled to 1/2 and 3/4 of their side first: see `PROGRESSION`."""
    start: str | None = None
    """Name of a weights file trained before, None to start from random weights."""
    seed: int = 0


PROGRESSION = ((0.2, 0.5), (0.55, 0.75), (1.0, 1.0))
"""Until which share of the epochs images have which share of their side, if training is progressive."""


@dataclass(frozen=True)
class Accuracy:
    """Share of test samples classified correctly, with its 95 % interval (Wilson 1927)."""

    share: float
    low: float
    high: float
    samples: int

    @staticmethod
    def of(correct: int, samples: int) -> Accuracy:
        """The interval of `correct` out of `samples`, at least one."""
        low, high = wilson(correct, samples)
        return Accuracy(correct / samples, low, high, samples)

    def __str__(self) -> str:
        return f"{self.share:.2%} ({self.low:.2%} to {self.high:.2%} on {self.samples} samples)"


def augment(padded: Tensor, chosen: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Random crops and mirrorings.

    Args:
        padded: All images with their padding, uint8 (N, 3, size + 2 p, size + 2 p).
        chosen: Indices of the batch, (B,).
        size: Height and width of the crops.
        generator: Source of randomness.

    Returns:
        float32 (B, 3, size, size) in [0, 1], in channels-last memory.
    """
    slack = padded.shape[-1] - size + 1
    count = len(chosen)
    tops = torch.randint(slack, (count, 1), generator=generator)
    lefts = torch.randint(slack, (count, 1), generator=generator)
    mirror = torch.rand(count, 1, generator=generator) < 0.5
    span = torch.arange(size)
    columns = lefts + torch.where(mirror, span.flip(0), span)
    rows = tops + span
    picked = padded.permute(0, 2, 3, 1)[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2).float() / 255


def shown(progress: float, size: int) -> int:
    """Side of the images after a share of the epochs, of whole images of side ``size``."""
    return round(size * next(share for until, share in PROGRESSION if progress < until))


@torch.no_grad()
def measure(network: nn.Module, split: Split) -> Accuracy:
    """Accuracy in float32."""
    network.eval()
    correct = 0
    for start in range(0, len(split.labels), 500):
        scores = network(torch.from_numpy(split.images[start : start + 500]).float() / 255)
        correct += int((scores.argmax(1).numpy() == split.labels[start : start + 500]).sum())
    return Accuracy.of(correct, len(split.labels))


def fit(network: nn.Module, split: Split, recipe: Recipe, checkpoint: Path) -> None:
    """Train in place, printing one line per epoch; goes on from ``checkpoint`` when there is one."""
    generator = torch.Generator().manual_seed(recipe.seed)
    padding = (recipe.padding,) * 4
    padded = nn.functional.pad(torch.from_numpy(split.images).float(), padding, mode="reflect").byte()
    labels = torch.from_numpy(split.labels)
    size, steps = split.images.shape[-1], len(labels) // recipe.batch
    network.to(memory_format=image_order(torch.device("cpu"))).train()  # type: ignore[call-overload]
    optimiser = torch.optim.SGD(
        network.parameters(), momentum=recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=steps * recipe.epochs, pct_start=recipe.warm_up
    )
    started, first = time.monotonic(), 0
    if checkpoint.exists():
        first = _resume(checkpoint, network, optimiser, schedule, generator)
    for epoch in range(first, recipe.epochs):
        side = shown(epoch / recipe.epochs, size) if recipe.progressive else size
        order, total = torch.randperm(len(labels), generator=generator), 0.0
        for chosen in order[: steps * recipe.batch].split(recipe.batch):  # type: ignore[no-untyped-call]
            images = augment(padded, chosen, size, generator)
            if side < size:
                images = nn.functional.interpolate(images, (side, side), mode="bilinear", antialias=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
                scores = network(images)
            loss = nn.functional.cross_entropy(
                scores.float(), labels[chosen], label_smoothing=recipe.label_smoothing
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        seconds = time.monotonic() - started
        print(f"epoch {epoch + 1}/{recipe.epochs}  loss {total / steps:.3f}  {seconds:.0f} s", flush=True)
        _keep(checkpoint, epoch + 1, network, optimiser, schedule, generator)


def _keep(
    path: Path,
    epoch: int,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    generator: torch.Generator,
) -> None:
    state = {
        "epoch": epoch,
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "schedule": schedule.state_dict(),
        "generator": generator.get_state(),
    }
    partial = path.with_suffix(".part")
    torch.save(state, partial)
    partial.replace(path)


def _resume(
    path: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    generator: torch.Generator,
) -> int:
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    generator.set_state(state["generator"])
    return int(state["epoch"])


def train(
    name: str,
    train_split: Split,
    test_split: Split,
    recipe: Recipe,
    out: Path,
    start: Path | None = None,
) -> Accuracy:
    """Train a network of `UNTRAINED`, write its .safetensors and .json into `out`, return its accuracy.

    Args:
        name: A key of `UNTRAINED`.
        train_split: What it learns from.
        test_split: What its accuracy is measured on, and nothing else.
        recipe: How.
        out: Folder of the results and, until they are there, of the checkpoint.
        start: Weights to go on from; random ones by default.
    """
    torch.manual_seed(recipe.seed)
    network = load(name, start) if start else UNTRAINED[name]()
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / f"{name}.checkpoint"
    fit(network, train_split, recipe, checkpoint)
    state = {
        key: value.half().contiguous()
        for key, value in network.state_dict().items()
        if value.is_floating_point()
    }
    save_file(state, out / f"{name}.safetensors")
    accuracy = measure(load(name, out / f"{name}.safetensors"), test_split)
    parameters = sum(value.numel() for value in network.parameters())
    card = {
        "network": name,
        "parameters": parameters,
        "test_accuracy": asdict(accuracy),
        "recipe": asdict(recipe),
    }
    (out / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n")
    checkpoint.unlink()
    return accuracy


def main() -> None:
    """Parse the arguments, train, print the accuracy."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=sorted(UNTRAINED))
    parser.add_argument("--train", type=Path, required=True, help="parquet file")
    parser.add_argument("--test", type=Path, required=True, help="parquet file")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the weights and the measured card"
    )
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=Recipe.learning_rate)
    parser.add_argument("--label-smoothing", type=float, default=Recipe.label_smoothing)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--progressive", action="store_true", help="small images first")
    parser.add_argument("--start", type=Path, help="weights to go on from")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    recipe = Recipe(
        epochs=given.epochs,
        learning_rate=given.learning_rate,
        label_smoothing=given.label_smoothing,
        bfloat16=given.bfloat16,
        progressive=given.progressive,
        start=given.start.name if given.start else None,
        seed=given.seed,
    )
    train_split, test_split = read_split(given.train), read_split(given.test)
    print(train(given.name, train_split, test_split, recipe, given.out, given.start))


if __name__ == "__main__":
    main()
