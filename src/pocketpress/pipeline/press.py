"""Press: the stages in order.

source -> simplify -> (calibrate, quantise) -> per target: lower, run, compare, measure -> record and report.
Everything is written into a temporary folder inside ``out`` and moved into place at the end, so an
interrupted or failed press leaves nothing half-written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pocketpress.core.device import Description, Device
from pocketpress.core.errors import UserError
from pocketpress.core.precision import parse_precision
from pocketpress.core.program import Program
from pocketpress.core.program.serialize import program_hash
from pocketpress.core.record import FloatMetric, LayerError, PairParity, Record
from pocketpress.devices.store import Store, own_store
from pocketpress.measure.verdict import judged
from pocketpress.pipeline.bench.from_press import golden_samples, leave_for_devices
from pocketpress.pipeline.bench.golden import Golden
from pocketpress.pipeline.bench.named import named_devices
from pocketpress.pipeline.bench.on_devices import reached
from pocketpress.pipeline.build import Built, build
from pocketpress.pipeline.cache import Cache
from pocketpress.pipeline.devices import judge_phones, prove_on
from pocketpress.pipeline.evaluate import EvaluationSet, floats_as_target, public_name, run_program
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.feeds import Feeds
from pocketpress.pipeline.job import Job, open_job
from pocketpress.pipeline.judge import MetricJudge
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.outputs import Outputs, cached
from pocketpress.pipeline.prepare import Prepared, prepare, stored
from pocketpress.pipeline.prove import compared, prove
from pocketpress.pipeline.qat import trainer
from pocketpress.pipeline.recorded import record_of
from pocketpress.pipeline.sequences import inferences
from pocketpress.pipeline.stack import shrink_job, with_original, with_steps
from pocketpress.pipeline.workspace import publish, stem_of, workspace
from pocketpress.report.render import render
from pocketpress.verify.layers import layer_errors

LAYER_SAMPLES = 8
PARITY_STEPS = 4096
"""Of all sequences that are compared with the reference, which computes every step."""


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
        with workspace(options.out) as folder:
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
    publish(folder, options.out, builds)
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
        return record_of(job, prepared, entries, events, None, None, (), ()), None
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
    return record_of(job, prepared, entries, events, evaluation, metric, layers, between), golden


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
