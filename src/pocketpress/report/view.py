"""A record's numbers as the texts that the page shows; what is missing is None and gets a dash."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pocketpress.core.record import Drift, Metric, Parity, Record, StepEntry, StepTarget, TargetEntry, Verdict
from pocketpress.core.words import SHARE, digits, duration, quantity, size

Row = tuple[str, str]
VERDICTS: dict[Verdict, tuple[str, str]] = {
    "pass": ("good", "pass"),
    "fail": ("bad", "fail"),
    "vacuous": ("warn", "vacuous"),
    "not executed here": ("idle", "not executed here"),
    "skipped": ("idle", "skipped"),
}
SHOWN_LABELS = 5

EXPLAINED: dict[Verdict, str] = {
    "pass": "Every artifact that runs here keeps what was promised.",
    "fail": "At least one artifact breaks a promise; its card says which.",
    "vacuous": "The outputs hardly depend on the input, so agreement proves nothing.",
    "not executed here": "Converted and checked, but no runtime on this machine executes it.",
    "skipped": "At least one target has no artifact; its card says why.",
}


@dataclass(frozen=True)
class Card:
    """One target at a glance."""

    title: str
    runtime: str | None
    verdict: str
    verdict_kind: str
    artifact: str | None
    facts: tuple[tuple[str, str, str], ...]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    skipped: tuple[Row, ...]
    sha256: str | None


@dataclass(frozen=True)
class ParityRow:
    """One line of the parity table."""

    title: str
    kind: str
    cells: tuple[Row, ...]
    remark: str


@dataclass(frozen=True)
class StepRow:
    """One line of the table of steps."""

    name: str
    detail: str
    cells: tuple[Row, ...]


@dataclass(frozen=True)
class Matrix:
    """Agreement between runtimes: titles, and one row of (text, kind) per title."""

    titles: tuple[str, ...]
    rows: tuple[tuple[tuple[str, str], ...], ...]


def card(target: TargetEntry) -> Card:
    """Texts of one target's card."""
    kind, shown = VERDICTS[target.verdict]
    return Card(
        title=target.title or target.name,
        runtime=target.runtime,
        verdict=shown,
        verdict_kind=kind,
        artifact=target.artifact,
        facts=tuple(_facts(target)),
        reasons=target.reasons,
        notes=target.notes,
        skipped=tuple((entry.name, entry.reason) for entry in target.skipped),
        sha256=target.sha256,
    )


def _facts(target: TargetEntry) -> list[tuple[str, str, str]]:
    """(what, value, small print) of each number that was measured."""
    facts: list[tuple[str, str, str]] = []
    if target.size_bytes is not None:
        before = f"from {size(target.float_size_bytes)}" if target.float_size_bytes is not None else ""
        facts.append(("Size", size(target.size_bytes), before))
    latency = target.latency_s
    if latency is not None:
        threads = f"{latency.threads} thread{'s' if latency.threads != 1 else ''}"
        pace = f"{latency.speedup:.2f}× as fast as float, " if latency.speedup is not None else ""
        what = "Latency" if target.drift is None else "Latency of a step"
        facts.append((what, duration(latency.median), pace + threads))
    if target.metric is not None:
        facts.append(
            (target.metric.name, value(target.metric.value, target.metric.unit), _before(target.metric))
        )
    if target.parity is not None:
        facts.append(_agreement(target.parity))
    if target.drift is not None and target.drift.segments:
        facts.append(_drift(target.drift))
    if target.peak_rss_bytes is not None:
        delta = target.memory_delta_bytes
        own = f"{size(delta)} of it for the network" if delta is not None else ""
        facts.append(("Peak memory", size(target.peak_rss_bytes), own))
    if target.load_s is not None:
        facts.append(("Load", duration(target.load_s), ""))
    return facts


def _before(metric: Metric) -> str:
    return f"float {value(metric.float_value, metric.unit)}" if metric.float_value is not None else ""


def _agreement(parity: Parity) -> tuple[str, str, str]:
    elements = f"of {parity.elements:,} outputs"
    if parity.equal is not None:
        return ("Equal to the reference", percent(parity.equal), elements)
    gap = "–" if parity.max_abs is None else f"{parity.max_abs:.2g}"
    tolerance = "" if parity.tolerance is None else f"tolerance {parity.tolerance:.2g}"
    return ("Largest difference", gap, tolerance)


def _drift(drift: Drift) -> tuple[str, str, str]:
    """Distance from the float network at the first and at the last steps."""
    ends = " → ".join(decibels(drift.segments[i].sqnr_float_db) for i in (0, -1))
    steps = f"{drift.sequences:,} sequences of up to {drift.steps:,} steps, "
    return ("Error over the steps", ends, steps + ("grows" if drift.grows else "does not grow"))


