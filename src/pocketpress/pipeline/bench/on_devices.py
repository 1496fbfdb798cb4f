"""Execute artifacts on devices: parity with the golden samples, and unless emulated, latency and memory.

Each artifact has a process of its own there, with its float original beside it where that was kept, so that
a runtime that crashes takes nothing else along.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pocketpress.core.device import Connection, Description, Device
from pocketpress.core.errors import ArtifactError, DeviceError, UserError
from pocketpress.core.program import Program
from pocketpress.core.record import DeviceEntry, Latency, Limits, Parity
from pocketpress.core.session import Session
from pocketpress.core.signature import Signature
from pocketpress.core.target import Array, Runner, TargetSpec
from pocketpress.core.timing import MAX_ROUNDS, Times, TimingPlan
from pocketpress.measure.device_verdict import judged_on_device, marked_unsteady
from pocketpress.measure.latency import summarise
from pocketpress.measure.steady import is_steady
from pocketpress.pipeline.bench.golden import Golden, random_inputs
from pocketpress.pipeline.bench.localised import localised
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.prove import file_feeds

SUSTAINED_TAIL = 0.1
"""The last part of a sustained run: what is left when the device is warm."""


@dataclass(frozen=True)
class Trial:
    """One artifact to execute on devices.

    Attributes:
        path: the artifact.
        spec: its target.
        golden: what it must compute, or None where that is not known.
        float_path: the same network in float, to time against; None where there is none.
        stored_only: the precision makes the file smaller in this target, not faster.
        notes: what the comparison is worth, in words.
        program: reads what it was lowered from, to find the operator where a device computes otherwise; None
            where that is not known.
    """

    path: Path
    spec: TargetSpec
    golden: Golden | None
    float_path: Path | None = None
    stored_only: bool = False
    notes: tuple[str, ...] = ()
    program: Callable[[], Program] | None = None


@dataclass(frozen=True)
class Plan:
    """What is measured of each artifact.

    Attributes:
        threads: of the runtimes.
        measure: latency and memory, not only parity.
        sustained_s: then run on for so long; 0 for not at all.
        limits: promises.
        created: time stamp of the entries, given by the caller.
        timing: how long to time.
        seed: of bootstrap intervals.
    """

    threads: int = 1
    measure: bool = True
    sustained_s: float = 0.0
    limits: Limits = Limits()  # noqa: RUF009
    created: str | None = None
    timing: TimingPlan = TimingPlan()  # noqa: RUF009
    seed: int = 0


@contextlib.contextmanager
def reached(devices: Sequence[Device]) -> Iterator[tuple[tuple[Device, Description], ...]]:
    """Ask each device what it is; they are given up at the end.

    Raises:
        DeviceError: a device cannot be reached.
    """
    with contextlib.ExitStack() as stack:
        for device in devices:
            stack.callback(device.close)
        yield tuple((device, device.describe()) for device in devices)


def try_on(device: Device, description: Description, trial: Trial, plan: Plan, events: Events) -> DeviceEntry:
    """Execute one artifact on one device.

    An artifact that the device does not execute, and a device that fails in the middle, are entries too,
    skipped and with the reason.
    """
    entry = DeviceEntry(
        name=description.name,
        kind=description.kind,
        description=description.words,
        backend="cpu",
        runtime=description.runtimes.get(trial.spec.name),
        created=plan.created,
        notes=trial.notes,
        verdict="skipped",
    )
    try:
        reason = device.refuses(trial.spec)
        if reason is not None:
            return entry.model_copy(update={"reasons": (reason,)})
        with events.stage(f"{trial.path.name} on {description.name}"):
            found = _executed(device, description, trial, plan)
    except UserError as error:  # the artifact, as that runtime sees it
        return entry.model_copy(update={"verdict": "fail", "reasons": (str(error),)})
    except DeviceError as error:
        return entry.model_copy(update={"reasons": (str(error),)})
    entry = entry.model_copy(update={**found, "verdict": "pass"})
    timed = plan.measure and not description.emulated
    judged = judged_on_device(entry, plan.limits, stored_only=trial.stored_only, timed=timed)
    return marked_unsteady(judged)


def _executed(device: Device, description: Description, trial: Trial, plan: Plan) -> dict[str, object]:
    connection = device.connect()
    try:
        runner = connection.open(trial.path, trial.spec, plan.threads)
        update: dict[str, object] = {}
        notes = [text for text in (getattr(runner, "about", None),) if text]
        if trial.golden is not None and getattr(runner, "mute", None) is None:
            parity = _parity(runner, trial.golden)
            if trial.program is not None:
                parity = localised(parity, trial.program, trial.spec, trial.golden, connection)
            update["parity"] = parity
        if plan.measure and not description.emulated:
            update |= _measured(connection, runner, trial, plan)
        return {**update, "notes": (*trial.notes, *notes)}
    finally:
        connection.close()


def _parity(runner: Runner, golden: Golden) -> Parity:
    session = Session(runner)
    names = {spec.name for spec in runner.signature.outputs}
    if names != set(golden.outputs[0]):
        raise ArtifactError(
            "the golden samples do not fit", got=sorted(golden.outputs[0]), allowed=sorted(names)
        )
    try:
        got = [session(**sample) for sample in golden.inputs]
    except ArtifactError as error:
        raise ArtifactError(f"the golden samples do not fit: {error}") from error
    return golden.compare(got, runner.signature)


def _measured(connection: Connection, runner: Runner, trial: Trial, plan: Plan) -> dict[str, object]:
    feeds = _feeds(runner.signature, trial.golden)
    update: dict[str, object] = {}
    if (memory := getattr(runner, "memory", None)) is not None:  # before anything else is loaded there
        runner.run(feeds)
        update["peak_rss_bytes"] = memory().peak_rss_bytes
    if isinstance(load_s := getattr(runner, "load_s", None), float):
        update["load_s"] = load_s
    pairs = [(runner, feeds)]
    if trial.float_path is not None:
        floats = connection.open(trial.float_path, trial.spec, plan.threads)
        pairs.append((floats, _feeds(floats.signature, trial.golden)))
    times = connection.time(pairs, plan.timing)
    update["latency_s"] = _latency(times, plan, paired=len(pairs) > 1)
    update["steady"] = is_steady(times.seconds[0])
    if plan.sustained_s > 0:
        update["sustained_s"] = _sustained(
            connection, runner, feeds, plan, float(np.median(times.seconds[0]))
        )
    return update


def _feeds(signature: Signature, golden: Golden | None) -> list[Array]:
    sample = random_inputs(signature, 1, 0)[0] if golden is None else golden.inputs[0]
    return file_feeds(signature, dict(sample))


def _sustained(
    connection: Connection, runner: Runner, feeds: list[Array], plan: Plan, once_s: float
) -> Latency:
    """The end of a long run, in which no round is begun after the time is over."""
    block = max(1, math.ceil(plan.sustained_s / (MAX_ROUNDS * max(once_s, 1e-6))))
    long = TimingPlan(1, block, 1, MAX_ROUNDS, plan.sustained_s)
    times = connection.time([(runner, feeds)], long)
    rounds = len(times.seconds[0])
    tail = replace(times, seconds=times.seconds[:, -max(1, round(rounds * SUSTAINED_TAIL)) :])
    return _latency(tail, plan, paired=False)


def _latency(times: Times, plan: Plan, *, paired: bool) -> Latency:
    return summarise(
        times.seconds[0],
        times.seconds[1] if paired else None,
        threads=plan.threads,
        warmup=times.warmup,
        overhead_s=times.overhead_s,
        seed=plan.seed,
    )
