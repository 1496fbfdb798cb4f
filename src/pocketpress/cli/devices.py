"""``bench --device``, and tables of what devices did."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from rich.table import Table

from pocketpress.cli.show import COLORS, write, write_json
from pocketpress.core.errors import DeviceError, Interrupted
from pocketpress.core.record import DeviceEntry, worst
from pocketpress.core.words import duration, size
from pocketpress.pipeline.bench.devices import Benched
from pocketpress.pipeline.bench.rows import agreement

Row = tuple[str, DeviceEntry]


def benched(found: Benched, *, as_json: bool) -> None:
    """Print what was seen.

    Raises:
        Interrupted: not everything was measured.
        DeviceError: something could not be kept, or no device ran anything.
        typer.Exit: 3, where an artifact broke a promise.
    """
    entries = [entry for _, entry in found.rows]
    if as_json:
        write_json([{"artifact": name, **entry.model_dump(mode="json")} for name, entry in found.rows])
    else:
        write(device_table(found.rows))
        write_reasons(found.rows)
    if len(found.rows) < found.wanted:
        raise Interrupted(
            f"interrupted; {len(found.rows)} of {found.wanted} measurements were made and kept",
            got="; ".join(found.problems[:2]) or None,
        )
    if found.problems:
        raise DeviceError("measured, but not kept everywhere", got="; ".join(found.problems[:2]))
    if worst(tuple(entry.verdict for entry in entries)) in ("fail", "vacuous"):
        raise typer.Exit(3)
    if all(entry.verdict == "skipped" for entry in entries):
        raise DeviceError("no device executed any artifact", got="; ".join(entries[0].reasons))


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
    latency = entry.latency_s
    unsteady = " (unsteady)" if entry.steady is False else ""
    color = COLORS.get(entry.verdict, "white")
    return [
        entry.name,
        entry.runtime or "",
        "" if latency is None else duration(latency.median) + unsteady,
        "" if latency is None else duration(latency.p90),
        f"{latency.speedup:.2f}x" if latency is not None and latency.speedup else "",
        "" if entry.sustained_s is None else duration(entry.sustained_s.median),
        "" if entry.peak_rss_bytes is None else size(entry.peak_rss_bytes),
        agreement(entry.parity),
        f"[{color}]{entry.verdict}[/{color}]",
    ]


def write_reasons(rows: Sequence[Row], *, broken: bool = True) -> None:
    """Who said what: devices once, then reasons and notes of every row.

    Args:
        rows: as of `device_table`.
        broken: those of broken promises too, which a press lists with its targets.
    """
    for name, description in dict.fromkeys((e.name, e.description) for _, e in rows):
        write(f"{name}: {description}")
    for artifact, entry in rows:
        for reason in entry.reasons if broken or entry.verdict not in ("fail", "vacuous") else ():
            write(f"{artifact} on {entry.name}: {reason}")
    for note in dict.fromkeys(note for _, entry in rows for note in entry.notes):
        write(note)
