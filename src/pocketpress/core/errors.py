"""Every error Pocketpress raises on purpose, split by who must act.

    PocketpressError
    ├── UserError          exit 2   the command, a file or a network given by the user
    │   ├── SourceError             the network cannot be read or exported
    │   ├── DataError               calibration or evaluation data
    │   ├── ArtifactError           a file that is not a loadable artifact, or inputs that do not fit it
    │   └── UnsupportedError        an operator or precision that a target lacks
    │       ├── BlockedError        operators of the network that no target has, all at once
    │       └── MissingExtraError   a target whose Python packages are not installed
    ├── CheckFailed        exit 3   the artifact was built, and did not keep a promise
    ├── DeviceError        exit 4   the machine: disk, memory, a crashed or hanging runtime
    ├── TrustError         exit 5   a signature or hash that does not hold
    ├── InternalError      exit 70  our bug
    └── Interrupted        exit 130 nobody: the user ended the command, and what was done until then is kept

A message is one line of up to four parts: what, got, allowed, next step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST_NAMED = 8
"""Operators that one message names."""


class PocketpressError(Exception):
    """Base of all deliberate errors; ``exit_code`` is what the command line returns."""

    exit_code = 70

    def __init__(
        self, what: str, *, got: object = None, allowed: object = None, next_step: str | None = None
    ) -> None:
        """Compose the one-line message.

        Args:
            what: what is wrong, as a clause ("unknown target").
            got: the offending value.
            allowed: what would have been accepted.
            next_step: what the reader should do now.
        """
        self.what, self.got, self.allowed, self.next_step = what, got, allowed, next_step
        super().__init__(compose(what, got, allowed, next_step))


def compose(what: str, got: object, allowed: object, next_step: str | None) -> str:
    """Return "what: got X; allowed: Y; next" on one line."""
    text = what
    if got is not None:
        text += f": got {got}"
    if allowed is not None:
        shape = isinstance(allowed, tuple) and all(isinstance(d, int) for d in allowed)
        several = isinstance(allowed, (list, tuple, set)) and not shape
        listed = ", ".join(map(str, allowed)) if several else allowed  # type: ignore[call-overload]
        text += f"; allowed: {listed}"
    if next_step:
        text += f"; {next_step}"
    return " ".join(text.split())


class UserError(PocketpressError):
    """The user must change the command, a file or the network."""

    exit_code = 2


class SourceError(UserError):
    """The network cannot be found, read or exported."""


class DataError(UserError):
    """Calibration or evaluation data is missing, malformed or does not fit the network."""


class ArtifactError(UserError):
    """A file is not a loadable artifact, or the arrays given to it do not fit."""


class UnsupportedError(UserError):
    """A target lacks an operator or a precision."""


@dataclass(frozen=True)
class Blocker:
    """Why a network cannot be pressed.

    Attributes:
        where: the user's line, or the node of a file.
        op: operator, as its source calls it.
        reason: what is not supported about it.
        instead: what to replace it by; "" where nothing is known.
    """

    where: str
    op: str
    reason: str
    instead: str = ""


class BlockedError(UnsupportedError):
    """Operators of a network that are not supported, all of them.

    Attributes:
        blockers: one an operator, in order.
    """

    def __init__(self, blockers: Sequence[Blocker]) -> None:
        """Name them; the message of one alone says what is wrong with it."""
        self.blockers = tuple(blockers)
        first = self.blockers[0]
        if len(self.blockers) == 1:
            super().__init__(
                f"{first.where}: {first.reason}",
                next_step=first.instead or "replace it by supported operators (docs/support.md)",
            )
            return
        named: dict[str, list[str]] = {}
        for blocker in self.blockers:
            short = blocker.where.removeprefix("node ").partition(": ")[0]
            named.setdefault(blocker.op, []).append(short)
        listed = [f"{op} ({at[0]}{', ...' if len(at) > 1 else ''})" for op, at in named.items()]
        more = f" and {len(listed) - MOST_NAMED} more" if len(listed) > MOST_NAMED else ""
        super().__init__(
            "the network has operators that are not supported",
            got=", ".join(listed[:MOST_NAMED]) + more,
            next_step="see what to replace them by with pocketpress inspect",
        )


class MissingExtraError(UnsupportedError):
    """A target needs Python packages that are not installed."""


class CheckFailed(PocketpressError):
    """An artifact was built and broke a promise (size, latency, accuracy, parity)."""

    exit_code = 3


class DeviceError(PocketpressError):
    """The machine failed: no room, no memory, a runtime that crashed or hung."""

    exit_code = 4


class TrustError(PocketpressError):
    """A hash or signature does not hold."""

    exit_code = 5


class InternalError(PocketpressError):
    """A bug in Pocketpress."""

    exit_code = 70


class Interrupted(PocketpressError):
    """Ctrl-C, where something was done and kept before."""

    exit_code = 130
