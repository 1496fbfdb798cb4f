"""Time several functions against each other in one loop.

A machine's speed drifts (heat, other work), so the functions are interleaved: every round runs one block of
consecutive inferences of each, in alternating order.  The first inference of a block is not timed: it finds
the caches full of the other function's weights, which no application does.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from pocketpress.core.timing import Times, TimingPlan

Clock = Callable[[], float]


@runtime_checkable
class SelfTimed(Protocol):
    """A function of an inference elsewhere, which takes the time there."""

    def time_block(self, count: int) -> list[float]:
        """Seconds of each of ``count`` consecutive inferences, after one that is not timed."""


def interleave(
    calls: Sequence[Callable[[], object]], plan: TimingPlan | None = None, *, clock: Clock | None = None
) -> Times:
    """Run each function in turn as the plan says.

    Args:
        calls: the functions; one that is `SelfTimed` says itself how long its inferences took.
        plan: how long.
        clock: returns seconds, the plan's own by default.
    """
    plan = plan or TimingPlan()
    clock = clock or (time.process_time if plan.processor else time.perf_counter)
    start = clock()
    overhead = float(np.median([_empty(clock) for _ in range(101)]))
    warmup, once_s = _warm_up(calls, plan, clock)
    block = _fitting_block(plan, once_s)
    rounds: list[list[list[float]]] = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        while len(rounds) < plan.max_rounds:
            if len(rounds) >= plan.min_rounds and clock() - start >= plan.budget_s:
                break
            rounds.append(_round(calls, block, len(rounds) % 2 == 1, clock))
    finally:
        if collecting:
            gc.enable()
    return Times(np.asarray(rounds, dtype=np.float64).transpose(1, 0, 2), warmup, overhead)


def _warm_up(calls: Sequence[Callable[[], object]], plan: TimingPlan, clock: Clock) -> tuple[int, float]:
    """Warm up; returns how often, and the seconds that the last inference of each function took together."""
    start, done, once_s = clock(), 0, 0.0
    while done < plan.warmup and (done == 0 or clock() - start + once_s <= plan.budget_s / 4):
        before = clock()
        for call in calls:
            call()
        once_s = clock() - before
        done += 1
    return done, once_s


def _fitting_block(plan: TimingPlan, once_s: float) -> int:
    if once_s <= 0:
        return plan.block
    return max(1, min(plan.block, int(plan.budget_s / plan.min_rounds / once_s) - 1))


def _round(
    calls: Sequence[Callable[[], object]], block: int, backwards: bool, clock: Clock
) -> list[list[float]]:
    times: list[list[float]] = [[] for _ in calls]
    order = range(len(calls))
    for index in reversed(order) if backwards else order:
        call = calls[index]
        if isinstance(call, SelfTimed):
            times[index] += call.time_block(block)
            continue
        call()
        for _ in range(block):
            before = clock()
            call()
            times[index].append(clock() - before)
    return times


def _empty(clock: Clock) -> float:
    before = clock()
    return clock() - before
