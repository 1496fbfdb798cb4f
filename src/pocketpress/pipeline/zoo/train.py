"""Train a network of the zoo on the user's data, and leave what a press takes."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pocketpress.compress.distill.examples import Augmentation, Examples, batch_count, batches, padding_of
from pocketpress.compress.distill.train import device
from pocketpress.core.errors import DataError, UserError
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.data import Dataset, load_dataset, parse_preprocessing
from pocketpress.measure.interval import wilson
from pocketpress.pipeline.cache import fingerprint
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.training_data import load_examples
from pocketpress.zoo import checkpoint
from pocketpress.zoo.build import build, example
from pocketpress.zoo.cards import IMAGES
from pocketpress.zoo.checkpoint import Stand
from pocketpress.zoo.fit import CHECKED, Batch, Recipe, Training, right_answers
from pocketpress.zoo.names import PREFIX, TRAINED, Choice, parse

__all__ = ["Recipe", "TrainOptions", "Trained", "next_command", "train"]

HELD_OUT, MOST_HELD_OUT = 0.1, 10_000
"""Share of the data that accuracy is counted on when there is no other, and at most so many samples."""
WEIGHTS, CHECKPOINT = "weights.safetensors", "checkpoint.safetensors"


@dataclass(frozen=True)
class TrainOptions:
    """What to train on what.

    Attributes:
        network: name, with options.
        data: as ``--data`` of a press; labelled.
        out: folder of the results.
        evaluation: data that accuracy is counted on; by default a tenth of ``data`` is held out.
        preprocess: of images, as in a press.
        samples: at most so many are read.
        recipe: how.
        resume: go on from the checkpoint in ``out``.
    """

    network: str
    data: str
    out: Path
    evaluation: str | None = None
    preprocess: str | None = None
    samples: int | None = None
    recipe: Recipe = field(default_factory=Recipe)
    resume: bool = False

    def __post_init__(self) -> None:
        rate = self.recipe.learning_rate
        if rate is not None and not (0 < rate < math.inf):
            raise UserError("--learning-rate must be positive", got=rate)
        if not 0 <= self.recipe.label_smoothing < 1:
            raise UserError(
                "--label-smoothing out of range", got=self.recipe.label_smoothing, allowed="0 to 1"
            )
        if not 0 <= self.recipe.average < 1:
            raise UserError("--average is not a share below 1", got=self.recipe.average)


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        choice: with the data's number of classes.
        weights: the file.
        card: the JSON beside it, which says which network it is.
        accuracy: share of right answers on ``samples`` held-out samples.
        interval: 95 % of it.
        samples: held out.
    """

    choice: Choice
    weights: Path
    card: Path
    accuracy: float
    interval: tuple[float, float]
    samples: int


def train(options: TrainOptions, events: Events | None = None) -> Trained:
    """Train, count, and write weights and card into ``options.out``.

    Raises:
        UserError: the name, the data or the numbers do not fit each other.
        DeviceError: the disk refuses.
    """
    events = events or Events()
    choice, recipe = parse(options.network), options.recipe
    learning, held_out = _data(options, choice, events)
    choice = _with_classes(choice, learning, held_out)
    steps = batch_count(len(learning), recipe.batch, None)
    if steps == 0:
        raise DataError("too few training samples", got=len(learning), allowed="at least 2")
    training = Training(build(choice, recipe.seed), recipe, steps, device())
    stand_at = options.out / CHECKPOINT
    key = fingerprint("zoo-train", str(choice), asdict(recipe), options.data, options.evaluation,
                      options.preprocess, len(learning))  # fmt: skip
    if options.resume and stand_at.is_file():
        training.restore(checkpoint.read(stand_at, key))

    def save(stand: Stand) -> None:
        facts = {**stand.facts, "fingerprint": key}
        checkpoint.write(stand_at, Stand(stand.tensors, facts))

    def counted(network: nn.Module) -> float:
        hits = right_answers(network, _in_order(held_out), training.device)
        events.note(f"epoch {len(training.history) + 1}: {hits / len(held_out):.1%} of {len(held_out)} right")
        return hits / len(held_out)

    with events.stage(f"train {choice}", steps * recipe.epochs) as advance:
        training.run(lambda generator: _epoch(learning, choice, recipe, generator), counted, save, advance)
    network = training.finished()
    hits = right_answers(network, _in_order(held_out), torch.device("cpu"))
    return _written(options, choice, network, training, hits, len(held_out))


