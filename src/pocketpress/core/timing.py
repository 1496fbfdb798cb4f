"""How long to time, and what timing yields; see `devices.timing` for how it is done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MAX_ROUNDS = 10_000


@dataclass(frozen=True)
class TimingPlan:
    """How long to measure.

    Attributes:
        warmup: untimed inferences of each function before anything else; fewer, but at least one, where
            they would take more than a quarter of the budget.
        block: timed inferences per function and round; fewer, but at least one, where the least number of
            rounds would not fit the budget otherwise.
        min_rounds: rounds even when the budget is spent.
        max_rounds: rounds at most.
        budget_s: no new round is begun after this many seconds, warm-up included.
        processor: count the process's own time on the processor, and not the wall clock's: other work on the
            machine then does not show.  Means the same on an idle machine, with one thread only.
    """

    warmup: int = 5
    block: int = 4
    min_rounds: int = 5
    max_rounds: int = 100
    budget_s: float = 5.0
    processor: bool = False

    def __post_init__(self) -> None:
        if self.block < 1 or self.warmup < 1:
            raise ValueError(f"TimingPlan: block {self.block} and warmup {self.warmup} must be at least 1")
        if not 1 <= self.min_rounds <= self.max_rounds <= MAX_ROUNDS:
            raise ValueError(
                f"TimingPlan: min_rounds {self.min_rounds}, max_rounds {self.max_rounds}: "
                f"not in order between 1 and {MAX_ROUNDS}"
            )


@dataclass(frozen=True)
class Times:
    """Raw measurements.

    Attributes:
        seconds: of shape (functions, rounds, block).
        warmup: untimed inferences of each function before.
        overhead_s: median time of an empty measurement; not subtracted.
    """

    seconds: npt.NDArray[np.float64]
    warmup: int
    overhead_s: float