def value(number: float | None, unit: str) -> str:
    """A metric's value: shares as percentages."""
    if number is None:
        return "–"
    return f"{digits(number, unit)} %" if unit == SHARE else quantity(number, unit)


def percent(share: float | None) -> str:
    """A share as a percentage; 100 % and 0 % only where it is exact."""
    if share is None:
        return "–"
    if share in (0.0, 1.0):
        return f"{share:.0%}".replace("%", " %")
    for places in (1, 2, 3, 4):
        text = f"{share * 100:.{places}f}"
        if float(text) not in (0.0, 100.0):
            return f"{text} %"
    return "> 99.9999 %" if share > 0.5 else "< 0.0001 %"


def decibels(number: float | None) -> str:
    """Decibels, or "exact"."""
    if number is None:
        return "–"
    return "exact" if math.isinf(number) else f"{number:.1f} dB"


def counts(targets: Sequence[TargetEntry]) -> tuple[tuple[int, str, str], ...]:
    """(how many, kind, verdict) for each verdict that occurs."""
    verdicts = [target.verdict for target in targets]
    return tuple((verdicts.count(v), *VERDICTS[v]) for v in VERDICTS if v in verdicts)


def parity_rows(targets: Sequence[TargetEntry]) -> tuple[ParityRow, ...]:
    """Targets against the reference interpreter."""
    return tuple(_parity_row(target, target.parity) for target in targets if target.parity is not None)


def _parity_row(target: TargetEntry, parity: Parity) -> ParityRow:
    steps = "–" if parity.max_lsb is None else f"{parity.max_lsb:,}"
    if parity.max_lsb is None and parity.max_abs is not None:
        steps = f"{parity.max_abs:.2g}"
    remark = []
    if parity.vacuous:
        remark.append("vacuous: the outputs hardly depend on the input")
    if parity.first_difference is not None:
        first = parity.first_difference
        remark.append(
            f"first difference at {first.op} {first.tensor}" + (f", {first.source}" if first.source else "")
        )
        if first.note:
            remark.append(first.note)
    if parity.variant:
        remark.append(f"against the variant {parity.variant} of the reference")
    return ParityRow(
        title=target.title or target.name,
        kind="warn" if parity.vacuous else _shade(parity.equal),
        cells=(
            ("equal", percent(parity.equal)),
            ("within 1 step", percent(parity.within_1_lsb)),
            ("largest", steps),
            ("SQNR reference", decibels(parity.sqnr_reference_db)),
            ("SQNR float", decibels(parity.sqnr_float_db)),
            ("arg-max", percent(parity.argmax_agreement)),
        ),
        remark="; ".join(remark),
    )


def step_rows(record: Record) -> tuple[StepRow, ...]:
    """One row per step of a stack: what it left, its metric, and each target's size and time."""
    if not record.steps:
        return ()
    floats = {t.name: t.size_bytes for t in record.steps[0].targets}
    return tuple(_step_row(step, record, floats) for step in record.steps)


def _step_row(step: StepEntry, record: Record, floats: Mapping[str, int | None]) -> StepRow:
    metrics = [m for m in (step.metric, *(t.metric for t in step.targets)) if m is not None]
    worst = max(metrics, key=lambda m: m.drop or 0.0, default=None)
    targets = {t.name: _step_cell(t, floats.get(t.name)) for t in step.targets}
    return StepRow(
        name=step.name,
        detail="; ".join((step.detail, *step.notes)),
        cells=(
            ("weights", "–" if step.parameters is None else f"{step.parameters:,}"),
            ("MACs", "–" if step.multiply_accumulates is None else f"{step.multiply_accumulates:,}"),
            (worst.name if worst is not None else "metric", _step_metric(worst)),
            *((t.title or t.name, targets.get(t.name, "–")) for t in record.targets),
        ),
    )


def _step_metric(metric: Metric | None) -> str:
    if metric is None:
        return "–"
    text = value(metric.value, metric.unit)
    if metric.drop is None or metric.drop_ci95 is None:
        return text
    low, high = (digits(end, metric.unit) for end in metric.drop_ci95)
    return f"{text}, drop {digits(metric.drop, metric.unit)} ({low} to {high})"


def _step_cell(target: StepTarget, float_bytes: int | None) -> str:
    parts = []
    if target.size_bytes is not None:
        parts.append(size(target.size_bytes))
        if float_bytes:
            parts.append(f"{target.size_bytes / float_bytes:.2f}×")
    if target.latency_s is not None and target.latency_s.speedup:
        parts.append(f"{1 / target.latency_s.speedup:.2f}× the time")
    return ", ".join(parts) or "–"


