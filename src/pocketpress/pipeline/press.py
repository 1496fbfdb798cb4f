"""Press: the stages in order.

source -> simplify -> (calibrate, quantise) -> per target: lower, run, compare, measure -> record and report.
Everything is written into a temporary folder inside ``out`` and moved into place at the end, so an
interrupted or failed press leaves nothing half-written.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pocketpress
from pocketpress.core.device import Description, Device
from pocketpress.core.errors import DeviceError, UnsupportedError, UserError
from pocketpress.core.precision import nearest, parse_precision
from pocketpress.core.program import Program
from pocketpress.core.program.serialize import program_hash
from pocketpress.core.program.work import multiply_accumulates_of
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
from pocketpress.core.signature import Preprocessing, Signature, signature_of
from pocketpress.core.target import TargetSpec
from pocketpress.core.targets import all_targets, resolve_targets
from pocketpress.data import (
    Dataset,
    load_dataset,
    parse_preprocessing,
    resolve_metric,
    suggest_metric,
)
from pocketpress.data.buckets import shortened
from pocketpress.data.metrics import Metric as MetricFunction
from pocketpress.data.preprocessing import complete
from pocketpress.devices.host import describe_host
from pocketpress.devices.store import Store, own_store
from pocketpress.measure.verdict import judged
from pocketpress.pipeline.bench.from_press import golden_samples, leave_for_devices
from pocketpress.pipeline.bench.golden import Golden
from pocketpress.pipeline.bench.named import named_devices
from pocketpress.pipeline.bench.on_devices import reached
from pocketpress.pipeline.bench.subjects import FOLDER as BENCH
from pocketpress.pipeline.build import Built, build
from pocketpress.pipeline.cache import Cache
from pocketpress.pipeline.calibration import FEW_SAMPLES, calibration_count, sample_bytes
from pocketpress.pipeline.devices import judge_phones, prove_on
from pocketpress.pipeline.evaluate import (
    EvaluationSet,
    floats_as_target,
    public_name,
    run_program,
)
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.feeds import Feeds
from pocketpress.pipeline.judge import MetricJudge
from pocketpress.pipeline.labels import check_fits, find_labels
from pocketpress.pipeline.options import SYNTHESISED, PressOptions
from pocketpress.pipeline.outputs import Outputs, cached
from pocketpress.pipeline.prepare import Prepared, prepare, simplified, stored
from pocketpress.pipeline.prove import compared, prove
from pocketpress.pipeline.qat import trainer
from pocketpress.pipeline.quantization import GIVEN
from pocketpress.pipeline.sequences import inferences
from pocketpress.pipeline.stack import check_source, open_training, shrink_job, with_original, with_steps
from pocketpress.pipeline.stateful import check_stateful, judged_alone, load_stated
from pocketpress.pipeline.synthesis import SynthesisReader, synthesised
from pocketpress.report.render import render
from pocketpress.sources.huggingface.names import is_checkpoint, parse
from pocketpress.sources.load import saved_kind
from pocketpress.sources.source import Source
from pocketpress.verify.layers import layer_errors

PACKAGES = ("torch", "ai-edge-litert", "executorch", "onnxruntime", "coremltools", "numpy")
LAYER_SAMPLES = 8
PARITY_STEPS = 4096
"""Of all sequences that are compared with the reference, which computes every step."""
WARNED_SAMPLES = 32
"""With fewer the record warns of the ranges they showed."""


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


def press(options: PressOptions, events: Events | None = None) -> Record:
    """Run a whole press and write artifacts, ``record.json`` and ``report.html`` into ``options.out``.

    Returns:
        The record; its ``verdict`` says whether every promise was kept.
    """
    events = events or Events()
    store = own_store()
    named = named_devices(options.devices, store)
    with reached(named.devices) as devices:
        job = open_job(options, events)
        with _workspace(options.out) as folder:
            record = _pressed(job, folder, devices, named.phones, store, events)
    return record


def _pressed(
    job: Job,
    folder: Path,
    devices: Sequence[tuple[Device, Description]],
    phones: Sequence[str],
    store: Store,
    events: Events,
) -> Record:
    """All stages of an opened job, from its network to files in ``out``, by way of a temporary folder."""
    options, cache = job.options, Cache(job.options.cache)
    shrunk = shrink_job(job, folder, cache, events)
    program = job.program if shrunk is None else shrunk.program
    evaluation, judge = _judge(job, cache, events)
    train = trainer(options, job.training, events)
    prepared = prepare(
        program, job.targets, options, job.calibration, cache, events, judge, train, job.source.given
    )
    prepared = with_original(prepared, job) if shrunk is not None else prepared
    stem = stem_of(options.source)
    builds = []
    with events.stage("lower", len(job.targets)) as advance:
        for spec in job.targets:
            built = build(
                spec, prepared, job.signature.preprocessing, options.precision, folder, stem, cache,
                job.signature.labels,
            )  # fmt: skip
            builds.append(built)
            events.target(built.entry)
            advance()
    record, golden = _proven(job, prepared, builds, cache, events, evaluation)
    record = with_steps(record, shrunk)
    record = prove_on(devices, record, builds, prepared.program, golden, options, events)
    record = judge_phones(phones, store, record, builds, options)
    record.write(folder / "record.json")
    (folder / "report.html").write_text(render(record), encoding="utf-8")
    if golden is not None:
        leave_for_devices(folder, golden, prepared.program, builds)
    _publish(folder, options.out, builds)
    return record


def _judge(job: Job, cache: Cache, events: Events) -> tuple[EvaluationSet | None, MetricJudge | None]:
    """The judge that mixed precision needs to keep a drop, with the samples it judges on."""
    mixed = parse_precision(job.options.precision).name == "mixed"
    if not mixed or job.options.limits.max_drop is None:
        return None, None
    if job.evaluation is None or job.metric is None:
        raise UserError("--max-drop needs samples to judge by", next_step="give --eval with labelled samples")
    evaluation = _evaluate_float(job, cache, events)
    return evaluation, MetricJudge(evaluation, job.metric)


def _proven(
    job: Job,
    prepared: Prepared,
    builds: list[Built],
    cache: Cache,
    events: Events,
    evaluation: EvaluationSet | None = None,
) -> tuple[Record, Golden | None]:
    options = job.options
    if job.evaluation is None:
        entries = [judged(b.entry, options.limits) for b in builds]
        return _record(job, prepared, entries, events, None, None, (), ()), None
    evaluation = evaluation or _evaluate_float(job, cache, events)
    count = min(options.parity_samples, len(evaluation.feeds))
    if prepared.program.states:
        count = min(count, evaluation.feeds.holding(PARITY_STEPS))
    with events.stage(
        "integer reference" if prepared.program.is_quantized else "reference", count
    ) as advance:
        key = Cache.key("reference", program_hash(prepared.program), evaluation.feeds.digest, count)
        reference = cached(
            cache, key, lambda: run_program(prepared.program, evaluation.feeds.first(count), advance)
        )
    layers: tuple[LayerError, ...] = ()
    if prepared.program.is_quantized:
        with events.stage("layer errors"):
            feeds = inferences(job.program, evaluation.feeds.first(LAYER_SAMPLES), LAYER_SAMPLES)
            layers = layer_errors(
                prepared.mirrored or prepared.float_program,
                prepared.program,
                ((f, stored(prepared.program, f)) for f in feeds),
            )
    entries, outputs = [], {}
    for built in builds:
        if not built.executes:
            entries.append(judged(built.entry, options.limits))
        else:
            proven = prove(built, prepared.program, evaluation, reference, job.metric, options, cache, events)
            entries.append(proven.entry)
            outputs[built.spec.name] = proven.outputs
        events.target(entries[-1])
    between = _between(outputs, prepared.program, options)
    golden = golden_samples(prepared.program, job.program, evaluation, reference)
    metric = _float_metric(job, evaluation)
    return _record(job, prepared, entries, events, evaluation, metric, layers, between), golden


def _evaluate_float(job: Job, cache: Cache, events: Events) -> EvaluationSet:
    assert job.evaluation is not None
    options = job.options
    feeds = Feeds(job.evaluation, options.evaluation_samples, options.seed)
    with events.stage("float network", len(feeds)) as advance:
        key = Cache.key("float", program_hash(job.program), feeds.digest)
        outputs = cached(cache, key, lambda: run_program(job.program, feeds, advance))
    return EvaluationSet(feeds, outputs)


def _float_metric(job: Job, evaluation: EvaluationSet) -> FloatMetric | None:
    if job.metric is None:
        return None
    floats = evaluation.rows(evaluation.float_outputs)
    targets = evaluation.targets if job.metric.needs_targets else floats_as_target(floats)
    return FloatMetric(
        name=public_name(job.metric),
        value=job.metric.evaluate(floats, targets).value,
        unit=job.metric.unit,
        larger_is_better=job.metric.higher_is_better,
        samples=evaluation.feeds.rows,
    )


def _between(outputs: dict[str, Outputs], program: Program, options: PressOptions) -> tuple[PairParity, ...]:
    names = list(outputs)
    return tuple(
        PairParity(first=a, second=b, parity=compared(outputs[a], outputs[b], program, options.precision))
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    )


def _record(
    job: Job,
    prepared: Prepared,
    entries: list[TargetEntry],
    events: Events,
    evaluation: EvaluationSet | None,
    float_metric: FloatMetric | None,
    layers: tuple[LayerError, ...],
    between: tuple[PairParity, ...],
) -> Record:
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


def multiply_accumulates(program: Program) -> int:
    """Multiply-accumulates of one inference, over convolutions and matrix products."""
    return sum(multiply_accumulates_of(program, node) for node in program.nodes)


def stem_of(source: str) -> str:
    """File stem of the artifacts: the function's name, or the file's when that says nothing."""
    where, _, function = source.rpartition(":")
    if is_checkpoint(source):
        return parse(source).name
    if saved_kind(source) is not None:
        return Path(source).stem
    generic = function in ("factory", "model", "network", "net", "build", "main")
    name = Path(where).stem if where.endswith(".py") else where.rpartition(".")[2]
    return re.sub(r"[^\w.-]+", "-", name if generic else function)


def _file_hash(spec: str) -> str | None:
    """SHA-256 of the file a specification names, when it names one."""
    for name in (spec, spec.rpartition(":")[0]):
        if name and Path(name).is_file():
            return hashlib.sha256(Path(name).read_bytes()).hexdigest()
    return None


@contextlib.contextmanager
def _workspace(out: Path) -> Iterator[Path]:
    created = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".press-", dir=out))
    except OSError as error:
        raise DeviceError(
            f"cannot write into {out}", got=error.strerror, next_step="choose another --out"
        ) from error
    finished = False
    try:
        yield folder
        finished = True
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not finished and created:
            with contextlib.suppress(OSError):
                out.rmdir()


def _publish(folder: Path, out: Path, builds: list[Built]) -> None:
    names = [b.artifact.name for b in builds] + [BENCH, "report.html", "record.json"]
    try:
        for name in names:
            target = out / name
            if target.is_dir():
                shutil.rmtree(target)
            if (folder / name).exists():
                (folder / name).replace(target)
    except OSError as error:
        raise DeviceError(
            f"cannot write into {out}", got=error.strerror, next_step="check the folder"
        ) from error
