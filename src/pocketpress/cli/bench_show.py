"""The table of phones, live on stderr and as the result on stdout."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pocketpress.cli.show import COLORS, write, write_json
from pocketpress.pipeline.bench.phone_tasks import Work
from pocketpress.pipeline.bench.phones import Found, Place, Watch
from pocketpress.pipeline.bench.rows import Row

COLUMNS = (
    ("phone", "phone"),
    ("artifact", "artifact"),
    ("runtime", "runtime"),
    ("agrees", "equal"),
    ("median", "median"),
    ("p90", "p90"),
    ("of float", "speedup"),
    ("load", "load"),
    ("sustained", "sustained"),
)
PERIOD_S = 0.25


def phone_table(rows: list[Row]) -> Table:
    """One row per phone and artifact; what a phone says is plain text, never markup."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title, _ in COLUMNS:
        table.add_column(title, no_wrap=title in ("median", "p90", "agrees"))
    table.add_column("verdict", no_wrap=True)
    remarks = any(row.remark for row in rows if row.state == "pending")
    if remarks:
        table.add_column("", overflow="fold")
    for row in rows:
        cells = [Text(str(getattr(row, field))) for _, field in COLUMNS]
        verdict = "" if row.state == "pending" else row.state
        if row.steady is False:
            verdict += ", unsteady"
        remark = [Text(row.remark if row.state == "pending" else "")] if remarks else []
        table.add_row(*cells, Text(verdict, style=COLORS.get(row.state, "")), *remark)
    return table


class LiveWatch(Watch):
    """Address and code once, then the table as it fills."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.view = Live(Text(""), console=console, refresh_per_second=4, transient=True)
        self._drawn = 0.0

    def opened(self, place: Place) -> None:
        """Say where to go."""
        announce(place, self.console, drawn=True)
        self.view.start()

    def changed(self, rows: list[Row]) -> None:
        """Draw again, at most four times a second."""
        if time.monotonic() - self._drawn >= PERIOD_S:
            self._drawn = time.monotonic()
            self.view.update(phone_table(rows) if rows else Text("waiting for the first phone"))

    def note(self, text: str) -> None:
        """A line above the table."""
        self.view.console.print(Text(text))


class PlainWatch(Watch):
    """Lines, where stderr is no terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._seen: set[tuple[str, str]] = set()

    def opened(self, place: Place) -> None:
        """Say where to go."""
        announce(place, self.console, drawn=False)

    def changed(self, rows: list[Row]) -> None:
        """A line per finished row."""
        for row in rows:
            if row.state != "pending" and (row.phone, row.artifact) not in self._seen:
                self._seen.add((row.phone, row.artifact))
                words = [row.phone, row.artifact, row.runtime, row.median, row.equal, row.state, row.remark]
                self.note("  ".join(filter(None, words)))

    def note(self, text: str) -> None:
        """A line."""
        self.console.print(Text(text), soft_wrap=True)


def announce(place: Place, console: Console, *, drawn: bool) -> None:
    """Address, code and what to know about them."""
    console.print(Text(f"open on a phone: {place.address}"), soft_wrap=True)
    if drawn:
        console.print(Text(place.code), soft_wrap=True, highlight=False)
    for other in place.others:
        console.print(Text(f"           also: {other}"), soft_wrap=True)
    if place.address.startswith("https"):
        console.print(
            "The browser warns of the certificate, which was made for this run: go on all the same."
        )
    elif place.local:
        port = place.port
        console.print(f"Only this machine reaches it: give --host, or run adb reverse tcp:{port} tcp:{port}")
    console.print("Ctrl-C ends it; what has arrived is kept.")


@contextlib.contextmanager
def watching() -> Iterator[Watch]:
    """Live on a terminal, lines elsewhere; on stderr."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainWatch(console)
        return
    watch = LiveWatch(console)
    try:
        yield watch
    finally:
        watch.view.stop()


def found(result: Found, work: Work, *, as_json: bool) -> None:
    """What was measured."""
    if as_json:
        write_json(
            {
                "phones": [
                    {"name": v.name, "state": v.state, "capabilities": v.capabilities.model_dump()}
                    for v in result.views
                ],
                "measurements": [
                    {
                        "phone": phone,
                        "artifact": work.tasks[task].subject.name,
                        "sha256": work.tasks[task].subject.sha256,
                        "backend": work.tasks[task].backend,
                        "entry": entry.model_dump(mode="json"),
                    }
                    for (phone, task), entry in result.entries.items()
                ],
                "refused": [{"artifact": name, "reason": reason} for name, reason in work.refused],
                "problems": result.problems,
                "interrupted": result.interrupted,
            }
        )
        sys.stdout.flush()
        return
    write(phone_table(result.rows))
    for row in result.rows:
        if row.state != "pending" and row.remark:
            write(f"{row.phone}, {row.artifact}: {row.remark}")
    for name in dict.fromkeys(view.name for view in result.views if view.state == "done"):
        write(f"kept: pocketpress press ... --device {name} --max-latency judges by this")
