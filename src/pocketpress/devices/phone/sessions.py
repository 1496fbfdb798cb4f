"""Who is measuring, and what has arrived.  No I/O and no clock: the time is an argument.

A phone is known by an identity that its browser keeps, so that a reload goes on where it was, and a later run
calls it by the same name.  One tab of a phone measures at a time, the one that holds the lease: two would
slow each other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pocketpress.core.errors import ArtifactError, UserError
from pocketpress.devices.phone.messages import Beat, Bye, Capabilities, Hello, Result
from pocketpress.devices.store import slug

MAX_PHONES = 64
LONGEST_NAME = 60
"""Characters, so that a number fits behind it."""
State = Literal["waiting", "measuring", "done", "silent", "closed", "gone"]


@dataclass(frozen=True)
class Patience:
    """Seconds without a word.

    Attributes:
        silent_s: until a phone is shown as silent, and another tab of it may measure.
        gone_s: until nobody waits for it any more; when it comes back it goes on all the same.
    """

    silent_s: float = 12.0
    gone_s: float = 60.0


@dataclass
class _Phone:
    identity: str
    name: str
    capabilities: Capabilities
    tab: str
    seen: float
    beat: Beat | None = None
    closed: bool = False
    results: dict[str, Result] = field(default_factory=dict)


@dataclass(frozen=True)
class Welcome:
    """Answer to `Hello`.

    Attributes:
        name: what the phone is called here.
        lease: this tab measures; another one does otherwise.
        done: tasks that have arrived already.
    """

    name: str
    lease: bool
    done: tuple[str, ...]


@dataclass(frozen=True)
class View:
    """A phone as others see it.

    Attributes:
        results: by task.
        beat: what it said last that it does.
        identity: that its browser keeps.
    """

    name: str
    state: State
    capabilities: Capabilities
    beat: Beat | None
    results: dict[str, Result]
    identity: str = ""


class Sessions:
    """All phones of one run; safe to call from several threads."""

    def __init__(
        self,
        tasks: Sequence[str],
        patience: Patience | None = None,
        limit: int = MAX_PHONES,
        owners: Mapping[str, str | None] | None = None,
    ) -> None:
        """Wait for phones.

        Args:
            tasks: what each has to do.
            patience: with those that say nothing.
            limit: phones at most.
            owners: names that are not free, and whose they are: an identity, `NOBODY`, or None for the next
                phone that is called so.
        """
        self._owners = dict(owners or {})
        self._tasks, self._patience, self._limit = tuple(tasks), patience or Patience(), limit
        self._phones: dict[str, _Phone] = {}
        self._lock = threading.Lock()

    def hello(self, message: Hello, now: float) -> Welcome:
        """Let a page in.

        Raises:
            UserError: there are too many phones.
        """
        with self._lock:
            phone = self._phones.get(message.phone)
            if phone is None:
                if len(self._phones) >= self._limit:
                    raise UserError("too many phones", got=len(self._phones) + 1, allowed=self._limit)
                name = self._name_of(message)
                phone = _Phone(message.phone, name, message.capabilities, message.tab, now)
                self._phones[message.phone] = phone
            held = phone.tab != message.tab and not phone.closed and not self._silent(phone, now)
            lease = message.take_over or not held
            if lease:
                phone.tab, phone.seen, phone.closed = message.tab, now, False
                phone.capabilities, phone.beat = message.capabilities, None
            return Welcome(phone.name, lease, tuple(phone.results))

    def beat(self, message: Beat, now: float) -> bool:
        """Note that a page is alive; returns whether it still holds the lease.

        Raises:
            ArtifactError: the phone never said hello.
        """
        with self._lock:
            phone = self._known(message.phone)
            if phone.tab != message.tab:
                return False
            phone.seen, phone.closed, phone.beat = now, False, message
            return True

    def result(self, message: Result, now: float) -> bool:
        """Take a result; returns whether it is a new one.  The first of a task counts.

        Raises:
            ArtifactError: the phone never said hello, or there is no such task.
            UserError: another tab measures.
        """
        with self._lock:
            phone = self._known(message.phone)
            if message.task not in self._tasks:
                raise ArtifactError("no such task", got=message.task, allowed=self._tasks)
            if message.task in phone.results:
                return False
            if phone.tab != message.tab:
                raise UserError("another tab of this phone measures", next_step="close one of them")
            phone.seen, phone.closed = now, False
            phone.results[message.task] = message
            return True

    def bye(self, message: Bye) -> None:
        """A page was closed; it may come back."""
        with self._lock:
            phone = self._phones.get(message.phone)
            if phone is not None and phone.tab == message.tab:
                phone.closed = True

    def name(self, identity: str) -> str:
        """What a phone is called."""
        with self._lock:
            return self._known(identity).name

    def views(self, now: float) -> tuple[View, ...]:
        """All phones, in the order they came."""
        with self._lock:
            return tuple(
                View(p.name, self._state(p, now), p.capabilities, p.beat, dict(p.results), p.identity)
                for p in self._phones.values()
            )

    def _known(self, identity: str) -> _Phone:
        phone = self._phones.get(identity)
        if phone is None:
            raise ArtifactError("this phone is not known", next_step="reload the page")
        return phone

    def _name_of(self, message: Hello) -> str:
        """What it was called before, else a name that no other phone has: wanted, wanted-2, ..."""
        wanted = slug(message.name or message.capabilities.model or "phone").replace(":", "-")[:LONGEST_NAME]
        taken = {phone.name for phone in self._phones.values()}
        for name in _numbered(wanted, len(self._owners) + 1):
            if self._owners.get(name) == message.phone and name not in taken:
                return name
        return next(
            name
            for name in _numbered(wanted, len(self._owners) + len(taken) + 1)
            if name not in taken and self._owners.get(name) is None
        )

    def _silent(self, phone: _Phone, now: float) -> bool:
        return now - phone.seen > self._patience.silent_s

    def _state(self, phone: _Phone, now: float) -> State:
        if all(task in phone.results for task in self._tasks):
            return "done"
        if now - phone.seen > self._patience.gone_s:
            return "gone"
        if phone.closed:
            return "closed"
        if self._silent(phone, now):
            return "silent"
        return "waiting" if phone.beat is None else "measuring"


def _numbered(name: str, count: int) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in range(2, count + 1))
