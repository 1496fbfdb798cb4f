"""Pruning for a measured latency: the search, with a made-up law of time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pocketpress.compress.prune.plan import PrunePlan
from pocketpress.core.errors import CheckFailed, UserError
from pocketpress.pipeline import latency_objective
from pocketpress.pipeline.latency_objective import choose_alignment, find_share

TOTAL = 10_000


def bench(measure: bool = True) -> Any:
    return SimpleNamespace(targets=[SimpleNamespace(name="litert")], options=SimpleNamespace(measure=measure))


def plan_for(target: float) -> PrunePlan:
    if target < 0.2 * TOTAL:
        raise UserError("cannot prune so far")
    return PrunePlan({}, TOTAL, int(target), 8)


def search(monkeypatch: pytest.MonkeyPatch, wanted: float, fixed: float) -> tuple[float, list[float]]:
    """Time is a fixed share and the rest in proportion to the work."""
    tried: list[float] = []

    def ratio(_: Any, target: str, plan: Any) -> float:
        assert target == "litert"
        tried.append(plan.after / TOTAL)
        return fixed + (1 - fixed) * plan.after / TOTAL

    monkeypatch.setattr(latency_objective, "_ratio", ratio)
    return find_share(bench(), "litert", wanted, TOTAL, plan_for, lambda plan: plan), tried  # type: ignore[arg-type,return-value]


def test_the_largest_share_that_is_fast_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.1 + 0.9 s <= 0.6 at s = 0.556; five candidates from 0.6 leave an interval of 0.55 / 16."""
    share, tried = search(monkeypatch, 0.6, 0.1)
    assert tried[0] == 0.6 and len(tried) == 5
    assert 0.5556 - 0.04 <= share <= 0.5556


def test_out_of_reach_says_what_was_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the least share that can be pruned to, 0.2, time is at best 0.6."""
    with pytest.raises(CheckFailed, match=r"no pruning reaches this latency in litert: got 0\.40x.*at best"):
        search(monkeypatch, 0.4, 0.5)


def test_a_target_that_is_not_there_and_measuring_turned_off() -> None:
    with pytest.raises(UserError, match="names none of the targets: got tpu; allowed: litert"):
        find_share(bench(), "tpu", 0.5, TOTAL, plan_for, lambda plan: plan)  # type: ignore[arg-type,return-value]
    with pytest.raises(UserError, match="--prune-for needs measuring"):
        find_share(bench(False), "litert", 0.5, TOTAL, plan_for, lambda plan: plan)  # type: ignore[arg-type,return-value]


def timed(ratios: dict[int, tuple[float | None, ...]], measure: bool = True) -> Any:
    """A bench whose networks are their alignments, with a latency by target, None: not executed."""

    def targets_of(_: str, align: int, *, timed: bool, only: str | None) -> list[Any]:
        assert timed
        found = [None if r is None else SimpleNamespace(speedup=1 / r) for r in ratios[align]]
        return [SimpleNamespace(latency_s=latency) for latency in (found if only is None else found[:1])]

    return SimpleNamespace(
        exported=lambda align: (None, align), targets_of=targets_of, options=SimpleNamespace(measure=measure)
    )


def chosen(ratios: dict[int, tuple[float | None, ...]], **given: Any) -> dict[int, float]:
    plans = [PrunePlan({}, TOTAL, TOTAL // 2, align) for align in ratios]
    bench = timed(ratios, given.pop("measure", True))
    return dict(choose_alignment(bench, plans, lambda plan: plan.align, **given))  # type: ignore[arg-type,return-value]


def test_the_fastest_alignment_over_all_targets_is_taken() -> None:
    """Geometric means: sqrt(0.4 * 0.9) = 0.6, sqrt(0.5 * 0.5) = 0.5."""
    found = chosen({16: (0.4, 0.9), 8: (0.5, 0.5), 4: (0.7, None)})
    assert list(found) == [8, 16, 4]
    assert found == pytest.approx({8: 0.5, 16: 0.6, 4: 0.7})
    assert next(iter(chosen({16: (0.4, 0.9), 8: (0.5, 0.5)}, only="litert"))) == 16


def test_a_finer_alignment_is_taken_when_the_coarse_one_saves_next_to_nothing() -> None:
    assert next(iter(chosen({16: (0.50,), 8: (0.51,), 4: (0.53,)}))) == 8


@pytest.mark.parametrize(
    ("ratios", "measure"),
    [({16: (0.5,)}, True), ({16: (0.5,), 8: (0.6,)}, False), ({16: (None,), 8: (None,)}, True)],
    ids=["nothing to choose", "measuring is off", "nothing runs here"],
)
def test_without_measurements_nothing_is_chosen(
    ratios: dict[int, tuple[float | None, ...]], measure: bool
) -> None:
    assert chosen(ratios, measure=measure) == {}
