"""From measurements and promises to a verdict with reasons.  A pure function.

The rule about noise: a promise is broken when the *measured* value breaks it, and the reason says whether the
95 % interval leaves it open.  A smaller evaluation set therefore never makes a bad artifact pass.  Only a
slowdown of a few per cent, which a busy machine makes by itself, must also be distinguishable from none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pocketpress.core.record import Latency, Limits, Metric, Parity, TargetEntry, Verdict
from pocketpress.core.words import digits, duration, quantity, size

SLOWER_MARGIN = 0.02
"""Speed-ups down to 1 - this count as equal: where weights lie in memory moves a median that far."""

UNDECIDED_MARGIN = 0.1
"""Down to 1 - this a slowdown must be distinguishable from none: a busy machine moves a median that far."""

Severity = Literal["fail", "vacuous", "note"]


@dataclass(frozen=True)
class Judgement:
    """Attributes: ``verdict``; ``reasons``, the broken promises first, then what was allowed or left open."""

    verdict: Verdict
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class _Finding:
    severity: Severity
    text: str


def judge(target: TargetEntry, limits: Limits) -> Judgement:
    """Judge one target.

    Args:
        target: with everything that was measured; its own ``verdict`` and ``reasons`` are ignored, except
            that "skipped" (no artifact was made) stays.
        limits: what was promised.
    """
    if target.verdict == "skipped":
        return Judgement("skipped", target.reasons)
    findings = [*_sizes(target, limits), *_latencies(target, limits), *_parities(target, limits)]
    findings += [*_drops(target, limits), *_drifts(target)]
    order: tuple[Severity, ...] = ("fail", "vacuous", "note")
    reasons = tuple(f.text for severity in order for f in findings if f.severity == severity)
    found = {finding.severity for finding in findings}
    if "fail" in found:
        return Judgement("fail", reasons)
    if not target.executed:
        return Judgement("not executed here", reasons)
    return Judgement("vacuous" if "vacuous" in found else "pass", reasons)


def judged(target: TargetEntry, limits: Limits) -> TargetEntry:
    """The same target with verdict and reasons filled in."""
    judgement = judge(target, limits)
    return target.model_copy(update={"verdict": judgement.verdict, "reasons": judgement.reasons})


def _fail(broken: str, allowed: bool, option: str) -> _Finding:
    return _Finding("note", f"{broken}; allowed by {option}") if allowed else _Finding("fail", broken)


def _sizes(target: TargetEntry, limits: Limits) -> Iterator[_Finding]:
    if target.size_bytes is None:
        if limits.max_size_bytes is not None:
            yield _Finding("fail", "the size limit could not be checked: the size was not measured")
        return
    shown = size(target.size_bytes)
    if limits.max_size_bytes is not None and target.size_bytes > limits.max_size_bytes:
        yield _Finding("fail", f"size {shown} is over the limit of {size(limits.max_size_bytes)}")
    if target.float_size_bytes is not None and target.size_bytes > target.float_size_bytes:
        broken = f"size {shown} is larger than the float artifact's {size(target.float_size_bytes)}"
        yield _fail(broken, limits.allow_larger, "--allow-larger")


def _latencies(target: TargetEntry, limits: Limits) -> Iterator[_Finding]:
    latency = target.latency_s
    if latency is None:
        if limits.max_latency_s is not None and target.executed:
            yield _Finding("fail", "the latency limit could not be checked: latency was not measured")
        return
    if limits.max_latency_s is not None and latency.median > limits.max_latency_s:
        shown, limit = duration(latency.median), duration(limits.max_latency_s)
        yield _Finding("fail", f"median latency {shown} is over the limit of {limit}")
    yield from _speed(latency, limits, target.stored_only)


def _speed(latency: Latency, limits: Limits, stored_only: bool) -> Iterator[_Finding]:
    if latency.speedup is None or latency.float_median is None or latency.speedup >= 1:
        return
    text = (
        f"slower than the float artifact: {duration(latency.median)} against "
        f"{duration(latency.float_median)}, speed-up {latency.speedup:.2f}"
    )
    if latency.speedup_ci95 is not None:
        low, high = latency.speedup_ci95
        text += f", between {low:.2f} and {high:.2f}"
        if high >= 1:
            text += " (which leaves open that it is as fast)"
    undecided = latency.speedup_ci95 is not None and latency.speedup_ci95[1] >= 1
    if latency.speedup >= 1 - SLOWER_MARGIN:
        yield _Finding("note", f"{text}; within the {SLOWER_MARGIN:.0%} that memory layout alone makes")
    elif stored_only:
        yield _Finding("note", f"{text}; in this runtime the precision makes the file smaller, not faster")
    elif undecided and latency.speedup >= 1 - UNDECIDED_MARGIN:
        yield _Finding("note", f"{text}; measure on a quieter machine to tell")
    else:
        yield _fail(text, limits.allow_slower, "--allow-slower")


def _parities(target: TargetEntry, limits: Limits) -> Iterator[_Finding]:
    parity = target.parity
    if parity is None:
        if target.executed:
            yield _Finding("note", "agreement with the reference was not measured")
        return
    differences = list(_differences(parity, limits))
    for broken in differences:
        yield _fail(broken, limits.allow_difference, "--allow-difference")
    if not differences and _is_loose(parity, limits):
        yield _Finding(
            "note",
            f"{_percent(parity.equal or 0.0)} of the outputs equal the reference: float layers lie between "
            "its integers, whose last bits differ between runtimes; it is as close to the float network",
        )
    if parity.vacuous:
        text = "the outputs hardly depend on the input, so agreement with the reference proves nothing"
        if limits.allow_vacuous:
            yield _Finding("note", f"{text}; allowed by --allow-vacuous")
        else:
            yield _Finding("vacuous", text)


def _is_loose(parity: Parity, limits: Limits) -> bool:
    """Whether fewer outputs are equal than must be, and float layers alone are to blame."""
    first = parity.first_difference
    alone = first is not None and first.op == "none" and parity.required_sqnr_db is not None
    return alone and parity.equal is not None and parity.equal < limits.min_equal


def _differences(parity: Parity, limits: Limits) -> Iterator[str]:
    where = ""
    if parity.first_difference is not None:
        first = parity.first_difference
        where = f"; first at {first.op} {first.tensor}"
        if first.source:
            where += f" ({first.source})"
    if parity.required_sqnr_db is not None:
        reached = parity.sqnr_float_db
        if reached is None or reached < parity.required_sqnr_db:
            got = "unknown" if reached is None else f"{reached:.1f} dB"
            yield (
                f"agrees with the float network to {got} only; the reference of the same program gives "
                f"{parity.required_sqnr_db:.1f} dB and more{where}"
            )
        return
    if parity.tolerance is not None and (parity.max_abs is None or parity.max_abs > parity.tolerance):
        got = "unknown" if parity.max_abs is None else f"{parity.max_abs:.3g}"
        yield f"differs from the reference by {got}, tolerance {parity.tolerance:.3g}{where}"
    if parity.tolerance is None and parity.equal is None:
        yield "agreement with the reference was measured, but neither in steps nor with a tolerance"
    if parity.equal is not None and parity.equal < limits.min_equal:
        yield (
            f"{_percent(parity.equal)} of the outputs equal the reference, "
            f"at least {_percent(limits.min_equal)} must{where}"
        )
    if limits.max_lsb is not None and parity.max_lsb is not None and parity.max_lsb > limits.max_lsb:
        steps = f"{parity.max_lsb} steps, at most {limits.max_lsb} may"
        yield f"an output differs from the reference by {steps}{where}"


def _drops(target: TargetEntry, limits: Limits) -> Iterator[_Finding]:
    if limits.max_drop is None:
        return
    metric = target.metric
    if metric is None or metric.drop is None:
        if target.executed:
            yield _Finding("fail", "the drop limit could not be checked: no metric was measured")
        return
    apart = min(abs(metric.drop - limits.max_drop), limits.max_drop) or None
    drop, limit = (quantity(v, metric.unit, resolution=apart) for v in (metric.drop, limits.max_drop))
    if metric.drop > limits.max_drop:
        text = f"{metric.name} drops by {drop}, over the limit of {limit}"
        yield _Finding("fail", text + _openness(metric, limits.max_drop))
    elif metric.drop_ci95 is not None and metric.drop_ci95[1] > limits.max_drop:
        reach = quantity(metric.drop_ci95[1], metric.unit, resolution=apart)
        text = f"{metric.name} drop of {drop} keeps the limit of {limit}, but its interval reaches {reach}"
        yield _Finding("note", f"{text}: {metric.samples:,} samples leave it open")


def _drifts(target: TargetEntry) -> Iterator[_Finding]:
    """How the error of a network with state develops; no promise speaks of it."""
    found = target.drift
    if found is None or len(found.segments) < 2:
        return
    first, last = (_level(found.segments[i].sqnr_float_db) for i in (0, -1))
    text = f"over {found.steps:,} steps {first} from the float network's outputs at first, {last} at the end"
    if found.growth_db is None:
        yield _Finding("note", f"{text}: too few steps to tell whether the error grows")
    elif found.grows:
        grown = f"by {found.growth_db:.1f} dB from the second quarter of the steps to the last"
        yield _Finding("note", f"{text}: the error grows, {grown}")
    else:
        yield _Finding("note", f"{text}: the error does not grow")


def _level(decibels: float) -> str:
    return "no error" if decibels == float("inf") else f"{decibels:.1f} dB"


def _openness(metric: Metric, limit: float) -> str:
    if metric.drop_ci95 is None:
        return ""
    low, high = metric.drop_ci95
    width = high - low
    shown = f" (95 % interval {digits(low, metric.unit, resolution=width)} to "
    shown += f"{quantity(high, metric.unit, resolution=width)}"
    return shown + (", which includes the limit)" if low <= limit else ", beyond the limit)")


def _percent(share: float) -> str:
    """A share as a percentage that does not round 99.99 % up to 100 %."""
    text = f"{share:.1%}"
    return f"{share:.4%}" if text == "100.0%" and share < 1 else text.replace("100.0%", "100%")
