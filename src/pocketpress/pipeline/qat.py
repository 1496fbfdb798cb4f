"""Quantisation-aware training as a step of the press."""

from __future__ import annotations

import torch

from pocketpress.compress.distill.checkpoint import Checkpoint
from pocketpress.compress.distill.examples import Augmentation, padding_of
from pocketpress.compress.distill.losses import is_classifier
from pocketpress.compress.learn.finetune import QatOptions, step_count, train_quantized, unbatched
from pocketpress.compress.learn.scores import scored
from pocketpress.compress.learn.simulate import Simulation
from pocketpress.compress.quantize.plan import QuantizationPlan
from pocketpress.core.program import Program
from pocketpress.core.program.serialize import program_hash
from pocketpress.data import Dataset
from pocketpress.pipeline.cache import fingerprint
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.objective import task_loss_of
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.quantization import Train
from pocketpress.pipeline.shrink import CHECKPOINTS
from pocketpress.pipeline.shrink_options import chosen
from pocketpress.pipeline.training_data import load_examples

PROBED = 64


def trainer(options: PressOptions, data: Dataset | None, events: Events) -> Train | None:
    """What `--qat-epochs` asks for, None when it asks for nothing."""
    if options.qat_epochs == 0 or data is None:
        return None

    def train(program: Program, plan: QuantizationPlan) -> QuantizationPlan:
        return _train(program, plan, options, data, events)

    return train


def _train(
    program: Program, plan: QuantizationPlan, options: PressOptions, data: Dataset, events: Events
) -> QuantizationPlan:
    shrink, program = options.shrink, scored(program)
    most = None if shrink.samples is None else shrink.samples * options.qat_epochs
    examples = load_examples(data, options.seed, events, most)
    rows = torch.arange(min(PROBED, len(examples)))
    inputs = zip(program.inputs, examples.batch(rows), strict=True)
    with torch.no_grad():
        feeds = {name: value.unsqueeze(1) for name, value in inputs}
        found = Simulation(program, None).run(program.nodes, feeds, program.outputs)
    outputs = unbatched(program, found)
    labels = examples.labels(rows)
    chosen = QatOptions(
        epochs=options.qat_epochs,
        batch=min(shrink.batch, 64),
        samples=shrink.samples,
        distill_weight=shrink.distill_weight,
        temperature=shrink.temperature,
        seed=options.seed,
    )
    images = examples.inputs[0]
    pictures = images.ndim == 4 and images.shape[1] in (1, 3) and not examples.channels_last
    augmentation = None
    if shrink.augment and pictures and is_classifier(outputs, labels):
        generator = torch.Generator().manual_seed(options.seed)
        augmentation = Augmentation(generator, padding_of(images), mirror=False)
    checkpoint = _checkpoint(program, options, data, len(examples))
    with events.stage("train quantised", step_count(examples, chosen)) as advance:
        return train_quantized(
            program,
            plan,
            examples,
            task_loss_of(shrink.loss, outputs, labels),
            is_classifier(outputs, labels),
            chosen,
            augmentation=augmentation,
            state=checkpoint.read(),
            save=checkpoint.write,
            advance=advance,
        )


def _checkpoint(program: Program, options: PressOptions, data: Dataset, samples: int) -> Checkpoint:
    key = fingerprint(
        "train-quantised", program_hash(program), chosen(options.shrink), options.qat_epochs,
        options.precision, options.calibration_samples, options.rounding_samples, options.rounding_steps,
        data.reference, samples, options.seed,
    )  # fmt: skip
    return Checkpoint(options.out / CHECKPOINTS / "train-quantised.pt", key, options.shrink.resume)
