"""The timing loop, on a clock that the test moves."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest

from pocketpress.core.timing import TimingPlan
from pocketpress.devices.timing import interleave


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def __call__(self) -> float:
        return self.now

    def takes(self, name: str, seconds: float) -> object:
        def call() -> None:
            self.log.append(name)
            self.now += seconds

        return call


def test_rounds_alternate_in_blocks_whose_first_call_is_not_timed() -> None:
    clock = Clock()
    calls = [clock.takes("a", 3.0), clock.takes("b", 1.0)]
    plan = TimingPlan(warmup=1, block=2, min_rounds=2, max_rounds=2, budget_s=100)
    times = interleave(calls, plan, clock=clock)  # type: ignore[arg-type]
    assert "".join(clock.log) == "ab" + "aaabbb" + "bbbaaa"
    np.testing.assert_array_equal(times.seconds, [[[3, 3], [3, 3]], [[1, 1], [1, 1]]])
    assert times.warmup == 1 and times.overhead_s == 0


def test_what_times_itself_is_asked_for_its_blocks() -> None:
    clock = Clock()

    class Elsewhere:
        """An inference in a page: it costs this clock the way there and back, and says its own seconds."""

        def __call__(self) -> None:
            clock.log.append("e")
            clock.now += 10.0

        def time_block(self, count: int) -> list[float]:
            clock.log.append(f"block of {count}")
            clock.now += 50.0
            return [0.5] * count

    plan = TimingPlan(warmup=1, block=2, min_rounds=2, max_rounds=2, budget_s=1000)
    times = interleave([Elsewhere(), clock.takes("a", 3.0)], plan, clock=clock)  # type: ignore[list-item]
    assert clock.log == ["e", "a", "block of 2", "a", "a", "a", "a", "a", "a", "block of 2"]
    np.testing.assert_array_equal(times.seconds, [[[0.5, 0.5], [0.5, 0.5]], [[3, 3], [3, 3]]])


def test_it_stops_at_the_budget_but_not_before_the_least_number_of_rounds() -> None:
    clock = Clock()
    plan = TimingPlan(warmup=1, block=1, min_rounds=2, max_rounds=50, budget_s=10.0)
    times = interleave([clock.takes("a", 1.0)], plan, clock=clock)  # type: ignore[list-item]
    assert times.seconds.shape == (1, 5, 1)  # after 1 s, rounds of 2 s: the fifth begins at 9 s
    slow = Clock()
    times = interleave([slow.takes("a", 100.0)], plan, clock=slow)  # type: ignore[list-item]
    assert times.seconds.shape == (1, 2, 1)


def test_the_processors_own_time_is_counted_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, own = Clock(), Clock()
    monkeypatch.setattr("time.perf_counter", wall)
    monkeypatch.setattr("time.process_time", own)
    plan = TimingPlan(warmup=1, block=1, min_rounds=1, max_rounds=1, processor=True)
    busy = own.takes("busy", 2.0)

    def call() -> None:
        busy()  # type: ignore[operator]
        wall.now += 7.0  # other work on the machine

    np.testing.assert_array_equal(interleave([call], plan).seconds, [[[2.0]]])
    np.testing.assert_array_equal(interleave([call], replace(plan, processor=False)).seconds, [[[7.0]]])


def test_the_garbage_collector_is_put_back_even_after_an_error() -> None:
    seen: list[bool] = []

    def once() -> None:
        seen.append(gc.isenabled())
        if len(seen) == 2:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        interleave([once], TimingPlan(warmup=1))
    assert seen == [True, False] and gc.isenabled()


def test_slow_functions_get_fewer_warm_ups_and_smaller_blocks() -> None:
    clock = Clock()
    plan = TimingPlan(warmup=5, block=4, min_rounds=5, max_rounds=9, budget_s=60.0)
    times = interleave([clock.takes("a", 3.0), clock.takes("b", 1.0)], plan, clock=clock)  # type: ignore[list-item]
    assert times.warmup == 3  # 12 s of 15; a fourth would take 16
    assert times.seconds.shape == (2, 5, 2)  # a round in 60 / 5 = 12 s: two timed, one not, of 4 s together
    assert clock.now == 12 + 5 * 12


def test_an_impossible_plan_dies_at_construction() -> None:
    with pytest.raises(ValueError, match="block 0 and warmup 5"):
        TimingPlan(block=0)
    with pytest.raises(ValueError, match="min_rounds 5, max_rounds 4"):
        TimingPlan(min_rounds=5, max_rounds=4)
