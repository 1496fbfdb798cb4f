"""``bench --device``: artifacts on devices, one after the other, and what was seen is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketpress.core.record import DeviceEntry
from pocketpress.devices.store import Store, own_store
from pocketpress.pipeline.bench.keep import keep
from pocketpress.pipeline.bench.named import reachable_devices
from pocketpress.pipeline.bench.on_devices import Plan, Trial, reached, try_on
from pocketpress.pipeline.bench.program import read_program
from pocketpress.pipeline.bench.reference import reference_of
from pocketpress.pipeline.bench.subjects import Subject, find_subjects
from pocketpress.pipeline.events import Events


@dataclass(frozen=True)
class Benched:
    """What was seen.

    Attributes:
        rows: file name of an artifact, and what a device made of it.
        problems: what could not be kept, in words.
        wanted: rows that there are when nobody interrupts.
    """

    rows: tuple[tuple[str, DeviceEntry], ...]
    problems: tuple[str, ...]
    wanted: int


def bench_devices(
    artifacts: Sequence[Path],
    devices: str,
    *,
    data: str | None = None,
    samples: int = 8,
    threads: int = 1,
    sustained_s: float = 0.0,
    created: str | None = None,
    store: Store | None = None,
    events: Events | None = None,
) -> Benched:
    """Execute artifacts on devices; Ctrl-C ends that, and what was measured before is kept and returned.

    Args:
        artifacts: files, or folders of presses.
        devices: comma-separated, as after ``--device``.
        data: samples to compare on; by default those that the press kept, else random ones.
        samples: at most so many.
        threads: of the runtimes.
        sustained_s: then run on for so long.
        created: time stamp of the entries.
        store: where to keep them; the user's own by default.
        events: told about progress.

    Raises:
        ArtifactError: something is no artifact.
        UserError: a name is no device.
        DeviceError: a device cannot be reached.
    """
    store, events = store or own_store(), events or Events()
    opened = reachable_devices(devices, store)
    subjects = find_subjects(artifacts)
    rows: list[tuple[str, DeviceEntry]] = []
    problems: list[str] = []
    with reached(opened) as found:
        trials = [_trial(subject, data, samples) for subject in subjects]  # each fits, or nothing is measured
        try:
            for subject, trial in zip(subjects, trials, strict=True):
                plan = Plan(threads, True, sustained_s, subject.limits, created)
                for device, description in found:
                    entry = try_on(device, description, trial, plan, events)
                    problems += keep(subject, entry, store)
                    rows.append((subject.name, entry))
        except KeyboardInterrupt:
            if not rows:
                raise
    return Benched(tuple(rows), tuple(problems), len(subjects) * len(opened))


def _trial(subject: Subject, data: str | None, samples: int) -> Trial:
    reference = reference_of(subject, data, samples)
    signature = None if subject.record is None else subject.record.signature
    kept = subject.program_path
    return Trial(
        path=subject.path,
        spec=subject.spec,
        golden=reference.golden,
        float_path=subject.float_path,
        stored_only=subject.stored_only,
        notes=reference.notes,
        program=None if kept is None or signature is None else lambda: read_program(kept, signature),
    )
