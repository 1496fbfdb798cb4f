"""The record of a press: what was pressed, on what, how, and what came of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pocketpress
from pocketpress.core.precision import parse_precision
from pocketpress.core.program.work import multiply_accumulates
from pocketpress.core.record import (
    Data,
    DataSetEntry,
    FloatMetric,
    LayerError,
    PairParity,
    RecipeEntry,
    Record,
    SkippedEntry,
    TargetEntry,
    worst,
)
from pocketpress.core.record import Source as SourceEntry
from pocketpress.core.signature import signature_of
from pocketpress.data import Dataset
from pocketpress.devices.host import describe_host
from pocketpress.pipeline.calibration import calibration_count, sample_bytes
from pocketpress.pipeline.evaluate import EvaluationSet
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.job import Job
from pocketpress.pipeline.prepare import Prepared
from pocketpress.pipeline.quantization import GIVEN
from pocketpress.sources.load import saved_kind

PACKAGES = ("torch", "ai-edge-litert", "executorch", "onnxruntime", "coremltools", "numpy")
WARNED_SAMPLES = 32
"""With fewer the record warns of the ranges they showed."""


def record_of(
    job: Job,
    prepared: Prepared,
    entries: list[TargetEntry],
    events: Events,
    evaluation: EvaluationSet | None,
    float_metric: FloatMetric | None,
    layers: tuple[LayerError, ...],
    between: tuple[PairParity, ...],
) -> Record:
    """The record of a press that has run.

    Args:
        job: what was asked.
        prepared: the program that was lowered.
        entries: of the targets, judged.
        events: the stages, with their times.
        evaluation: samples and the float network's outputs; None where there was nothing to judge on.
        float_metric: of the float network.
        layers: errors of the quantised program's layers.
        between: parity of every two runtimes.
    """
    options = job.options
    skipped = [SkippedEntry(name=s.name, reason=s.reason) for s in prepared.skipped]
    skipped += [SkippedEntry(name=n, reason=r) for n, r in job.source.skipped]
    if evaluation is None:
        skipped.append(SkippedEntry(name="verify and measure", reason="no evaluation data (--data, --eval)"))
    elif job.evaluation is job.calibration and job.synthesis is not None:
        skipped.append(
            SkippedEntry(name="task metric", reason="synthesised samples measure no accuracy (--eval)")
        )
    return Record(
        pocketpress=pocketpress.__version__,
        created=options.created,
        source=SourceEntry(
            reference=options.source,
            kind=saved_kind(options.source) or "pytorch",
            sha256=job.source.sha256 or _file_hash(options.source),
            weights_sha256=None if options.weights is None else _file_hash(str(options.weights)),
            weights=None if options.weights is None else str(options.weights),
            parameters=job.source.parameters,
            multiply_accumulates=multiply_accumulates(job.program),
        ),
        signature=signature_of(
            prepared.program,
            precision=options.precision,
            preprocessing=job.signature.preprocessing,
            labels=job.signature.labels,
        ),
        recipe=RecipeEntry(
            precision=options.precision,
            estimator=prepared.estimator,
            options={
                "tied_scales": options.tied and prepared.estimator != GIVEN,
                "input_uint8": options.input_uint8,
                **prepared.choices,
            },
            seed=options.seed,
        ),
        limits=options.limits,
        host=describe_host(PACKAGES),
        data=_data(job, evaluation),
        float_metric=float_metric,
        verdict=worst(tuple(e.verdict for e in entries)),
        targets=tuple(entries),
        between=between,
        layers=layers,
        costs=prepared.costs,
        stages=tuple(events.stages),
        skipped=(*skipped, *job.passed_over),
    )


def _data(job: Job, evaluation: EvaluationSet | None) -> Data:
    def entry(data: Dataset | None, samples: int, seen: str | None) -> DataSetEntry | None:
        if data is None:
            return None
        note = None
        if data is job.calibration:
            if job.synthesis is not None:
                note = job.synthesis.trust
            elif parse_precision(job.options.precision).trainable:
                note = few_samples(samples)
        return DataSetEntry(
            reference=data.reference, kind=data.kind, samples=samples, labelled=data.labelled, sha256=seen,
            note=note,
        )  # fmt: skip

    wanted = calibration_count(job.options, sample_bytes(job.program))
    known = None if job.calibration is None else job.calibration.size
    calibration = entry(job.calibration, wanted if known is None else min(wanted, known), None)
    if evaluation is None:
        return Data(calibration=calibration)
    return Data(
        calibration=calibration,
        evaluation=entry(job.evaluation, len(evaluation.feeds), evaluation.feeds.digest),
    )


def few_samples(count: int) -> str | None:
    """What ranges seen on a handful of samples are worth; None for enough of them."""
    if count >= WARNED_SAMPLES:
        return None
    samples = f"{count} sample" + ("s" if count != 1 else "")
    return f"on {samples} only: other inputs may exceed the ranges found; give {WARNED_SAMPLES} or more"


def _file_hash(spec: str) -> str | None:
    """SHA-256 of the file a specification names, when it names one."""
    for name in (spec, spec.rpartition(":")[0]):
        if name and Path(name).is_file():
            return hashlib.sha256(Path(name).read_bytes()).hexdigest()
    return None
