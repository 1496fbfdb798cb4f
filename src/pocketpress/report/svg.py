"""SVG elements as escaped markup.  Colours and fonts come from the page's style sheet, by class."""

from __future__ import annotations

import math
from collections.abc import Iterable

from markupsafe import Markup

Number = float | int


def svg(width: Number, height: Number, label: str, parts: Iterable[Markup]) -> Markup:
    """A drawing that scales with its container; ``label`` is what a screen reader says."""
    opening = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
        _text(width), _text(height), label
    )
    return opening + Markup("").join(parts) + Markup("</svg>")


def text(x: Number, y: Number, content: str, kind: str = "", anchor: str = "start") -> Markup:
    """A line of text whose baseline is at ``y``."""
    return Markup('<text x="{}" y="{}" class="{}" text-anchor="{}">{}</text>').format(
        _text(x), _text(y), kind, anchor, content
    )


def rect(
    x: Number, y: Number, width: Number, height: Number, kind: str, title: str = "", r: Number = 2
) -> Markup:
    """A bar; ``title`` appears when pointed at."""
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="{}" class="{}">{}</rect>').format(
        _text(x), _text(y), _text(max(0, width)), _text(max(0, height)), _text(r), kind, _title(title)
    )


def line(x1: Number, y1: Number, x2: Number, y2: Number | str, kind: str) -> Markup:
    """A straight line; ``y2`` may be a share of the drawing ("100%")."""
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(
        _text(x1), _text(y1), _text(x2), _text(y2), kind
    )


def dot(x: Number, y: Number, radius: Number, kind: str, title: str = "") -> Markup:
    """A filled circle."""
    return Markup('<circle cx="{}" cy="{}" r="{}" class="{}">{}</circle>').format(
        _text(x), _text(y), _text(radius), kind, _title(title)
    )


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers from ``low`` to ``high``, steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _title(content: str) -> Markup:
    return Markup("<title>{}</title>").format(content) if content else Markup("")


def _text(value: Number | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".")
