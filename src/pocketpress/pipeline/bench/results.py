"""Where measurements on devices go: the device's own file, and the record and report of the press."""

from __future__ import annotations

from collections.abc import Sequence

from pocketpress.core.record import DeviceEntry, Limits, Record, TargetEntry, worst, write_atomically
from pocketpress.devices.store import Store, replaced
from pocketpress.measure.verdict import judged
from pocketpress.pipeline.bench.subjects import Subject
from pocketpress.report.render import render


def keep(subject: Subject, entries: Sequence[DeviceEntry], store: Store) -> None:
    """Keep what was measured of an artifact; entries that were skipped measure nothing.

    Raises:
        DeviceError: the disk refuses.
        ArtifactError: what was kept before is damaged.
    """
    measured = [entry for entry in entries if entry.verdict != "skipped"]
    for entry in measured:
        store.keep(subject.name, subject.spec.name, subject.sha256, entry)
    if subject.record_path is None or not measured:
        return
    record = into_record(Record.read(subject.record_path), subject.sha256, measured)
    record.write(subject.record_path)
    report = subject.record_path.parent / "report.html"
    if report.exists():
        write_atomically(report, render(record).encode())


def into_record(record: Record, sha256: str, entries: Sequence[DeviceEntry]) -> Record:
    """The record with entries of one artifact, each instead of an older one of the same device and runtime.

    Verdicts stay what they were: they are of the press.
    """
    targets = tuple(
        target.model_copy(update={"devices": _merged(target.devices, entries)})
        if target.sha256 == sha256
        else target
        for target in record.targets
    )
    return record.model_copy(update={"targets": targets})


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
