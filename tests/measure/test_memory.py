"""Peak memory, from a child's own numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketpress.core.target import Array
from pocketpress.measure.memory import MemoryUse, measure_memory


@dataclass(frozen=True)
class Resident:
    peak_rss_bytes: int
    baseline_rss_bytes: int


class GrowingChild:
    load_s = 0.25

    def __init__(self) -> None:
        self.runs = 0

    def run(self, feeds: list[Array]) -> list[Array]:
        self.runs += 1
        return feeds

    def memory(self) -> Resident:
        return Resident(100 + 10 * min(self.runs, 2), 80)


def test_the_peak_is_read_after_a_few_inferences() -> None:
    child = GrowingChild()
    assert measure_memory(child, [np.zeros(1)], runs=3) == MemoryUse(120, 40, 0.25)
    assert child.runs == 3
