"""Measure on phones: serve, judge what arrives, keep it, and know when to stop."""

from __future__ import annotations

import datetime
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pocketpress.core.devices import all_devices
from pocketpress.core.errors import ArtifactError
from pocketpress.core.record import DeviceEntry
from pocketpress.devices.phone.addresses import Addresses, addresses
from pocketpress.devices.phone.certificate import server_context
from pocketpress.devices.phone.code import terminal_code
from pocketpress.devices.phone.messages import Result
from pocketpress.devices.phone.server import Arrivals, Content, check_installed, serving
from pocketpress.devices.phone.sessions import Patience, Sessions, View
from pocketpress.devices.store import NOBODY, Store
from pocketpress.pipeline.bench.keep import keep
from pocketpress.pipeline.bench.phone_entry import entry_of
from pocketpress.pipeline.bench.phone_tasks import BEAT_S, Work
from pocketpress.pipeline.bench.rows import Row, rows_of
from pocketpress.web.assets import static_folder

if TYPE_CHECKING:
    import ssl

PAGE = "bench.html"
TICK_S = 0.25
OVER = ("done", "gone")


@dataclass(frozen=True)
class Serving:
    """How to serve, and until when.

    Attributes:
        host: address to listen on.
        port: 0 for a free one.
        plain: no encryption even where others reach the server.
        wait: end when so many phones are done or gone; None goes on.
        timeout_s: end after so many seconds; None for no such end.
        patience: with phones that say nothing.
        linger_s: how long pages have to hear that the command ends.
    """

    host: str = "127.0.0.1"
    port: int = 0
    plain: bool = False
    wait: int | None = None
    timeout_s: float | None = None
    patience: Patience = field(default_factory=Patience)
    linger_s: float = BEAT_S + 0.5


@dataclass(frozen=True)
class Place:
    """Where phones go.

    Attributes:
        address: to open, token included.
        others: the same by other names of this machine.
        port: listened on.
        local: only this machine reaches it.
        code: of ``address``, lines to print in a terminal.
    """

    address: str
    others: tuple[str, ...]
    port: int
    local: bool
    code: str


class Watch:
    """Told what happens; the default says nothing."""

    def opened(self, place: Place) -> None:
        """The server listens."""

    def changed(self, rows: list[Row]) -> None:
        """The table, several times a second."""

    def note(self, text: str) -> None:
        """Something worth a line."""


@dataclass
class Found:
    """What a run yielded.

    Attributes:
        entries: by phone and task.
        rows: the table.
        views: the phones.
        interrupted: by Ctrl-C.
        problems: results that could not be kept, in words.
    """

    entries: dict[tuple[str, str], DeviceEntry] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    views: tuple[View, ...] = ()
    interrupted: bool = False
    problems: list[str] = field(default_factory=list)

    @property
    def lost(self) -> tuple[str, ...]:
        """Phones that began and did not finish."""
        return tuple(view.name for view in self.views if view.state != "done")


def check_serving(how: Serving) -> None:
    """Find out what would keep the server from starting, before samples are computed for it.

    Raises:
        UserError: the address is none of this machine.
        DeviceError: this machine is in no network.
        MissingExtraError: the pages are not built, or a package of the extra ``phone`` is missing.
    """
    check_installed()
    static_folder()
    at = addresses(how.host)
    terminal_code(at.names[0])
    _tls(at, how)


def _tls(at: Addresses, how: Serving) -> ssl.SSLContext | None:
    """Encryption, where others than this machine reach the server."""
    if at.local or how.plain:
        return None
    return server_context(at.names, datetime.datetime.now(datetime.timezone.utc))


