"""Keep a measurement: in the store of devices, and in the record and report of the press it belongs to."""

from __future__ import annotations

from pathlib import Path

from pocketpress.core.errors import DeviceError, PocketpressError
from pocketpress.core.files import locked
from pocketpress.core.record import DeviceEntry, Record, TargetEntry
from pocketpress.devices.store import Store, replaced
from pocketpress.pipeline.bench.subjects import Subject
from pocketpress.report.redraw import redraw

REPORT = "report.html"


def keep(
    subject: Subject, entry: DeviceEntry, store: Store | None, identity: str | None = None
) -> tuple[str, ...]:
    """Write a measurement wherever it belongs; returns what went wrong with that, in words.

    A result has cost somebody minutes: a full disk or a damaged file must not throw the next one away.

    Args:
        subject: what was measured.
        entry: what was seen.
        store: of devices; None for nothing but the record.
        identity: of the phone; None for other devices.
    """
    problems = []
    if store is not None and entry.latency_s is not None:
        try:
            store.keep(subject.name, subject.spec.name, subject.sha256, entry, identity)
        except PocketpressError as error:
            problems.append(f"not kept: {error}")
    if subject.record_path is not None:
        try:
            add_to_record(subject.record_path, subject.spec.name, subject.sha256, entry)
        except PocketpressError as error:
            problems.append(f"not in the record and the report: {error}")
    return tuple(problems)


def add_to_record(path: Path, name: str, sha256: str, entry: DeviceEntry) -> None:
    """Put the entry beside its target, and draw the report again if there is one.

    Args:
        path: of the record.
        name: of the target.
        sha256: of the artifact that was measured.
        entry: what was seen.

    Raises:
        ArtifactError: the record is gone or damaged, or the report cannot be read.
        DeviceError: the disk refuses.
    """

    def with_entry(target: TargetEntry) -> TargetEntry:
        if (target.name, target.sha256) != (name, sha256):
            return target
        return target.model_copy(update={"devices": replaced(target.devices, entry)})

    try:
        with locked(path.parent):
            record = Record.read(path)
            record = record.model_copy(update={"targets": tuple(map(with_entry, record.targets))})
            record.write(path)
            report = path.with_name(REPORT)
            if report.is_file():
                redraw(report, record)
    except OSError as error:
        raise DeviceError(f"cannot open {path.parent}", got=error.strerror) from error
