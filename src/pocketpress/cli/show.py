"""Tables, live progress and JSON."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from pocketpress.core.record import Metric, Parity, Record, StepTarget, TargetEntry
from pocketpress.core.words import apart, digits, duration, equal_share, size
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.shrink_options import chosen

if TYPE_CHECKING:  # these bring PyTorch along, which tables need not
    from pocketpress.pipeline.compare import Comparison
    from pocketpress.pipeline.job import Job

SPEED_PERIOD_S = 600.0
"""The time left is estimated from so many last seconds: a block of learned rounding can take a minute."""
COLORS = {"pass": "green", "fail": "red", "vacuous": "yellow", "not executed here": "cyan"}


class LiveEvents(Events):
    """Progress bars and a table that fills while the press runs, on stderr."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.entries: dict[str, TargetEntry] = {}
        self.bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            speed_estimate_period=SPEED_PERIOD_S,
        )
        self.tasks: dict[str, TaskID] = {}
        self.view = Live(self._shown(), console=console, refresh_per_second=8, transient=True)

    def began(self, name: str, total: int | None) -> None:
        """Show a bar."""
        self.tasks[name] = self.bars.add_task(name, total=total)
        self._refresh()

    def advanced(self, name: str) -> None:
        """Move the bar."""
        self.bars.advance(self.tasks[name])

    def ended(self, name: str) -> None:
        """Remove the bar."""
        self.bars.remove_task(self.tasks.pop(name))

    def note(self, text: str) -> None:
        """A line above the bars."""
        self.view.console.print(text)

    def target(self, entry: TargetEntry) -> None:
        """Update the table."""
        self.entries[entry.name] = entry
        self._refresh()

    def _refresh(self) -> None:
        self.view.update(self._shown())

    def _shown(self) -> Table:
        grid = Table.grid()
        if self.entries:
            grid.add_row(target_table(list(self.entries.values())))
        grid.add_row(self.bars)
        return grid


@contextlib.contextmanager
def live() -> Iterator[Events]:
    """Live progress when stderr is a terminal, silence otherwise."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Events()
        return
    events = LiveEvents(console)
    with events.view:
        yield events


def write(renderable: Any) -> None:
    """Text or a table on stdout, wide where that is no terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    console.print(renderable, soft_wrap=isinstance(renderable, str))