def _data(options: TrainOptions, choice: Choice, events: Events) -> tuple[Examples, Examples]:
    learning = _examples(options.data, options, choice, events)
    if options.evaluation is not None:
        return learning, _examples(options.evaluation, replace(options, samples=None), choice, events)
    count = min(MOST_HELD_OUT, round(len(learning) * HELD_OUT))
    if count < 1:
        raise DataError(
            "too few samples to hold some out", got=len(learning), next_step="give --eval, or more data"
        )
    generator = torch.Generator().manual_seed(options.recipe.seed)
    order = torch.randperm(len(learning), generator=generator)
    return _chosen(learning, order[count:]), _chosen(learning, order[:count])


def _examples(spec: str, options: TrainOptions, choice: Choice, events: Events) -> Examples:
    data = _opened(spec, options, choice)
    if not data.labelled and data.kind != "callable":
        raise DataError(f"{spec} has no labels", next_step="give class folders, or a label column or array y")
    examples = load_examples(data, options.recipe.seed, events, options.samples)
    labels = examples.targets
    if labels is None or labels.ndim != 1 or labels.is_floating_point() or int(labels.min()) < 0:
        got = None if labels is None else f"{labels.dtype} {tuple(labels.shape)}"
        raise DataError(f"labels of {spec} are no class numbers", got=got, allowed="integers from 0")
    return replace(examples, targets=labels.long())


def _opened(spec: str, options: TrainOptions, choice: Choice) -> Dataset:
    value = example(choice)
    name = next(iter(inspect.signature(build(choice).forward).parameters))
    dtype = str(value.dtype).removeprefix("torch.")
    signature = Signature((TensorSpec(name, tuple(value.shape), dtype),), ())
    prep = None if options.preprocess is None else parse_preprocessing(options.preprocess, signature)
    return load_dataset(spec, signature, prep)


def _chosen(examples: Examples, rows: Tensor) -> Examples:
    assert examples.targets is not None
    return replace(examples, inputs=tuple(i[rows] for i in examples.inputs), targets=examples.targets[rows])


def _with_classes(choice: Choice, *parts: Examples) -> Choice:
    """The network for the classes of the data, unless its name says a number."""
    found = 1 + max(int(part.targets.max()) for part in parts if part.targets is not None)
    if choice.classes == choice.card.classes or choice.classes == found:
        return replace(choice, classes=max(2, found))
    if choice.classes < found:
        raise DataError(
            "the data has more classes than the network", got=found, allowed=f"at most {choice.classes}",
            next_step="leave classes= out of the name",
        )  # fmt: skip
    return choice


def _epoch(examples: Examples, choice: Choice, recipe: Recipe, generator: torch.Generator) -> Iterator[Batch]:
    augmentation = None
    images = examples.inputs[0]
    if recipe.augment and choice.card.task == IMAGES and not examples.channels_last:
        augmentation = Augmentation(generator, padding_of(images), recipe.mirror)
    for rows in batches(len(examples), recipe.batch, None, generator):
        labels = examples.labels(rows)
        assert labels is not None
        yield examples.batch(rows, augmentation), labels


def _in_order(examples: Examples) -> Iterator[Batch]:
    for rows in torch.arange(len(examples)).split(CHECKED):  # type: ignore[no-untyped-call]
        labels = examples.labels(rows)
        assert labels is not None
        yield examples.batch(rows), labels


def _written(
    options: TrainOptions, choice: Choice, network: nn.Module, training: Training, hits: int, count: int
) -> Trained:
    weights, card = options.out / WEIGHTS, options.out / TRAINED
    low, high = wilson(hits, count)
    facts: dict[str, Any] = {
        "network": str(choice),
        "title": choice.card.title,
        "paper": choice.card.paper,
        "accuracy": {"share": hits / count, "low": low, "high": high, "samples": count},
        "classes": list(getattr(_opened(options.data, options, choice).reader, "classes", ())),
        "data": options.data,
        "evaluation": options.evaluation or f"{HELD_OUT:.0%} of the data, held out",
        "preprocess": options.preprocess,
        "parameters": sum(p.numel() for p in network.parameters()),
        "recipe": asdict(training.recipe),
        "history": training.history,
    }
    state = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    checkpoint.write(weights, Stand(state, {"network": str(choice)}))
    temporary = card.with_suffix(".part")
    temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    temporary.replace(card)
    (options.out / CHECKPOINT).unlink(missing_ok=True)
    return Trained(choice, weights, card, hits / count, (low, high), count)


def next_command(trained: Trained, options: TrainOptions) -> str:
    """How to press it."""
    parts = [f"pocketpress press {PREFIX}{trained.choice.card.name} --weights {trained.weights}"]
    parts += [f"--data {options.data}"]
    parts += [f"--eval {options.evaluation}"] if options.evaluation else []
    parts += [f"--preprocess {options.preprocess}"] if options.preprocess else []
    return " ".join(parts)
