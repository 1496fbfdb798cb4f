"""The costliest layers of a press, as the page's table shows them."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from pocketpress.core.record import LayerCost, Record
from pocketpress.core.words import size
from pocketpress.report.histograms import histogram_chart, noisiest
from pocketpress.report.view import Row, decibels, percent

FLOAT_BITS = 32


@dataclass(frozen=True)
class CostRow:
    """One layer: what it is stored in and what that costs."""

    name: str
    op: str
    source: str
    bits: str
    cells: tuple[Row, ...]
    chart: Markup | None
    reason: str


def cost_rows(record: Record) -> tuple[CostRow, ...]:
    """The costliest layers, with the histograms of their results."""
    errors = {layer.name: layer.sqnr_db for layer in record.layers}
    total = sum(cost.size_bytes for cost in record.costs)
    return tuple(
        CostRow(
            name=cost.name,
            op=cost.op,
            source=cost.source or "",
            bits=stored_in(cost),
            cells=(
                ("weights", size(cost.size_bytes) if cost.size_bytes else ""),
                ("of size", percent(cost.size_bytes / total) if cost.size_bytes else ""),
                ("of noise", percent(cost.noise_share) if cost.noise_share is not None else ""),
                ("SQNR", decibels(errors[cost.name]) if cost.name in errors else ""),
            ),
            chart=histogram_chart(cost),
            reason=cost.reason or "",
        )
        for cost in noisiest(record.costs)
    )


def stored_in(cost: LayerCost) -> str:
    """``w4 a8``, ``a8``, ``w16 float``."""
    parts = [] if cost.weight_bits is None else [f"w{cost.weight_bits}"]
    if cost.activation_bits is not None:
        parts.append("float" if cost.activation_bits == FLOAT_BITS else f"a{cost.activation_bits}")
    return " ".join(parts)
