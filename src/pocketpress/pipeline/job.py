"""A press with its inputs opened: everything that can be checked before work begins."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.precision import nearest, parse_precision
from pocketpress.core.program import Program
from pocketpress.core.program.work import multiply_accumulates
from pocketpress.core.record import SkippedEntry
from pocketpress.core.signature import Preprocessing, Signature, signature_of
from pocketpress.core.target import TargetSpec
from pocketpress.core.targets import all_targets, resolve_targets
from pocketpress.data import Dataset, load_dataset, parse_preprocessing, resolve_metric, suggest_metric
from pocketpress.data.buckets import shortened
from pocketpress.data.metrics import Metric as MetricFunction
from pocketpress.data.preprocessing import complete
from pocketpress.devices.store import own_store
from pocketpress.pipeline.bench.named import named_devices
from pocketpress.pipeline.cache import Cache
from pocketpress.pipeline.calibration import FEW_SAMPLES
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.labels import check_fits, find_labels
from pocketpress.pipeline.options import SYNTHESISED, PressOptions
from pocketpress.pipeline.prepare import simplified
from pocketpress.pipeline.stack import check_source, open_training
from pocketpress.pipeline.stateful import check_stateful, judged_alone, load_stated
from pocketpress.pipeline.synthesis import SynthesisReader, synthesised
from pocketpress.sources.source import Source


@dataclass(frozen=True)
class Job:
    """A press with its inputs opened: what `--dry-run` shows."""

    options: PressOptions
    targets: tuple[TargetSpec, ...]
    passed_over: tuple[SkippedEntry, ...]
    source: Source
    program: Program
    signature: Signature
    calibration: Dataset | None
    evaluation: Dataset | None
    metric: MetricFunction | None
    synthesis: SynthesisReader | None = None
    training: Dataset | None = None


def open_job(options: PressOptions, events: Events | None = None) -> Job:
    """Check everything that can be checked before work begins.

    Raises:
        UserError: the first thing wrong with the command, the network or the data.
    """
    events = events or Events()
    named_devices(options.devices, own_store())
    targets, passed_over = choose_targets(options)
    check_source(options)
    with events.stage("read network"):
        source = load_stated(options)
        check_stateful(source.program, options)
        signature = signature_of(source.program, precision="fp32")
        prep = source.preprocessing
        if options.preprocess:
            prep = parse_preprocessing(options.preprocess, signature)
        calibration: Dataset | None
        synthesis = None
        if options.data == SYNTHESISED:
            prep = prep or _preprocessing(options, signature)
            calibration, synthesis = _synthesised(source, signature, prep, options, events)
        else:
            calibration = _dataset(options.data, signature, prep, options)
            prep = prep or (calibration.preprocessing if calibration is not None else None)
        program = simplified(source.program, prep, options.input_uint8)
    evaluation = _dataset(options.evaluation, signature, prep, options) or calibration
    metric = None if evaluation is calibration and synthesis else _metric(options, evaluation, signature)
    training = open_training(options, signature, prep)
    found = find_labels(options.labels, source, signature, (evaluation, calibration, training))
    signature = replace(signature, preprocessing=prep).with_labels(found.labels)
    check_fits(signature)
    return Job(
        options, targets, passed_over + found.skipped, source, program, signature, calibration, evaluation,
        metric, synthesis, training,
    )  # fmt: skip


def choose_targets(options: PressOptions) -> tuple[tuple[TargetSpec, ...], tuple[SkippedEntry, ...]]:
    """Targets that have the precision; a target named outright that has it not is an error."""
    named = {part.strip() for part in options.targets.split(",")}
    family = parse_precision(options.precision).family
    chosen, passed = [], []
    for spec in resolve_targets(options.targets):
        if family in spec.families:
            spec.check_installed()
            chosen.append(spec)
        elif spec.name in named:
            instead = nearest(family, spec.families)
            raise UnsupportedError(
                f"target {spec.name} has no precision {options.precision}",
                allowed=spec.families,
                next_step=f"leave {spec.name} out" + (f", or use --precision {instead}" if instead else ""),
            )
        else:
            passed.append(SkippedEntry(name=spec.name, reason=f"it has no precision {options.precision}"))
    if not chosen:
        able = sorted(s.name for s in all_targets().values() if family in s.families)
        raise UnsupportedError(f"no target left that has precision {options.precision}", allowed=able)
    return tuple(chosen), tuple(passed)


def _dataset(spec: str | None, signature: Signature, prep: object, options: PressOptions) -> Dataset | None:
    if spec is None:
        return None
    wide = signature if options.bucket is None else options.bucket.widened(signature)
    data = load_dataset(spec, wide, prep)  # type: ignore[arg-type]
    if options.bucket is not None:
        data = shortened(data, signature, options.bucket)
    return data.raw_pixels() if options.input_uint8 else data


def _preprocessing(options: PressOptions, signature: Signature) -> Preprocessing | None:
    """What evaluation images are given, when nothing was declared; raw pixels are in [0, 1] inside."""
    evaluation = _dataset(options.evaluation, signature, None, options)
    if evaluation is not None and evaluation.preprocessing is not None:
        return evaluation.preprocessing
    return complete(None, signature.inputs[0]) if options.input_uint8 else None


def _synthesised(
    source: Source, signature: Signature, prep: Preprocessing | None, options: PressOptions, events: Events
) -> tuple[Dataset, SynthesisReader]:
    data, reader = synthesised(
        source,
        signature,
        prep,
        multiply_accumulates=multiply_accumulates(source.program),
        samples=options.calibration_samples or FEW_SAMPLES,
        seed=options.seed,
        cache=Cache(options.cache),
        events=events,
    )
    return data.raw_pixels() if options.input_uint8 else data, reader


def _metric(options: PressOptions, data: Dataset | None, signature: Signature) -> MetricFunction | None:
    if options.metric is not None:
        return resolve_metric(options.metric)
    if data is None:
        return None
    first = judged_alone(next(iter(data.samples(1, options.seed))), signature)
    return resolve_metric(suggest_metric(signature, first))
