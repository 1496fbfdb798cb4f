"""The charts, each a function from record entries to one inline SVG, or None when there is nothing to draw.

All are drawn 360 units wide: one unit is about one pixel on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pocketpress.core.record import LayerError, Limits, Metric, Stage, TargetEntry
from pocketpress.core.words import digits, duration, name, quantity, size
from pocketpress.report.svg import dot, line, rect, svg, text, ticks
from pocketpress.report.view import decibels

WIDTH = 360.0
BAR_END = 188.0
WORST = 5


def size_chart(targets: Sequence[TargetEntry], limits: Limits) -> Markup | None:
    """Two bars per target, float and artifact; the solid part is what remains after zlib."""
    shown = [t for t in targets if t.size_bytes is not None]
    if not shown:
        return None
    largest = max(max(t.size_bytes or 0, t.float_size_bytes or 0) for t in shown) or 1
    parts = _limit_line(limits.max_size_bytes, largest)
    y = 0.0
    for target in shown:
        parts.append(text(0, y + 12, target.title or target.name, "label halo"))
        y += 18
        rows = [
            ("float", target.float_size_bytes, target.float_size_compressed_bytes),
            ("ours", target.size_bytes, target.size_compressed_bytes),
        ]
        for kind, raw, packed in rows:
            if raw is None:
                continue
            parts += _size_bar(y, kind, raw, packed, largest)
            y += 16
        y += 10
    return svg(WIDTH, y, "Sizes of the artifacts against float", parts)


def _size_bar(y: float, kind: str, raw: int, packed: int | None, largest: int) -> list[Markup]:
    scale = BAR_END / largest
    parts = [rect(0, y, raw * scale, 12, f"{kind} soft", f"{size(raw)} on the phone")]
    note = size(raw)
    if packed is not None:
        parts.append(rect(0, y, packed * scale, 12, kind, f"{size(packed)} in the store"))
        note += f" · {size(packed)} zipped"
    return [*parts, _beside(raw * scale, y + 10, note)]


def latency_chart(targets: Sequence[TargetEntry], limits: Limits) -> Markup | None:
    """Two bars per target: medians, with a whisker to the 90th percentile."""
    shown = [(t, t.latency_s) for t in targets if t.latency_s is not None]
    if not shown:
        return None
    largest = max(max(lat.p90, lat.float_p90 or 0, lat.float_median or 0) for _, lat in shown) or 1.0
    parts = _limit_line(limits.max_latency_s, largest)
    y = 0.0
    for target, latency in shown:
        parts.append(text(0, y + 12, target.title or target.name, "label halo"))
        if latency.speedup is not None:
            kind = "value strong" if latency.speedup >= 1 else "value strong bad"
            parts.append(text(WIDTH, y + 12, f"{latency.speedup:.2f}× as fast", kind, "end"))
        y += 18
        rows = [("float", latency.float_median, latency.float_p90), ("ours", latency.median, latency.p90)]
        for kind, median, p90 in rows:
            if median is None:
                continue
            parts += _latency_bar(y, kind, median, p90, largest)
            y += 16
        y += 10
    return svg(WIDTH, y, "Latency of one inference against float", parts)


def _latency_bar(y: float, kind: str, median: float, p90: float | None, largest: float) -> list[Markup]:
    scale = BAR_END / largest
    title = f"median {duration(median)}" + (f", p90 {duration(p90)}" if p90 is not None else "")
    parts = [rect(0, y, median * scale, 12, kind, title)]
    end = median
    if p90 is not None and p90 > median:
        end = p90
        parts.append(line(median * scale, y + 6, p90 * scale, y + 6, "whisker"))
        parts.append(line(p90 * scale, y + 3, p90 * scale, y + 9, "whisker"))
    return [*parts, _beside(end * scale, y + 10, duration(median))]


@dataclass(frozen=True)
class _Axis:
    """Values between ``low`` and ``high`` over the whole width."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float]) -> _Axis:
        low, high = min(values), max(values)
        margin = (high - low) * 0.06 or 1.0
        return cls(low - margin, high + margin)

    def at(self, value: float) -> float:
        return (value - self.low) * WIDTH / (self.high - self.low)

    def ticks(self) -> list[float]:
        return ticks(self.low, self.high)


