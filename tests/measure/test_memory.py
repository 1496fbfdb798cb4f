"""Peak memory, from a child's own numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketpress.core.target import Array
from pocketpress.measure.memory import MemoryUse, measure_memory


@dataclass
class Resident:
    peak_rss_bytes: int
    baseline_rss_bytes: int


class GrowingChild:
    """The runtime takes 100 bytes once, each copy 7 to load and 20 at its second inference."""

    def __init__(self, resident: Resident | None = None) -> None:
        self.load_s = 0.001 if resident else 3.0
        self.resident = resident or Resident(100, 50)
        self.resident.peak_rss_bytes += 7
        self.runs = 0

    def run(self, feeds: list[Array]) -> list[Array]:
        self.runs += 1
        self.resident.peak_rss_bytes += 20 * (self.runs == 2)
        return feeds

    def memory(self) -> Resident:
        return Resident(self.resident.peak_rss_bytes, self.resident.baseline_rss_bytes)

    def again(self) -> GrowingChild:
        self.resident.baseline_rss_bytes = self.resident.peak_rss_bytes
        return GrowingChild(self.resident)


def test_the_runtime_counts_towards_the_peak_and_not_towards_the_networks_own_share() -> None:
    assert measure_memory(GrowingChild(), [np.zeros(1)]) == MemoryUse(127, 27, 0.001)


def test_an_inference_too_few_would_miss_what_is_allocated_late() -> None:
    assert measure_memory(GrowingChild(), [np.zeros(1)], runs=1).delta_bytes == 7