def bench_phones(
    work: Work,
    how: Serving,
    store: Store | None,
    stamp: Callable[[], str],
    watch: Watch | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """Serve until enough phones are done, the time is over or Ctrl-C; what arrived is kept at once.

    Raises:
        DeviceError: the address cannot be listened on.
        MissingExtraError: the pages are not built, or a package of the extra ``phone`` is missing.
    """
    watch = watch or Watch()
    at = addresses(how.host)
    tls = _tls(at, how)
    owners = {**dict.fromkeys(all_devices(), NOBODY), **({} if store is None else store.owners())}
    arrivals = Arrivals(Sessions(tuple(work.tasks), how.patience, owners=owners))
    content = Content(static_folder(), PAGE, work.job, work.artifacts, work.golden)
    run = _Run(work, store, stamp, watch, arrivals, clock)
    with serving(content, arrivals, at, how.port, tls) as server:
        code = terminal_code(server.address)
        watch.opened(Place(server.address, server.others, server.port, at.local, code))
        try:
            run.until(how)
        except KeyboardInterrupt:
            run.found.interrupted = True
        run.end(how.linger_s)
    return run.found


class _Run:
    """The loop of the command's own thread."""

    def __init__(
        self,
        work: Work,
        store: Store | None,
        stamp: Callable[[], str],
        watch: Watch,
        arrivals: Arrivals,
        clock: Callable[[], float],
    ) -> None:
        self.work, self.store, self.stamp, self.watch = work, store, stamp, watch
        self.arrivals, self.clock = arrivals, clock
        self.found = Found()
        self._told: dict[str, str] = {}

    def until(self, how: Serving) -> None:
        """Take results until there is a reason to stop."""
        begin = self.clock()
        while True:
            self._take(TICK_S)
            over = sum(view.state in OVER for view in self.found.views)
            if how.wait is not None and over >= how.wait:
                return
            if how.timeout_s is not None and self.clock() - begin >= how.timeout_s:
                self.watch.note("the time is over")
                return

    def end(self, linger_s: float) -> None:
        """Take what is still there, and give pages a moment to hear of the end."""
        self._take(0)
        self.arrivals.ended = True
        until = self.clock() + linger_s
        open_ones = any(v.state in ("measuring", "waiting", "done") for v in self.found.views)
        while open_ones and self.clock() < until:
            try:
                self._take(TICK_S)
            except KeyboardInterrupt:
                self.found.interrupted = True
                return

    def _take(self, patience_s: float) -> None:
        try:
            result = (
                self.arrivals.inbox.get(timeout=patience_s)
                if patience_s
                else self.arrivals.inbox.get_nowait()
            )
            while True:
                self._judge(result)
                result = self.arrivals.inbox.get_nowait()
        except queue.Empty:
            pass
        self.found.views = self.arrivals.sessions.views(self.clock())
        self.found.rows = rows_of(self.found.views, self.found.entries, self.work)
        self.arrivals.table = [row.plain() for row in self.found.rows]
        self._tell()
        self.watch.changed(self.found.rows)

    def _judge(self, result: Result) -> None:
        name = self.arrivals.sessions.name(result.phone)
        task = self.work.tasks[result.task]
        view = next(v for v in self.arrivals.sessions.views(self.clock()) if v.name == name)
        try:
            entry = entry_of(result, name, view.capabilities, task, self.stamp())
        except ArtifactError as error:
            broken = result.model_copy(update={"outcome": "failed", "reason": str(error), "timings": None})
            entry = entry_of(broken, name, view.capabilities, task, self.stamp())
            entry = entry.model_copy(update={"verdict": "fail"})
        self.found.entries[name, task.name] = entry
        for problem in keep(task.subject, entry, self.store, result.phone):
            self.found.problems.append(problem)
            self.watch.note(problem)

    def _tell(self) -> None:
        """Say once when a phone comes, goes, or comes back."""
        for view in self.found.views:
            before, now = self._told.get(view.name), _presence(view)
            if before != now:
                self._told[view.name] = now
                if before is not None or now != "there":
                    self.watch.note(f"{view.name}: {now}")


def _presence(view: View) -> str:
    if view.state == "gone":
        return "gone; nobody waits for it any more"
    if view.state == "closed":
        return "its page was closed before it was done; it goes on when the page is opened again"
    if view.state == "silent":
        return "no answer: screen off, or no network?"
    return "there"
