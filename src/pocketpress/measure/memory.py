"""Peak memory of loading and running one artifact in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pocketpress.core.target import Array


class Resident(Protocol):
    """Resident memory of a process, in bytes."""

    @property
    def peak_rss_bytes(self) -> int:
        """The largest so far."""

    @property
    def baseline_rss_bytes(self) -> int:
        """Before the artifact was loaded, its runtime already imported."""


class ChildRunner(Protocol):
    """A runner in a child process that can tell the child's memory."""

    load_s: float

    def run(self, feeds: list[Array]) -> list[Array]:
        """Compute one inference."""

    def memory(self) -> Resident:
        """Resident memory of the child."""


@dataclass(frozen=True)
class MemoryUse:
    """What loading and a few inferences took.

    Attributes:
        peak_rss_bytes: of the whole child: Python, NumPy, runtime, artifact and activations.
        delta_bytes: the part above the child before it loaded the artifact.
        load_s: time to load, the import of the runtime not counted.
    """

    peak_rss_bytes: int
    delta_bytes: int
    load_s: float


def measure_memory(runner: ChildRunner, feeds: list[Array], *, runs: int = 3) -> MemoryUse:
    """Run a few inferences in a fresh child (`devices.isolated.open_isolated`) and read its peak.

    Args:
        runner: just opened, alone in its child.
        feeds: one input set, in the file's dtypes.
        runs: inferences; runtimes may allocate on the first one only.
    """
    for _ in range(runs):
        runner.run(feeds)
    memory = runner.memory()
    delta = max(0, memory.peak_rss_bytes - memory.baseline_rss_bytes)
    return MemoryUse(memory.peak_rss_bytes, delta, runner.load_s)
