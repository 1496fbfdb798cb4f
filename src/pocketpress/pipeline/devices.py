"""``press --device``: every artifact is executed on other devices too, once it was proven on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pocketpress.core.device import Description, Device
from pocketpress.core.program import Program
from pocketpress.core.record import DeviceEntry, Limits, Record, TargetEntry, worst
from pocketpress.devices.store import Store, replaced
from pocketpress.measure.device_verdict import judged_on_device, marked_unsteady
from pocketpress.measure.verdict import judged
from pocketpress.pipeline.bench.golden import Golden
from pocketpress.pipeline.bench.on_devices import Plan, Trial, try_on
from pocketpress.pipeline.build import Built
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.options import PressOptions


def prove_on(
    devices: Sequence[tuple[Device, Description]],
    record: Record,
    builds: Sequence[Built],
    program: Program,
    golden: Golden | None,
    options: PressOptions,
    events: Events,
) -> Record:
    """The record with an entry for every device under every target, and the verdicts that follow."""
    if not devices:
        return record
    plan = Plan(options.threads, options.measure, 0.0, options.limits, options.created, seed=options.seed)
    targets: list[TargetEntry] = []
    for built, target in zip(builds, record.targets, strict=True):
        if golden is not None and built.in_float:
            own: Golden | None = replace(golden, approximate=True)
        else:
            own = golden
        trial = Trial(
            built.artifact,
            built.spec,
            own,
            built.float_artifact if built.float_artifact != built.artifact else None,
            target.stored_only,
            program=lambda: program,
        )
        entries = [try_on(device, description, trial, plan, events) for device, description in devices]
        targets.append(judged_with(target, entries, options.limits))
        events.target(targets[-1])
    verdict = worst(tuple(target.verdict for target in targets))
    return record.model_copy(update={"targets": tuple(targets), "verdict": verdict})


def judged_with(target: TargetEntry, entries: Sequence[DeviceEntry], limits: Limits) -> TargetEntry:
    """The target with entries, of which one that fails breaks a promise of the press."""
    found = judged(target, limits)
    broken = [
        f"on {entry.name}: {reason}"
        for entry in entries
        if entry.verdict in ("fail", "vacuous")
        for reason in entry.reasons or (entry.verdict,)
    ]
    verdicts = tuple(e.verdict for e in entries if e.verdict in ("fail", "vacuous"))
    return found.model_copy(
        update={
            "devices": _merged(target.devices, entries),
            "verdict": worst((found.verdict, *verdicts)) if verdicts else found.verdict,
            "reasons": (*broken, *found.reasons)[:1000],
        }
    )


def _merged(old: tuple[DeviceEntry, ...], entries: Sequence[DeviceEntry]) -> tuple[DeviceEntry, ...]:
    for entry in entries:
        old = replaced(old, entry)
    return old[-256:]


def judge_phones(
    phones: Sequence[str], store: Store, record: Record, builds: Sequence[Built], options: PressOptions
) -> Record:
    """The record with what phones measured of these very artifacts, judged by this press's promises."""
    if not phones:
        return record
    targets = []
    for built, target in zip(builds, record.targets, strict=True):
        entries = [_kept(name, store, built, target, options) for name in phones]
        targets.append(judged_with(target, entries, options.limits))
    verdict = worst(tuple(target.verdict for target in targets))
    return record.model_copy(update={"targets": tuple(targets), "verdict": verdict})


def _kept(name: str, store: Store, built: Built, target: TargetEntry, options: PressOptions) -> DeviceEntry:
    """The fastest kept measurement of an artifact; without one a promise of latency is not kept."""
    entries = [e for e in store.find(name, target.sha256 or "") if e.latency_s is not None]
    if entries:
        best = min(entries, key=lambda e: e.latency_s.median if e.latency_s else 0.0)
        judged = judged_on_device(
            best.model_copy(update={"reasons": ()}), options.limits, stored_only=target.stored_only
        )
        return marked_unsteady(judged)
    path = options.out / built.artifact.name
    promised = options.limits.max_latency_s is not None
    return DeviceEntry(
        name=name,
        kind="browser",
        verdict="fail" if promised else "skipped",
        reasons=(f"this artifact was not measured there; run: pocketpress bench {path} --phone",),
    )
