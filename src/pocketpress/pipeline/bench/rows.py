"""The table of phones, as the terminal and every page show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pocketpress.core.record import DeviceEntry, Latency, Parity
from pocketpress.core.words import apart, duration, equal_share
from pocketpress.devices.phone.sessions import View
from pocketpress.pipeline.bench.phone_tasks import Work

STATES = {
    "waiting": "starting",
    "measuring": "measuring",
    "done": "done",
    "silent": "no answer",
    "closed": "page closed",
    "gone": "gone",
}


@dataclass(frozen=True)
class Row:
    """One phone and one artifact, in words.

    Attributes:
        state: ``pending``, or a verdict.
        steady: None while unknown.
        remark: why not, or what it does now.
    """

    phone: str
    artifact: str
    runtime: str = ""
    equal: str = ""
    median: str = ""
    p90: str = ""
    speedup: str = ""
    load: str = ""
    sustained: str = ""
    steady: bool | None = None
    state: str = "pending"
    remark: str = ""

    def plain(self) -> dict[str, Any]:
        """As JSON can write it."""
        return asdict(self)


def rows_of(views: tuple[View, ...], entries: Mapping[tuple[str, str], DeviceEntry], work: Work) -> list[Row]:
    """One row per phone and task, and one per phone and artifact that no browser runs.

    Args:
        views: the phones.
        entries: what was judged, by phone and task.
        work: what is to be done.
    """
    rows: list[Row] = []
    for view in views:
        for name, task in work.tasks.items():
            label = task.subject.name + ("" if task.backend == "auto" else f" ({task.backend})")
            entry = entries.get((view.name, name))
            rows.append(_pending(view, name, label) if entry is None else _measured(view.name, label, entry))
        rows += [
            Row(view.name, artifact, state="skipped", remark=reason) for artifact, reason in work.refused
        ]
    return rows


def _pending(view: View, task: str, label: str) -> Row:
    beat = view.beat
    if view.state not in ("measuring", "waiting") or beat is None or beat.task != task:
        remark = "" if view.state in ("measuring", "waiting", "done") else STATES[view.state]
        return Row(view.name, label, remark=remark)
    median = "" if beat.median_s is None else duration(beat.median_s)
    return Row(view.name, label, median=median, remark=f"{beat.doing} {beat.share:.0%}".strip())


def _measured(phone: str, label: str, entry: DeviceEntry) -> Row:
    latency = entry.latency_s
    remark = "; ".join(entry.reasons)
    return Row(
        phone=phone,
        artifact=label,
        runtime=" ".join(filter(None, (entry.runtime, entry.backend))) + _threads(latency),
        equal=agreement(entry.parity),
        median="" if latency is None else duration(latency.median),
        p90="" if latency is None else duration(latency.p90),
        speedup="" if latency is None or latency.speedup is None else f"{latency.speedup:.2f}x",
        load="" if entry.load_s is None else duration(entry.load_s),
        sustained="" if entry.sustained_s is None else duration(entry.sustained_s.median),
        steady=entry.steady,
        state=entry.verdict,
        remark=remark,
    )


def _threads(latency: Latency | None) -> str:
    return f" x{latency.threads}" if latency is not None and latency.threads > 1 else ""


def agreement(parity: Parity | None) -> str:
    """Share of equal outputs, or where runtimes round in their own ways how far from float; else the gap."""
    if parity is None:
        return ""
    if parity.required_sqnr_db is not None and parity.sqnr_float_db is not None:
        return f"{parity.sqnr_float_db:.0f} dB"
    if parity.equal is None:
        return "" if parity.max_abs is None else apart(parity.max_abs)
    return equal_share(parity.equal)
