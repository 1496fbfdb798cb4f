"""``bench --device``, and tables of what devices did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer
from rich.table import Table

from pocketpress.cli.show import COLORS, live, write, write_json
from pocketpress.core.errors import DeviceError
from pocketpress.core.record import DeviceEntry, Limits, worst
from pocketpress.core.words import duration, size
from pocketpress.pipeline.bench.keep import keep, own_store
from pocketpress.pipeline.bench.on_devices import Plan, Trial, reached, try_on
from pocketpress.pipeline.bench.reference import reference_of
from pocketpress.pipeline.bench.subjects import Subject, find_subjects

Row = tuple[str, DeviceEntry]


def bench_on_devices(
    artifacts: Sequence[Path],
    devices: str,
    *,
    data: str | None,
    samples: int,
    threads: int,
    sustained_s: float,
    created: str,
    as_json: bool,
) -> None:
    """Measure artifacts on devices, keep and print what was seen.

    Raises:
        PocketpressError: an artifact or a device is not what it should be.
        typer.Exit: 3, where an artifact broke a promise; 4, where a device ran none of them.
    """
    subjects = find_subjects(artifacts)
    store = own_store()
    rows: list[Row] = []
    problems: list[str] = []
    with live() as events, reached(devices) as found:
        for subject in subjects:
            trial = _trial(subject, data, samples)
            limits = Limits() if subject.record is None else subject.record.limits
            limits = limits.model_copy(update={"max_latency_s": None})  # it was of the press's machine
            plan = Plan(threads, True, sustained_s, limits, created)
            entries = [try_on(device, description, trial, plan, events) for device, description in found]
            problems += [problem for entry in entries for problem in keep(subject, entry, store)]
            rows += [(subject.name, entry) for entry in entries]
    if as_json:
        write_json([{"artifact": name, **entry.model_dump(mode="json")} for name, entry in rows])
    else:
        write(device_table(rows))
        write_reasons(rows)
    if problems:
        raise DeviceError("measured, but not kept everywhere", got="; ".join(problems[:2]))
    verdict = worst(tuple(entry.verdict for _, entry in rows))
    if verdict in ("fail", "vacuous"):
        raise typer.Exit(3)
    if all(entry.verdict == "skipped" for _, entry in rows):
        raise typer.Exit(4)


def _trial(subject: Subject, data: str | None, samples: int) -> Trial:
    reference = reference_of(subject, data, samples)
    stored_only = False
    if subject.record is not None:
        stored_only = any(t.stored_only for t in subject.record.targets if t.sha256 == subject.sha256)
    return Trial(
        subject.path, subject.spec, reference.golden, subject.float_path, stored_only, reference.notes
    )


def device_table(rows: Sequence[Row]) -> Table:
    """One row per artifact and device."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in (
        "artifact", "device", "runtime", "latency", "p90", "speed-up", "sustained", "memory", "equal",
        "verdict",
    ):  # fmt: skip
        table.add_column(name, no_wrap=name != "runtime")
    for artifact, entry in rows:
        table.add_row(artifact, *_cells(entry))
    return table


def _cells(entry: DeviceEntry) -> list[str]:
    latency, parity = entry.latency_s, entry.parity
    unsteady = " (unsteady)" if entry.steady is False else ""
    equal = ""
    if parity is not None:
        equal = f"{100 * parity.equal:.2f}%" if parity.equal is not None else f"±{parity.max_abs:.1e}"
    color = COLORS.get(entry.verdict, "white")
    return [
        entry.name,
        entry.runtime or "",
        "" if latency is None else duration(latency.median) + unsteady,
        "" if latency is None else duration(latency.p90),
        f"{latency.speedup:.2f}x" if latency is not None and latency.speedup else "",
        "" if entry.sustained_s is None else duration(entry.sustained_s.median),
        "" if entry.peak_rss_bytes is None else size(entry.peak_rss_bytes),
        equal,
        f"[{color}]{entry.verdict}[/{color}]",
    ]


def write_reasons(rows: Sequence[Row]) -> None:
    """Who said what: devices once, then reasons and notes of every row."""
    for name, description in dict.fromkeys((e.name, e.description) for _, e in rows):
        write(f"{name}: {description}")
    for artifact, entry in rows:
        for reason in entry.reasons:
            write(f"{artifact} on {entry.name}: {reason}")
    for note in dict.fromkeys(note for _, entry in rows for note in entry.notes):
        write(note)