def matrix(record: Record) -> Matrix | None:
    """Agreement of each pair of runtimes."""
    equal: dict[tuple[str, str], float | None] = {}
    for pair in record.between:
        equal[pair.first, pair.second] = equal[pair.second, pair.first] = pair.parity.equal
    names = [target.name for target in record.targets if any(target.name in key for key in equal)]
    if len(names) < 2:
        return None
    titles = {target.name: target.title or target.name for target in record.targets}
    rows = tuple(
        tuple(
            ("", "self") if a == b else (percent(equal.get((a, b))), _shade(equal.get((a, b)))) for b in names
        )
        for a in names
    )
    return Matrix(tuple(titles[name] for name in names), rows)


def _shade(share: float | None) -> str:
    if share is None:
        return "idle"
    return "good" if share == 1 else "near" if share >= 0.99 else "warn" if share >= 0.5 else "bad"


def facts_of(record: Record) -> tuple[tuple[str, tuple[Row, ...]], ...]:
    """Everything else, in named groups of (what, value)."""
    groups = (
        ("Network", _network(record)),
        ("Recipe", _recipe(record)),
        ("Data", _data(record)),
        ("Promises", _limits(record)),
        ("Machine", _machine(record)),
        ("Packages", tuple(record.host.packages.items())),
    )
    return tuple((title, rows) for title, rows in groups if rows)


def _network(record: Record) -> tuple[Row, ...]:
    source = record.source
    rows: list[tuple[str, str | None]] = [
        ("source", source.reference),
        ("source SHA-256", source.sha256),
        ("weights", source.weights),
        ("weights SHA-256", source.weights_sha256),
        ("parameters", f"{source.parameters:,}" if source.parameters is not None else None),
        ("multiply-accumulates", f"{source.multiply_accumulates:,}" if source.multiply_accumulates else None),
    ]
    if record.signature is not None:
        for side, specs in (("input", record.signature.inputs), ("output", record.signature.outputs)):
            rows += [(f"{side} {s.name}", f"{' × '.join(map(str, s.shape))} {s.dtype}") for s in specs]
        rows += [(f"classes of {name}", _named(labels)) for name, labels in record.signature.labels.items()]
        rows += [(f"state {s.input}", f"becomes {s.output} at every step") for s in record.signature.states]
    return _given(rows)


def _named(labels: tuple[str, ...]) -> str:
    """How many, and the first of them."""
    more = ", …" if len(labels) > SHOWN_LABELS else ""
    return f"{len(labels):,}: {', '.join(labels[:SHOWN_LABELS])}{more}"


def _recipe(record: Record) -> tuple[Row, ...]:
    recipe = record.recipe
    seed = None if recipe.seed is None else str(recipe.seed)
    options = [(key, str(chosen)) for key, chosen in recipe.options.items()]
    return _given([("precision", recipe.precision), ("ranges", recipe.estimator), ("seed", seed), *options])


def _data(record: Record) -> tuple[Row, ...]:
    rows: list[tuple[str, str | None]] = []
    for title, entry in (("calibration", record.data.calibration), ("evaluation", record.data.evaluation)):
        if entry is not None:
            rows.append((title, f"{entry.samples:,} samples of {entry.reference}"))
            rows.append((f"{title} SHA-256", entry.sha256))
            rows.append((f"{title} trust", entry.note))
    if record.float_metric is not None:
        metric = record.float_metric
        rows.append(
            (f"float {metric.name}", f"{value(metric.value, metric.unit)} on {metric.samples:,} samples")
        )
    return _given(rows)


def _limits(record: Record) -> tuple[Row, ...]:
    limits = record.limits
    unit = next((t.metric.unit for t in record.targets if t.metric is not None), "")
    allowed = [n for n in ("slower", "larger", "difference", "vacuous") if getattr(limits, f"allow_{n}")]
    return _given(
        [
            ("drop at most", None if limits.max_drop is None else quantity(limits.max_drop, unit)),
            ("size at most", None if limits.max_size_bytes is None else size(limits.max_size_bytes)),
            ("latency at most", None if limits.max_latency_s is None else duration(limits.max_latency_s)),
            ("equal outputs at least", percent(limits.min_equal)),
            ("allowed", ", ".join(allowed) or None),
        ]
    )


def _machine(record: Record) -> tuple[Row, ...]:
    host = record.host
    return _given(
        [
            ("processor", host.cpu),
            ("architecture", host.architecture),
            ("cores", None if host.cores is None else str(host.cores)),
            ("memory", None if host.memory_bytes is None else size(host.memory_bytes)),
            ("system", host.os),
            ("Python", host.python),
            ("Pocketpress", record.pocketpress),
        ]
    )


def _given(rows: Sequence[tuple[str, str | None]]) -> tuple[Row, ...]:
    return tuple((key, shown) for key, shown in rows if shown)
