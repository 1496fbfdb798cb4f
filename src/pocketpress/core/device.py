"""What a device is: a machine that loads an artifact in its runtime, runs it and times it.

A device is opened by the text that follows ``--device``: a name, and behind a colon what the name needs
(``host``, ``arm64``, ``ssh:pi@board.local``, ``adb:SERIAL``).  Devices are found through the entry points
``pocketpress.devices``, each a function from the text behind the colon to a `Device`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pocketpress.core.target import Array, Runner, TargetSpec
from pocketpress.core.timing import Times, TimingPlan


@dataclass(frozen=True)
class Description:
    """What a device says of itself.

    Attributes:
        name: as typed after ``--device``.
        kind: ``host``, ``arm64``, ``ssh``, ``adb`` or ``browser``.
        words: processor, memory, system, for people.
        emulated: its times say nothing about any real machine, and are not recorded.
        runtimes: target name to the runtime and version that would execute its artifacts.
    """

    name: str
    kind: str
    words: str
    emulated: bool = False
    runtimes: dict[str, str] = field(default_factory=dict, hash=False)


class Connection(Protocol):
    """A process on a device that can hold several artifacts of any targets."""

    def open(self, path: Path, spec: TargetSpec | None = None, threads: int = 1) -> Runner:
        """Bring an artifact of this machine to the device and load it there.

        Raises:
            ArtifactError: the file is missing, refused by its runtime, or makes the runtime crash.
            DeviceError: the device is gone, hangs, or lacks the runtime.
        """

    def time(self, pairs: Sequence[tuple[Runner, list[Array]]], plan: TimingPlan | None = None) -> Times:
        """Time artifacts of this connection against each other, on the device."""

    def close(self) -> None:
        """End the process and remove what was brought; safe to call twice."""


class Device(Protocol):
    """A machine that runs artifacts."""

    def describe(self) -> Description:
        """Ask the device what it is; raises DeviceError when it cannot be reached."""

    def refuses(self, spec: TargetSpec) -> str | None:
        """Why the device cannot execute a target's artifacts, or None."""

    def connect(self) -> Connection:
        """Start a process there; raises DeviceError when that fails."""

    def close(self) -> None:
        """Give up what is held between connections; safe to call twice."""
