"""The layers of a record as a table or JSON."""

from __future__ import annotations

import math

from rich.table import Table

from pocketpress.cli.show import write, write_json
from pocketpress.core.words import size
from pocketpress.pipeline.explain import Explanation, LayerLine

FLOAT_BITS = 32


def explanation(found: Explanation, *, as_json: bool) -> None:
    """Print it."""
    if as_json:
        write_json(
            {
                "layers": found.layers,
                "size_bytes": found.size_bytes,
                "weight_bits": found.weight_bits,
                "noise": found.noise,
                "costliest": [_facts(line) for line in found.lines],
            }
        )
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("layer", overflow="fold")
    for name in ("operator", "bits", "weights", "of size", "of noise", "SQNR"):
        table.add_column(name, no_wrap=True, justify="left" if name == "operator" else "right")
    table.add_column("in float because")
    for line in found.lines:
        table.add_row(*_cells(line))
    write(table)
    write(_summary(found))


def _summary(found: Explanation) -> str:
    bits = ", ".join(f"{count} with {b}-bit weights" for b, count in found.weight_bits.items())
    text = f"{len(found.lines)} of {found.layers} layers ({bits}); weights {size(found.size_bytes)}"
    if found.noise:
        text += f"; their noise adds up to {10 * math.log10(found.noise):.1f} dB of the outputs"
    return text


def _facts(line: LayerLine) -> dict[str, object]:
    sqnr = "Infinity" if line.sqnr_db == math.inf else line.sqnr_db
    return {**line.cost.model_dump(mode="json"), "sqnr_db": sqnr, "size_share": line.size_share}


def _cells(line: LayerLine) -> list[str]:
    cost = line.cost
    return [
        cost.name,
        cost.op,
        bits(cost.weight_bits, cost.activation_bits),
        size(cost.size_bytes) if cost.size_bytes else "",
        "" if line.size_share is None or not cost.size_bytes else f"{100 * line.size_share:.1f}%",
        "" if cost.noise_share is None else f"{100 * cost.noise_share:.1f}%",
        "" if line.sqnr_db is None else "exact" if math.isinf(line.sqnr_db) else f"{line.sqnr_db:.1f} dB",
        cost.reason or "",
    ]


def bits(weights: int | None, activations: int | None) -> str:
    """``w4a8``, ``a8``, ``w16 float``."""
    text = "" if weights is None else f"w{weights}"
    if activations is None:
        return text
    return f"{text} float".strip() if activations == FLOAT_BITS else f"{text}a{activations}"
