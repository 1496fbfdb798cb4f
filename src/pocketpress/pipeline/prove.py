"""Run a built target in its runtime: parity, task metric, latency, memory, verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pocketpress.core.program import Program
from pocketpress.core.program.ir import Array
from pocketpress.core.record import FirstDifference, Latency, Parity, TargetEntry
from pocketpress.core.session import Session
from pocketpress.core.signature import Signature, signature_of
from pocketpress.core.target import TargetSpec, real_to_file
from pocketpress.data.metrics import Metric as MetricFunction
from pocketpress.devices.isolated import Child, open_isolated
from pocketpress.devices.machine import cpu_model, usable_cores
from pocketpress.measure.latency import summarise
from pocketpress.measure.memory import measure_memory
from pocketpress.measure.verdict import judged
from pocketpress.pipeline.build import Built
from pocketpress.pipeline.cache import Cache
from pocketpress.pipeline.evaluate import EvaluationSet, compare_metric, run_session
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.outputs import Outputs, pack, unpack
from pocketpress.pipeline.prepare import stored
from pocketpress.pipeline.sequences import inferences, singles
from pocketpress.verify.drift import drift
from pocketpress.verify.localise import first_difference
from pocketpress.verify.parity import compare, has_float_sums, is_approximate
from pocketpress.verify.ties import settled

LOCALISED_SAMPLES = 2
ALONE = FirstDifference(
    tensor="none alone", op="none", note="every operator agrees on the reference's own integers"
)


@dataclass(frozen=True)
class Proven:
    """A target with everything measured, and its outputs on the samples that parity compares."""

    entry: TargetEntry
    outputs: Outputs


def prove(
    built: Built,
    program: Program,
    evaluation: EvaluationSet,
    reference: Outputs,
    metric: MetricFunction | None,
    options: PressOptions,
    cache: Cache,
    events: Events,
) -> Proven:
    """Execute an artifact and judge it; what was measured of the same bytes on the same machine is reused."""
    key = Cache.key(
        "proof",
        built.spec.name,
        built.spec.runtime(),
        built.entry.sha256,
        built.float_sha256,
        evaluation.feeds.digest,
        None if metric is None else metric.name,
        len(reference),
        [options.measure, options.threads, options.seed],
        [cpu_model(), usable_cores()],
    )
    hit = cache.get(key)
    if hit is not None:
        entry = TargetEntry.model_validate_json((hit / "entry.json").read_bytes())
        entry = entry.model_copy(update={"artifact": built.entry.artifact})
        return Proven(judged(entry, options.limits), unpack(hit / "outputs.npz"))
    proven = _execute(built, program, evaluation, reference, metric, options, events)
    cache.put(
        key, {"entry.json": proven.entry.model_dump_json().encode(), "outputs.npz": pack(proven.outputs)}
    )
    return Proven(judged(proven.entry, options.limits), proven.outputs)


def _execute(
    built: Built,
    program: Program,
    evaluation: EvaluationSet,
    reference: Outputs,
    metric: MetricFunction | None,
    options: PressOptions,
    events: Events,
) -> Proven:
    with Child() as child:
        runner = child.open(built.artifact, built.spec, options.threads)
        signature = runner.signature  # a target may have other dtypes at its border than the program
        with events.stage(f"run {built.spec.name}", len(evaluation.feeds)) as advance:
            outputs = run_session(Session(runner), evaluation.feeds, advance)
    count = len(reference)
    floats = evaluation.float_outputs[:count]
    alike = _with_ties_settled(outputs[:count], reference, program, evaluation)
    parity = compared(alike, reference, program, options.precision, floats, built.in_float)
    if _differs(parity) and program.is_quantized and not (built.in_float or is_approximate(program)):
        with events.stage(f"localise {built.spec.name}"):
            parity = _localised(parity, built.spec, program, evaluation, _differing(alike, reference))
        if parity.first_difference is ALONE and has_float_sums(program):
            loosely = compared(alike, reference, program, options.precision, floats, in_float=True)
            parity = parity.model_copy(update={"required_sqnr_db": loosely.required_sqnr_db})
    scores = None if metric is None else compare_metric(metric, outputs, evaluation, options.seed)
    entry = built.entry.model_copy(
        update={
            "executed": True,
            "parity": parity,
            "drift": drift(outputs[:count], reference, floats) if program.states else None,
            "metric": scores,
            "verdict": "pass",
            "runtime": built.spec.runtime(),
        }
    )
    if options.measure:
        with events.stage(f"measure {built.spec.name}"):
            feed = inferences(program, evaluation.feeds.first(1), 1)[0]
            entry = entry.model_copy(update=_measured(built, file_feeds(signature, feed), options))
    return Proven(entry, outputs[:count])


def _with_ties_settled(got: Outputs, wanted: Outputs, program: Program, evaluation: EvaluationSet) -> Outputs:
    """Places of largest numbers as the reference has them, where float rounding decides; not over steps."""
    if program.states:
        return got
    feeds = [
        stored(program, feed) for feed in inferences(program, evaluation.feeds.first(len(got)), len(got))
    ]
    return settled(program, feeds, got, wanted)


def compared(
    got: Outputs,
    wanted: Outputs,
    program: Program,
    precision: str,
    floats: Outputs | None = None,
    in_float: bool = False,
) -> Parity:
    """Parity of outputs; of networks with state step by step, and of what the steps return.

    An artifact that computes an integer program in float has no integers to be equal; it must be as close to
    the float network as the reference is.
    """
    signature = signature_of(program, precision=precision)
    approximate = in_float or is_approximate(program)
    if not program.states:
        return compare(got, wanted, signature, floats, approximate=approximate)
    signature = replace(signature, outputs=signature.returned, states=())
    alone = None if floats is None else singles(floats)
    return compare(singles(got), singles(wanted), signature, alone, approximate=approximate)


def _differs(parity: Parity) -> bool:
    return parity.equal is not None and parity.equal < 1


def _differing(got: Outputs, wanted: Outputs) -> list[int]:
    """The samples whose outputs are not all equal."""
    pairs = enumerate(zip(got, wanted, strict=True))
    return [i for i, (a, b) in pairs if not all(np.array_equal(a[name], b[name]) for name in b)]


def _localised(
    parity: Parity, spec: TargetSpec, program: Program, evaluation: EvaluationSet, differing: list[int]
) -> Parity:
    """With the first operator that differs by itself, on samples whose outputs differ; or with `ALONE`."""
    if program.states:
        chosen = inferences(program, evaluation.feeds.first(LOCALISED_SAMPLES), LOCALISED_SAMPLES)
    else:
        feeds = evaluation.feeds.first(max(differing[:LOCALISED_SAMPLES], default=0) + 1)
        chosen = [dict(feeds[i]) for i in differing[:LOCALISED_SAMPLES]]
    with Child() as child:
        found = first_difference(program, spec, [stored(program, feed) for feed in chosen], child.open)
    return parity.model_copy(update={"first_difference": found or ALONE})


def _measured(built: Built, feeds: list[Array], options: PressOptions) -> dict[str, object]:
    update: dict[str, object] = {"latency_s": measure_latency(built, feeds, options)}
    runner = open_isolated(built.artifact, options.threads, spec=built.spec)
    try:
        use = measure_memory(runner, feeds)
    finally:
        runner.close()
    update |= {
        "peak_rss_bytes": use.peak_rss_bytes,
        "memory_delta_bytes": use.delta_bytes,
        "load_s": use.load_s,
    }
    return update


def measure_latency(built: Built, feeds: list[Array], options: PressOptions) -> Latency:
    """Interleave the artifact with its float original in one child process."""
    with Child() as child:
        runner = child.open(built.artifact, built.spec, options.threads)
        pairs = [(runner, _numbers(runner.signature, feeds))]
        if built.float_artifact != built.artifact:
            floats = child.open(built.float_artifact, built.spec, options.threads)
            pairs.append((floats, _numbers(floats.signature, feeds)))
        times = child.time(pairs)
    return summarise(
        times.seconds[0],
        times.seconds[1] if len(pairs) > 1 else None,
        threads=options.threads,
        warmup=times.warmup,
        overhead_s=times.overhead_s,
        seed=options.seed,
    )


def _numbers(signature: Signature, feeds: list[Array]) -> list[Array]:
    """Whole numbers that stand for themselves (rows of tables) in the width that a file holds them in."""
    return [
        value.astype(s.dtype)
        if s.scale is None and value.dtype.kind == "i" and s.dtype != value.dtype
        else value
        for s, value in zip(signature.inputs, feeds, strict=True)
    ]


def file_feeds(signature: Signature, feeds: dict[str, Array]) -> list[Array]:
    """One sample in the file's dtypes, in signature order."""
    return [real_to_file(np.asarray(feeds[s.name]), s.dtype, s.scale, s.zero_point) for s in signature.inputs]
