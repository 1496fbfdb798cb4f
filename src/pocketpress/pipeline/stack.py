"""Where the steps on the live network meet the rest of a press."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from pocketpress.core.errors import DataError, SourceError
from pocketpress.core.program import Program
from pocketpress.core.record import Record
from pocketpress.core.signature import Preprocessing, Signature
from pocketpress.core.target import TargetSpec
from pocketpress.data import Dataset, load_dataset
from pocketpress.data.metrics import Metric
from pocketpress.pipeline.cache import Cache
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.feeds import Feeds
from pocketpress.pipeline.options import SYNTHESISED, PressOptions
from pocketpress.pipeline.prepare import Prepared, with_raw_input
from pocketpress.pipeline.shrink import Shrunk, shrink
from pocketpress.pipeline.shrink_options import loss_name
from pocketpress.pipeline.steps import Bench, final_step
from pocketpress.sources.load import saved_kind
from pocketpress.sources.pytorch import load_module
from pocketpress.sources.source import Source


class Opened(Protocol):
    """What is needed of an opened press."""

    @property
    def options(self) -> PressOptions:
        """Of the press."""

    @property
    def targets(self) -> tuple[TargetSpec, ...]:
        """To lower to."""

    @property
    def source(self) -> Source:
        """As given."""

    @property
    def program(self) -> Program:
        """Simplified."""

    @property
    def signature(self) -> Signature:
        """With preprocessing."""

    @property
    def evaluation(self) -> Dataset | None:
        """Samples to measure accuracy on."""

    @property
    def metric(self) -> Metric | None:
        """Task metric."""

    @property
    def training(self) -> Dataset | None:
        """Samples to fine-tune on."""


def check_source(options: PressOptions) -> None:
    """Refuse a saved program where a live network is needed, before anything is read.

    Raises:
        SourceError: the source is a ``.pt2``, ``.onnx``, ``.tflite``, ``.keras`` or ``.h5`` file.
    """
    if options.shrink.wanted and saved_kind(options.source) is not None:
        raise SourceError(
            "a saved program cannot be pruned, factorised, masked or fine-tuned",
            got=options.source,
            allowed="package.module:factory, path/to/file.py:factory",
            next_step="give the factory of the network and its --weights",
        )


def open_training(options: PressOptions, signature: Signature, prep: Preprocessing | None) -> Dataset | None:
    """The data to fine-tune on; labels that a loss needs are asked for now.

    Raises:
        DataError: the data is missing, or has no labels where they are needed.
    """
    shrink_options = options.shrink
    if shrink_options.finetune is None:
        return None
    if shrink_options.finetune == SYNTHESISED:
        raise DataError("fine-tuning needs real data", got="--finetune none", next_step="give training data")
    data = load_dataset(shrink_options.finetune, signature, prep)
    if not data.labelled and data.kind != "callable":
        if shrink_options.loss not in ("auto", "none"):
            raise DataError(
                f"--loss {loss_name(shrink_options.loss)} needs labels, and the fine-tuning data has none",
                next_step="give labelled data, or leave --loss out to learn from the float network alone",
            )
        if shrink_options.prunes and shrink_options.importance in ("taylor", "hessian"):
            raise DataError(
                f"importance {shrink_options.importance} needs labels, and the fine-tuning data has none",
                next_step="give labelled data, or use --importance magnitude",
            )
    return data


def shrink_job(job: Opened, folder: Path, cache: Cache, events: Events) -> Shrunk | None:
    """Run the steps on the live network, when any are asked for."""
    options = job.options
    if not options.shrink.wanted:
        return None
    network, examples = load_module(options.source, weights=options.weights, shapes=options.shapes)
    feeds = None
    if job.evaluation is not None:
        feeds = Feeds(job.evaluation, options.evaluation_samples, options.seed)
    measurable = job.metric is not None and feeds is not None
    if measurable and job.metric is not None and job.metric.needs_targets and feeds is not None:
        measurable = feeds.targets is not None
    bench = Bench(
        options, job.targets, job.source, job.program, job.signature.preprocessing, examples, feeds,
        job.metric if measurable else None, folder, cache, events,
    )  # fmt: skip
    return shrink(bench, network, options.shrink, job.training)


def with_original(prepared: Prepared, job: Opened) -> Prepared:
    """Compare artifacts with the network as it was given, not as it was shrunk."""
    return replace(prepared, float_lowered=with_raw_input(job.program, job.options.input_uint8))


def with_steps(record: Record, shrunk: Shrunk | None) -> Record:
    """The record with every step, the artifacts as the last one."""
    if shrunk is None:
        return record
    precision = record.recipe.precision
    last = final_step(precision, shrunk.steps[-1], record.targets, None)
    options = {**record.recipe.options, **shrunk.options}
    return record.model_copy(
        update={
            "steps": (*shrunk.steps, last),
            "skipped": (*record.skipped, *shrunk.skipped),
            "recipe": record.recipe.model_copy(update={"options": options}),
        }
    )
