"""Which network of the zoo fits a budget of time and size, the most accurate first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pocketpress.core.errors import CheckFailed, UserError
from pocketpress.core.precision import parse_precision
from pocketpress.core.target import TargetSpec
from pocketpress.core.targets import resolve_targets
from pocketpress.core.words import duration, size
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.zoo.facts import HERE, REFERENCE, counted
from pocketpress.pipeline.zoo.measure import measurable, measured
from pocketpress.pipeline.zoo.store import Measurements, Store, Timing, reference
from pocketpress.zoo.cards import CARDS, TASKS, Known
from pocketpress.zoo.names import Choice, parse

HOPELESS = 2.0
"""A network is not measured when a scaled latency is so many times the limit."""
NEAREST = 3


@dataclass(frozen=True)
class Budget:
    """What is asked for.

    Attributes:
        task: one of `zoo.cards.TASKS`.
        targets: comma-separated names; every one must keep the limits.
        precision: of the artifacts.
        max_latency_s: of one inference on this machine.
        max_size_bytes: of an artifact.
        shape: of the input; None for the sizes that networks were published with.
        classes: number of outputs; None for those published.
        top: how many are wanted.
        threads: of every runtime.
        measures: measure what is not known yet.
    """

    task: str
    targets: str = "litert,executorch,onnxruntime"
    precision: str = "w8a8-static"
    max_latency_s: float | None = None
    max_size_bytes: int | None = None
    shape: tuple[int, ...] | None = None
    classes: int | None = None
    top: int = 3
    threads: int = 1
    measures: bool = True

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise UserError("unknown task", got=self.task, allowed=TASKS)
        if self.max_latency_s is None and self.max_size_bytes is None:
            raise UserError("no budget", next_step="give --max-latency, --max-size or both")


@dataclass(frozen=True)
class Candidate:
    """A network, what it is ranked by, and how it stands to the budget.

    Attributes:
        choice: the network.
        parameters: trained numbers.
        macs: multiply-accumulates.
        known: published accuracy of this width and size, or None.
        ranked_by: in words.
        latency_s: of the slowest target, or None.
        size_bytes: of the largest artifact, or None.
        basis: where latency and size come from: measured here, on the reference machine, or estimated.
        excluded: why it does not fit, or is not looked at; None where it fits.
        excess: largest ratio of a quantity over its limit; 0 where nothing is known.
    """

    choice: Choice
    parameters: int
    macs: int
    known: Known | None
    ranked_by: str
    latency_s: float | None = None
    size_bytes: int | None = None
    basis: str = ""
    excluded: str | None = None
    excess: float = 0.0


@dataclass(frozen=True)
class Suggestion:
    """What fits, best first, and everything else with its reason.

    Attributes:
        budget: asked for.
        targets: that were looked at.
        left_out: named targets that lack the precision, or do not execute here.
        fitting: keep every limit.
        others: do not, or were not looked at.
        machine: this one, in words.
    """

    budget: Budget
    targets: tuple[str, ...]
    left_out: tuple[str, ...]
    fitting: tuple[Candidate, ...]
    others: tuple[Candidate, ...]
    machine: str


def suggest(budget: Budget, store: Store, events: Events | None = None) -> Suggestion:
    """Walk down the ranking until enough networks fit.

    Raises:
        CheckFailed: nothing fits; names the nearest.
        UserError: no network takes such an input, or a target does not run here.
    """
    events = events or Events()
    targets = measurable(budget.targets, budget.precision)
    ranked = rank(candidates(budget))
    search = _Search(budget, targets, store, reference(), events)
    looked = [search.judged(candidate) for candidate in ranked]
    fitting = tuple(c for c in looked if c.excluded is None)
    if not fitting:
        raise _nothing_fits(budget, looked)
    others = tuple(c for c in looked if c.excluded is not None)
    names = tuple(spec.name for spec in targets)
    left_out = tuple(s.name for s in resolve_targets(budget.targets) if s.name not in names)
    return Suggestion(budget, names, left_out, fitting, others, store.found.machine)


def candidates(budget: Budget) -> list[Choice]:
    """Networks of the task in the widths they were published with, for the asked input.

    Raises:
        UserError: none takes such an input.
    """
    found: list[Choice] = []
    refusals: list[str] = []
    for card in CARDS.values():
        if card.task != budget.task:
            continue
        plain = parse(card.name)
        classes = budget.classes or card.classes
        if budget.shape is None:
            pairs = [(known.width, known.size) for known in card.known] or [(1.0, card.size)]
            found += [Choice(card, width, side, classes) for width, side in pairs]
            continue
        try:
            fitted = replace(plain.with_shape(budget.shape), classes=classes)
        except UserError as error:
            refusals.append(str(error))
            continue
        widths = dict.fromkeys([known.width for known in card.known] or [1.0])
        found += [replace(fitted, width=width) for width in widths]
    if not found:
        raise UserError("no network of the task takes this input", got=budget.shape, next_step=refusals[0])
    return found


def rank(choices: Sequence[Choice]) -> list[Candidate]:
    """The most accurate first; those without an accuracy behind, by multiply-accumulates.

    Accuracies compare on one data set only: that which most of the candidates were published with.
    """
    found = [Candidate(c, *counted(c), c.card.top1(c.width, c.size), "") for c in choices]
    votes = Counter(c.known.data for c in found if c.known is not None)
    data = votes.most_common(1)[0][0] if votes else None

    def order(candidate: Candidate) -> tuple[bool, float, int]:
        known = candidate.known
        comparable = known is not None and known.data == data
        return (not comparable, -known.top1 if known and comparable else 0.0, -candidate.macs)

    return [replace(c, ranked_by=_ranked_by(c, data)) for c in sorted(found, key=order)]


def _ranked_by(candidate: Candidate, data: str | None) -> str:
    known = candidate.known
    if known is not None and known.data == data:
        return f"top-1 {known.top1:.1%} on {known.data}"
    return f"{candidate.macs / 1e6:,.1f} M multiply-accumulates, no accuracy known"


class _Search:
    """Judges candidates in order of rank, and measures no more than it must."""

    def __init__(
        self,
        budget: Budget,
        targets: Sequence[TargetSpec],
        store: Store,
        shipped: Measurements | None,
        events: Events,
    ) -> None:
        self.budget, self.targets, self.store, self.events = budget, targets, store, events
        self.shipped = shipped
        self.fitting = 0

    def judged(self, candidate: Candidate) -> Candidate:
        """The candidate with what is known of it and, if it does not fit, why."""
        least = int(candidate.parameters * parse_precision(self.budget.precision).weight_bits / 8)
        limit = self.budget.max_size_bytes
        if limit is not None and least > limit:
            return self._too_large(candidate, least, limit)
        if self.fitting >= self.budget.top:
            return replace(candidate, excluded=f"not looked at: {self.fitting} of higher rank fit")
        rows, basis = self._known(candidate)
        if not rows and self.budget.measures:
            hopeless = self._hopeless(candidate)
            if hopeless is not None:
                return hopeless
            rows = measured(candidate.choice, self.targets, (self.budget.precision,), self.store, self.events)
            basis = HERE
        if not rows:
            return replace(candidate, excluded="not measured on this machine or the reference one")
        return self._compared(candidate, rows, basis)

    def _too_large(self, candidate: Candidate, least: int, limit: int) -> Candidate:
        """Excluded by its weights; what is known of its latency is said too."""
        found = replace(
            candidate, size_bytes=least, basis="its weights alone", excess=least / limit,
            excluded=f"--max-size: its weights alone are {size(least)}",
        )  # fmt: skip
        rows, _ = self._known(candidate)
        scaled = self._scaled(candidate)
        seconds = max((row.median_s or 0.0 for row in rows), default=scaled[0] if scaled else 0.0)
        if self.budget.max_latency_s is None or seconds <= self.budget.max_latency_s:
            return found
        return replace(
            found,
            latency_s=seconds,
            excess=max(found.excess, seconds / self.budget.max_latency_s),
            excluded=f"{found.excluded}; --max-latency: about {duration(seconds)}",
        )

    def _known(self, candidate: Candidate) -> tuple[list[Timing], str]:
        """All targets measured here, or, where nothing may be measured, on the reference machine."""
        places: list[tuple[Measurements | None, str]] = [(self.store.found, HERE)]
        if not self.budget.measures:
            places.append((self.shipped, REFERENCE))
        for measurements, where in places:
            if measurements is None:
                continue
            name, precision = str(candidate.choice), self.budget.precision
            rows = [measurements.find(name, spec.name, precision) for spec in self.targets]
            failed = self.budget.measures and any(row is not None and row.failure for row in rows)
            found = [row for row in rows if row is not None]
            if len(found) == len(self.targets) and not failed:
                return found, where
        return [], ""

    def _hopeless(self, candidate: Candidate) -> Candidate | None:
        """Excluded by the latency of the same architecture in another width or size, by far."""
        limit = self.budget.max_latency_s
        if limit is None:
            return None
        scaled = self._scaled(candidate)
        if scaled is None or scaled[0] <= HOPELESS * limit:
            return None
        return replace(
            candidate, latency_s=scaled[0], basis=scaled[1], excess=scaled[0] / limit,
            excluded=f"--max-latency: about {duration(scaled[0])}, {scaled[1]}",
        )  # fmt: skip

    def _scaled(self, candidate: Candidate) -> tuple[float, str] | None:
        names = {spec.name for spec in self.targets}
        for measurements, where in ((self.store.found, HERE), (self.shipped, REFERENCE)):
            if measurements is None:
                continue
            slowest: dict[str, float] = {}
            for row in measurements.timings:
                if row.target in names and row.precision == self.budget.precision and row.median_s:
                    slowest[row.network] = max(slowest.get(row.network, 0.0), row.median_s)
            likes = {n: s for n, s in slowest.items() if parse(n).card is candidate.choice.card}
            if likes:
                near = min(likes, key=lambda n: abs(counted(parse(n))[1] - candidate.macs))
                seconds = likes[near] * candidate.macs / counted(parse(near))[1]
                return seconds, f"scaled from {near} on the {where}"
        return None

    def _compared(self, candidate: Candidate, rows: Sequence[Timing], basis: str) -> Candidate:
        failed = next((row for row in rows if row.failure is not None), None)
        if failed is not None:
            return replace(candidate, basis=basis, excluded=f"{failed.target}: {failed.failure}")
        slowest = max(rows, key=lambda row: row.median_s or 0.0)
        largest = max(rows, key=lambda row: row.size_bytes or 0)
        candidate = replace(candidate, latency_s=slowest.median_s, size_bytes=largest.size_bytes, basis=basis)
        broken: list[str] = []
        ratios = [0.0]
        for option, row, value, most, words in (
            ("--max-latency", slowest, slowest.median_s, self.budget.max_latency_s, duration),
            ("--max-size", largest, largest.size_bytes, self.budget.max_size_bytes, size),
        ):
            if most is None or value is None:
                continue
            ratios.append(value / most if most else float("inf"))
            if value > most:
                broken.append(_broken(option, row, value, words))
        excess = max(ratios)
        if broken:
            return replace(candidate, excluded="; ".join(broken), excess=excess)
        self.fitting += 1
        return replace(candidate, excess=excess)


def _broken(option: str, row: Timing, value: float, words: Callable[[float], str]) -> str:
    return f"{option}: {words(value)} in {row.target}"


def _nothing_fits(budget: Budget, looked: Sequence[Candidate]) -> CheckFailed:
    near = sorted((c for c in looked if c.excess > 0), key=lambda c: c.excess)[:NEAREST]
    limits = []
    if budget.max_latency_s is not None:
        limits.append(f"--max-latency {duration(budget.max_latency_s)}")
    if budget.max_size_bytes is not None:
        limits.append(f"--max-size {size(budget.max_size_bytes)}")
    nearest = ", ".join(f"{c.choice} at {c.excess:.2f}x ({c.excluded})" for c in near) or "nothing measured"
    return CheckFailed(
        "no network of the zoo fits",
        got=" and ".join(limits),
        allowed=f"more; the nearest: {nearest}",
        next_step=_next_step(budget, near),
    )


def _next_step(budget: Budget, near: Sequence[Candidate]) -> str:
    """What would let something in: the limits of the nearest, fewer targets, fewer bits, a smaller input."""
    steps = []
    latency, largest = (near[0].latency_s, near[0].size_bytes) if near else (None, None)
    if latency is not None and budget.max_latency_s is not None and latency > budget.max_latency_s:
        steps.append(f"raise --max-latency to {duration(latency)}")
    if largest is not None and budget.max_size_bytes is not None and largest > budget.max_size_bytes:
        steps.append(f"raise --max-size to {size(largest)}")
    allowed = [" and ".join(steps)] if steps else []
    if "," in budget.targets:
        allowed.append("name one --target (the slowest and the largest count)")
    if budget.precision == "fp32":
        allowed.append("choose --precision w8a8-static")
    allowed.append("give a smaller --input, or press the nearest with --prune")
    return ", ".join(allowed)
