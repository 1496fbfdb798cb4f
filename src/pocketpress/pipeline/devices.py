"""``press --device``: every artifact is executed on other devices too, once it was proven on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from pocketpress.core.device import Description, Device
from pocketpress.core.program import Program
from pocketpress.core.record import DeviceEntry, Limits, Record, TargetEntry, worst
from pocketpress.devices.store import replaced
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
        trial = Trial(
            built.artifact,
            built.spec,
            golden,
            built.float_artifact if built.float_artifact != built.artifact else None,
            target.stored_only,
            program=program,
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