def drop_chart(targets: Sequence[TargetEntry], limits: Limits) -> Markup | None:
    """One row per target: the drop with its 95 % interval, zero, and the limit."""
    shown = [(t, t.metric) for t in targets if t.metric is not None and t.metric.drop is not None]
    if not shown:
        return None
    ends = [0.0, *(limit for limit in (limits.max_drop,) if limit is not None)]
    for _, metric in shown:
        ends += [metric.drop or 0.0, *(metric.drop_ci95 or ())]
    axis, unit, bottom = _Axis.around(ends), shown[0][1].unit, len(shown) * 44.0
    parts = [line(axis.at(t), 0, axis.at(t), bottom, "grid") for t in axis.ticks()]
    parts.append(line(axis.at(0), 0, axis.at(0), bottom, "axis"))
    if limits.max_drop is not None:
        parts.append(line(axis.at(limits.max_drop), 0, axis.at(limits.max_drop), bottom, "limit"))
    for row, (target, metric) in enumerate(shown):
        parts += _drop_row(row * 44.0, target, metric, axis)
    parts += [text(axis.at(t), bottom + 14, digits(t, unit), "tick", "middle") for t in axis.ticks()]
    parts.append(text(WIDTH, bottom + 30, f"{name(unit)} lost →".lstrip(), "tick", "end"))
    return svg(WIDTH, bottom + 34, "Drop of the task metric with its 95 % interval", parts)


def _drop_row(y: float, target: TargetEntry, metric: Metric, axis: _Axis) -> list[Markup]:
    drop = metric.drop or 0.0
    parts = [
        text(0, y + 12, target.title or target.name, "label halo"),
        text(WIDTH, y + 12, quantity(drop, metric.unit), "value strong halo", "end"),
    ]
    if metric.drop_ci95 is not None:
        low, high = map(axis.at, metric.drop_ci95)
        parts.append(line(low, y + 27, high, y + 27, "interval"))
        parts += [line(x, y + 22, x, y + 32, "interval") for x in (low, high)]
    kind = "worst" if metric.distinguishable and drop > 0 else "ours"
    return [*parts, dot(axis.at(drop), y + 27, 5, kind, metric.words or "")]


def layer_chart(layers: Sequence[LayerError]) -> Markup | None:
    """One bar per layer in execution order: signal over quantisation noise; the worst are marked."""
    if not layers:
        return None
    finite = [layer.sqnr_db for layer in layers if math.isfinite(layer.sqnr_db)]
    top = max([10.0, *finite]) * 1.08
    bottom_db = min([0.0, *finite])
    height, left = 150.0, 26.0
    worst = {id(layer) for layer in worst_layers(layers)}
    step = (WIDTH - left) / len(layers)
    scale = height / (top - bottom_db)

    def at(value: float) -> float:
        return height - (min(value, top) - bottom_db) * scale

    parts: list[Markup] = []
    for tick in ticks(bottom_db, top):
        parts.append(line(left, at(tick), WIDTH, at(tick), "grid"))
        parts.append(text(left - 5, at(tick) + 4, f"{tick:.0f}", "tick", "end"))
    for index, layer in enumerate(layers):
        kind = "worst" if id(layer) in worst else "ours"
        gap = min(2.0, step * 0.25)
        y = at(layer.sqnr_db)
        title = f"{layer.name}: {decibels(layer.sqnr_db)}"
        parts.append(
            rect(left + index * step, y, step - gap, at(bottom_db) - y, kind, title, r=min(2, step / 4))
        )
    parts.append(text(left, height + 16, "first layer", "tick"))
    parts.append(text(WIDTH, height + 16, "last layer", "tick", "end"))
    return svg(WIDTH, height + 22, "Signal to quantisation noise per layer, in decibels", parts)


def worst_layers(layers: Sequence[LayerError]) -> list[LayerError]:
    """The layers with the most noise, worst first: five, or a quarter of a small network."""
    count = max(1, min(WORST, len(layers) // 4))
    return sorted(layers, key=lambda layer: layer.sqnr_db)[:count]


def stage_chart(stages: Sequence[Stage]) -> Markup | None:
    """One bar per stage: how long the press took."""
    if not stages:
        return None
    longest = max(stage.seconds for stage in stages) or 1.0
    parts: list[Markup] = []
    for row, stage in enumerate(stages):
        y = row * 30.0
        note = duration(stage.seconds) + (" · from the cache" if stage.cached else "")
        parts.append(text(0, y + 11, stage.name, "label small"))
        parts.append(text(WIDTH, y + 11, note, "value", "end"))
        parts.append(rect(0, y + 16, max(1.0, stage.seconds / longest * WIDTH), 6, "float", stage.note or ""))
    return svg(WIDTH, len(stages) * 30.0, "Time per stage", parts)


def _beside(end: float, y: float, content: str) -> Markup:
    return text(end + 6, y, content, "value")


def _limit_line(limit: float | None, largest: float) -> list[Markup]:
    """A line over the whole height, where the limit lies within the chart; drawn first, under the texts."""
    if limit is None or limit > largest * WIDTH / BAR_END:
        return []
    return [line(limit * BAR_END / largest, 0, limit * BAR_END / largest, "100%", "limit")]
