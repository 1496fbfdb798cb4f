"""One activation's values and the range chosen for them, as a small chart."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from pocketpress.core.record import Histogram, LayerCost
from pocketpress.report.svg import line, rect, svg

WIDTH, HEIGHT = 160.0, 40.0
BINS = 32
MOST = 24
"""Layers drawn: the noisiest, which keeps the page small."""


def histogram_chart(cost: LayerCost) -> Markup | None:
    """32 bars over all values seen, the ends of the range as lines; what lies outside it is clipped."""
    seen, chosen = cost.histogram, cost.range
    if seen is None:
        return None
    low, high = seen.low, seen.high
    if chosen is not None:
        low, high = min(low, chosen[0]), max(high, chosen[1])
    scale = WIDTH / (high - low)
    width = (seen.high - seen.low) / BINS
    parts: list[Markup] = []
    for index, height in enumerate(heights(seen)):
        start = seen.low + index * width
        middle = start + width / 2
        inside = chosen is None or chosen[0] <= middle <= chosen[1]
        tall = height / 255 * HEIGHT
        parts.append(
            rect(
                (start - low) * scale, HEIGHT - tall, width * scale, tall, "ours" if inside else "worst", r=0
            )
        )
    for end in chosen or ():
        parts.append(line((end - low) * scale, 0, (end - low) * scale, HEIGHT, "limit"))
    return svg(WIDTH, HEIGHT, f"Values of {cost.name} and their range", parts)


def heights(seen: Histogram) -> list[int]:
    """Of the bars, 0 to 255."""
    return list(bytes.fromhex(seen.bars))


def noisiest(costs: Sequence[LayerCost]) -> list[LayerCost]:
    """The layers that are drawn, the noisiest first; the largest first where noise was not measured."""
    measured = any(cost.noise is not None for cost in costs)
    order = sorted(costs, key=lambda cost: -(cost.noise or 0.0) if measured else -cost.size_bytes)
    return order[:MOST]