def write_json(value: Any) -> None:
    """JSON on stdout; numbers that JSON has not are texts, as in a record."""
    sys.stdout.write(json.dumps(_finite(value), indent=2, default=str, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value


def record(done: Record, out: Path, *, as_json: bool) -> None:
    """The result of a press."""
    if as_json:
        sys.stdout.write(done.to_json())
        return
    if done.steps:
        write(step_table(done))
    write(target_table(list(done.targets)))
    _devices(done)
    for entry in done.targets:
        for reason in entry.reasons:
            write(f"{entry.name}: {reason}")
        if entry.metric is not None and entry.metric.words:
            write(f"{entry.name}: {entry.metric.words}")
    if done.data.calibration is not None and done.data.calibration.note:
        write(f"calibration: {done.data.calibration.note}")
    for item in done.skipped:
        write(f"skipped: {item.name}: {item.reason}")
    write(f"record: {out / 'record.json'}   report: {out / 'report.html'}   verdict: {done.verdict}")


def _devices(done: Record) -> None:
    from pocketpress.cli.devices import device_table, write_reasons

    rows = [(t.artifact or t.name, entry) for t in done.targets for entry in t.devices]
    if rows:
        write(device_table(rows))
        write_reasons(rows, broken=False)


def step_table(done: Record) -> Table:
    """One row per step: what it left, its metric, and per target size and latency as shares of float's."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("step", "weights", "MACs", "metric", "drop"):
        table.add_column(name, no_wrap=True)
    for target in done.targets:
        table.add_column(f"{target.name}: size, of float, time")
    first = {t.name: t.size_bytes for t in done.steps[0].targets}
    for step in done.steps:
        metrics = [m for m in (step.metric, *(t.metric for t in step.targets)) if m is not None]
        worst = max(metrics, key=lambda m: m.drop or 0.0, default=None)
        cells = {t.name: _step_cell(t, first.get(t.name)) for t in step.targets}
        table.add_row(
            step.name,
            "" if step.parameters is None else f"{step.parameters:,}",
            "" if step.multiply_accumulates is None else f"{step.multiply_accumulates / 1e6:,.2f} M",
            _value(worst),
            _drop(worst),
            *(cells.get(t.name, "") for t in done.targets),
        )
    return table


def _step_cell(target: StepTarget, float_bytes: int | None) -> str:
    parts = []
    if target.size_bytes is not None:
        parts.append(size(target.size_bytes))
        if float_bytes:
            parts.append(f"{target.size_bytes / float_bytes:.2f}x")
    if target.latency_s is not None and target.latency_s.speedup:
        parts.append(f"{1 / target.latency_s.speedup:.2f}x time")
    return ", ".join(parts)


def target_table(entries: list[TargetEntry]) -> Table:
    """One row per target; in narrow terminals long names and intervals are folded, numbers stay whole."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in (
        "target",
        "artifact",
        "size",
        "of float",
        "metric",
        "drop",
        "latency",
        "speed-up",
        "equal",
        "verdict",
    ):
        table.add_column(name, no_wrap=name not in ("artifact", "metric", "drop"), overflow="fold")
    for entry in entries:
        table.add_row(*_cells(entry))
    return table


def _equal(parity: Parity | None) -> str:
    if parity is None:
        return ""
    if parity.equal is not None:
        return equal_share(parity.equal)
    return "" if parity.max_abs is None else apart(parity.max_abs)


def _cells(e: TargetEntry) -> list[str]:
    share = f"{e.size_bytes / e.float_size_bytes:.2f}x" if e.size_bytes and e.float_size_bytes else ""
    speed = f"{e.latency_s.speedup:.2f}x" if e.latency_s is not None and e.latency_s.speedup else ""
    color = COLORS.get(e.verdict, "white")
    return [
        e.name,
        e.artifact or "",
        size(e.size_bytes) if e.size_bytes is not None else "",
        share,
        _value(e.metric),
        _drop(e.metric),
        duration(e.latency_s.median) if e.latency_s is not None else "",
        speed,
        _equal(e.parity),
        f"[{color}]{e.verdict}[/{color}]",
    ]


def _value(metric: Metric | None) -> str:
    return "" if metric is None else f"{metric.name} {digits(metric.value, metric.unit)}"


def _drop(metric: Metric | None) -> str:
    if metric is None or metric.drop is None:
        return ""
    text = digits(metric.drop, metric.unit)
    if metric.drop_ci95 is not None:
        low, high = (digits(v, metric.unit) for v in metric.drop_ci95)
        text += f" ({low} to {high})"
    return text


def plan(job: Job, *, as_json: bool) -> None:
    """What a press would do."""
    from pocketpress.core.program.work import multiply_accumulates

    options = job.options
    facts = {
        "source": options.source,
        "parameters": job.source.parameters,
        "multiply_accumulates": multiply_accumulates(job.program),
        "inputs": {s.name: list(s.shape) for s in job.signature.inputs},
        "outputs": {s.name: list(s.shape) for s in job.signature.outputs},
        "labels": {name: len(labels) for name, labels in job.signature.labels.items()},
        "states": {s.input: s.output for s in job.signature.states},
        "precision": options.precision,
        "estimator": options.estimator if options.precision == "w8a8-static" else None,
        "targets": [spec.name for spec in job.targets],
        "calibration": None if job.calibration is None else job.calibration.reference,
        "evaluation": None if job.evaluation is None else job.evaluation.reference,
        "metric": None if job.metric is None else job.metric.name,
        "steps": chosen(options.shrink),
        "out": str(options.out),
        "skipped": [{"name": s.name, "reason": s.reason} for s in job.passed_over],
    }
    if as_json:
        write_json(facts)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for key, value in facts.items():
        table.add_row(key, str(value))
    write(table)


def comparison(found: Comparison, *, as_json: bool) -> None:
    """Two artifacts side by side."""
    if as_json:
        write_json(
            {
                "a": found.a,
                "b": found.b,
                "parity": found.parity.model_dump(),
                "metric": None if found.metric is None else found.metric.model_dump(),
                "latency_s": found.latency.model_dump(),
                "size_bytes": [s.raw_bytes for s in found.sizes],
            }
        )
        return
    p, latency = found.parity, found.latency
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("a", found.a, size(found.sizes[0].raw_bytes))
    table.add_row("b", found.b, size(found.sizes[1].raw_bytes))
    equal = (
        "computed in float"
        if p.equal is None
        else f"{equal_share(p.equal)} equal, at most {p.max_lsb} steps apart"
    )
    table.add_row(
        "outputs",
        f"{equal}; largest difference {p.max_abs:.3g}; "
        f"arg-max agrees on {100 * (p.argmax_agreement or 0):.1f}%",
    )
    if found.metric is not None:
        table.add_row("metric", found.metric.words or _value(found.metric))
    ratio = "" if latency.speedup is None else f"b takes {1 / latency.speedup:.2f}x the time of a"
    table.add_row(
        "latency", f"{duration(latency.median)} against {duration(latency.float_median or 0)}; {ratio}"
    )
    write(table)
