"""Which layers cost what: a record's numbers in order of what they cost.  Reads the record, runs nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pocketpress.core.errors import ArtifactError, UserError
from pocketpress.core.record import LayerCost, Record

UNKNOWN = -math.inf


@dataclass(frozen=True)
class LayerLine:
    """One layer.

    Attributes:
        cost: what it is stored in.
        sqnr_db: of its result against the float network, None where it was not measured.
        size_share: of the bytes of all layers, None where there are none.
    """

    cost: LayerCost
    sqnr_db: float | None
    size_share: float | None


@dataclass(frozen=True)
class Explanation:
    """The layers of a record, the costliest first.

    Attributes:
        lines: at most as many as asked for.
        layers: number of all layers.
        size_bytes: of all their weights, scales and biases.
        weight_bits: number of layers by stored bits of a weight.
        noise: sum of the layers' noise power over the signal's, None where it was not measured.
    """

    lines: tuple[LayerLine, ...]
    layers: int
    size_bytes: int
    weight_bits: dict[int, int]
    noise: float | None


ORDERS: dict[str, Callable[[LayerLine], float]] = {
    "noise": lambda line: UNKNOWN if line.cost.noise is None else line.cost.noise,
    "size": lambda line: line.cost.size_bytes,
    "sqnr": lambda line: UNKNOWN if line.sqnr_db is None else -line.sqnr_db,
}
"""What `explain` can sort by; in order of execution otherwise."""


def explain(record: Record, top: int | None = None, by: str | None = None) -> Explanation:
    """Sort a record's layers.

    Args:
        record: of a press.
        top: at most so many lines, None for all.
        by: "noise", "size", "sqnr" or "order"; None for noise where it was measured, and size elsewhere.

    Raises:
        ArtifactError: the record has no layers.
        UserError: another ``by``.
    """
    if not record.costs:
        raise ArtifactError(
            "the record has no layers",
            got=f"{record.recipe.precision}, written by {record.pocketpress}",
            next_step="press the network again with a precision other than fp32",
        )
    measured = [cost.noise for cost in record.costs if cost.noise is not None]
    by = by or ("noise" if measured else "size")
    if by != "order" and by not in ORDERS:
        raise UserError("layers cannot be sorted so", got=by, allowed=[*ORDERS, "order"])
    errors = {layer.name: layer.sqnr_db for layer in record.layers}
    total = sum(cost.size_bytes for cost in record.costs)
    lines = [
        LayerLine(cost, errors.get(cost.name), cost.size_bytes / total if total else None)
        for cost in record.costs
    ]
    if by in ORDERS:
        lines.sort(key=ORDERS[by], reverse=True)
    stored = [cost.weight_bits for cost in record.costs if cost.weight_bits is not None]
    return Explanation(
        tuple(lines[:top]),
        len(lines),
        total,
        {bits: stored.count(bits) for bits in sorted(set(stored))},
        sum(measured) if measured else None,
    )
