"""Peak memory and load time of one artifact, in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from pocketpress.core.target import Array


class Resident(Protocol):
    """Resident memory of a process, in bytes."""

    @property
    def peak_rss_bytes(self) -> int:
        """The largest since the last artifact was loaded."""

    @property
    def baseline_rss_bytes(self) -> int:
        """Just before the last artifact was loaded."""


class ChildRunner(Protocol):
    """A runner in a child process that can tell the child's memory."""

    load_s: float

    def run(self, feeds: list[Array]) -> list[Array]:
        """Compute one inference."""

    def memory(self) -> Resident:
        """Resident memory of the child."""


Copy = TypeVar("Copy", bound=ChildRunner, covariant=True)


class Reopenable(ChildRunner, Protocol[Copy]):
    """A child runner whose artifact can be opened once more in the same child."""

    def again(self) -> Copy:
        """Open a second copy."""


@dataclass(frozen=True)
class MemoryUse:
    """What loading and a few inferences took.

    Attributes:
        peak_rss_bytes: of a process that loads and runs the artifact: Python, runtime, weights, activations.
        delta_bytes: what a second copy adds to that process: weights as the runtime holds them, and
            activations, without the runtime itself.
        load_s: time to load that second copy, the runtime being there.
    """

    peak_rss_bytes: int
    delta_bytes: int
    load_s: float


def measure_memory(runner: Reopenable[ChildRunner], feeds: list[Array], *, runs: int = 3) -> MemoryUse:
    """Run a few inferences in a fresh child (`devices.isolated.open_isolated`) and read its peak.

    Args:
        runner: just opened, alone in its child; a second copy is left open beside it.
        feeds: one input set, in the file's dtypes.
        runs: inferences of each copy; runtimes may allocate on the first one only.
    """
    for _ in range(runs):
        runner.run(feeds)
    alone = runner.memory()
    second = runner.again()
    for _ in range(runs):
        second.run(feeds)
    both = second.memory()
    delta = max(0, both.peak_rss_bytes - both.baseline_rss_bytes)
    return MemoryUse(alone.peak_rss_bytes, delta, second.load_s)
