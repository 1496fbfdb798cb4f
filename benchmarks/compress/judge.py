"""Which promises the measured rows keep.  Pure functions of `Row`; nothing here measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.compress.rows import OURS, Row, StackRow

STATIC, MOST_DROP, RESCALED_DROP, MARGIN_DB = "w8a8-static", 0.2, 1.0, 2.0
W4A8_DROP = {"mobilenet": 1.5, "resnet": 0.7}
W4_SIZE, W4_DROP = 0.16, 0.7
LEARNING_S = 600.0
RESCALED = "_rescaled"
PRUNED, PRUNED_SHARE, PRUNED_DROP, PRUNED_LATENCY = "resnet56", 0.5, 0.3, 0.62
STACKED_DROP, STACKED_LATENCY, STACKED_SIZE = 1.0, 0.35, 0.15


@dataclass(frozen=True)
class Bar:
    """One promise, judged.

    Attributes:
        claim: what is promised.
        network: of which subject.
        target: in which runtime.
        got: the measured number, in the unit of ``limit``.
        limit: the number promised.
        met: whether the measured number keeps it.
        sure: None where there is no interval; else whether the interval lies on one side of the limit, so
            that more pictures would not change the answer.
        recipe: what was asked for, where a network has several.
    """

    claim: str
    network: str
    target: str
    got: float
    limit: float
    met: bool
    sure: bool | None = None
    recipe: str = ""


def judge(rows: Sequence[Row]) -> tuple[Bar, ...]:
    """Every promise that these rows decide, in their order."""
    return tuple(bar for row in rows if row.tool == OURS for bar in _bars(row, rows))


def _bars(row: Row, rows: Sequence[Row]) -> Iterator[Bar]:
    if row.network.endswith(RESCALED):
        if row.precision == STATIC:
            yield from _drop("rescaled 1:1000, W8A8: drop", row, RESCALED_DROP)
        return
    if row.precision == STATIC:
        yield from _drop("W8A8: drop", row, MOST_DROP)
        yield from _sqnr(row, rows)
        if row.learning_s is not None:
            yield _most("W8A8: seconds of learned rounding", row, row.learning_s, LEARNING_S)
    elif row.precision == "w4a8":
        limit = next((most for family, most in W4A8_DROP.items() if family in row.network), None)
        if limit is not None:
            yield from _drop("W4A8: drop", row, limit)
    elif row.precision == "w4":
        yield _most("W4: size over float", row, row.size_ratio, W4_SIZE)
        yield from _drop("W4: drop", row, W4_DROP)


def judge_stacks(rows: Sequence[StackRow]) -> tuple[Bar, ...]:
    """Every promise that these rows of pruned and quantised networks decide, in their order."""
    found = []
    for network, recipe in dict.fromkeys((row.network, row.recipe) for row in rows):
        chosen = [row for row in rows if (row.network, row.recipe) == (network, recipe)]
        if network == PRUNED and chosen[-1].multiply_accumulates <= PRUNED_SHARE:
            found += [replace(bar, recipe=recipe) for bar in _stack(chosen)]
    return tuple(found)


def _stack(rows: Sequence[StackRow]) -> Iterator[Bar]:
    """Pruned alone: the drop once, and the latency that two runtimes keep.  Quantised too: every runtime."""
    pruned = [row for row in rows if row.step == "prune" and row.latency_ratio is not None]
    yield from _drop(
        "pruned at least 2x: drop", next(row for row in rows if row.step == "fine-tune"), PRUNED_DROP
    )
    second = sorted(pruned, key=lambda row: row.latency_ratio or 0.0)[1]
    yield _most(
        "pruned at least 2x: latency in the second-fastest runtime",
        second,
        second.latency_ratio,
        PRUNED_LATENCY,
    )
    for row in rows:
        if row.step == STATIC:
            yield from _drop("pruned at least 2x and W8A8: drop", row, STACKED_DROP)
            yield _most(
                "pruned at least 2x and W8A8: latency over float", row, row.latency_ratio, STACKED_LATENCY
            )
            yield _most("pruned at least 2x and W8A8: size over float", row, row.size_ratio, STACKED_SIZE)


def _drop(claim: str, row: Row | StackRow, limit: float) -> Iterator[Bar]:
    if row.drop is None or row.drop_ci95 is None:
        return
    low, high = row.drop_ci95
    sure = high <= limit or low > limit
    yield Bar(claim, row.network, row.target, row.drop, limit, row.drop <= limit, sure)


def _sqnr(row: Row, rows: Sequence[Row]) -> Iterator[Bar]:
    peers = [r.sqnr_db for r in rows if r.network == row.network and r.tool != OURS]
    if peers:
        best = max(peers) + MARGIN_DB
        claim = f"W8A8: SQNR over the best peer's + {MARGIN_DB:.0f} dB"
        yield Bar(claim, row.network, row.target, row.sqnr_db, best, row.sqnr_db >= best)


def _most(claim: str, row: Row | StackRow, got: float | None, limit: float) -> Bar:
    assert got is not None
    return Bar(claim, row.network, row.target, got, limit, got <= limit)
