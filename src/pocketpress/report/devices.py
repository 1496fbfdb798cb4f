"""The table of devices: one row per artifact and device that executed it, or could not."""

from __future__ import annotations

from collections.abc import Sequence

from pocketpress.core.record import DeviceEntry, TargetEntry
from pocketpress.core.words import apart, duration, size
from pocketpress.report.view import VERDICTS, ParityRow, decibels, percent


def device_rows(targets: Sequence[TargetEntry]) -> tuple[ParityRow, ...]:
    """Rows by device, then by target, in the order of the record."""
    found = [(target, entry) for target in targets for entry in target.devices]
    order = list(dict.fromkeys(entry.name for _, entry in found))
    found.sort(key=lambda pair: order.index(pair[1].name))
    return tuple(_row(target, entry) for target, entry in found)


def _row(target: TargetEntry, entry: DeviceEntry) -> ParityRow:
    kind, verdict = VERDICTS[entry.verdict]
    latency, sustained = entry.latency_s, entry.sustained_s
    runtime = " ".join(filter(None, (entry.runtime, entry.backend)))
    if entry.steady is False:
        verdict, kind = f"{verdict}, unsteady", "warn" if kind == "good" else kind
    words = (entry.description, *entry.reasons, *entry.notes)
    return ParityRow(
        title=f"{entry.name}: {target.artifact or target.title or target.name}",
        kind=kind,
        cells=(
            ("runtime", runtime or "–"),
            ("equal", _equal(entry)),
            ("median", "–" if latency is None else duration(latency.median)),
            ("p90", "–" if latency is None else duration(latency.p90)),
            (
                "against float",
                "–" if latency is None or latency.speedup is None else f"{latency.speedup:.2f}×",
            ),
            ("long run", "–" if sustained is None else duration(sustained.median)),
            ("load", "–" if entry.load_s is None else duration(entry.load_s)),
            ("memory", "–" if entry.peak_rss_bytes is None else size(entry.peak_rss_bytes)),
            ("verdict", verdict),
        ),
        remark="; ".join(filter(None, words)),
    )


def _equal(entry: DeviceEntry) -> str:
    parity = entry.parity
    if parity is None:
        return "–"
    if parity.required_sqnr_db is not None:
        return f"{decibels(parity.sqnr_float_db)} of float"
    if parity.equal is None:
        return "–" if parity.max_abs is None else apart(parity.max_abs)
    return percent(parity.equal)
