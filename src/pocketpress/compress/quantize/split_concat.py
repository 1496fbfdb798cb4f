"""Concatenations whose inputs have very different ranges.

A concatenation moves integers, so its inputs and its output share one scale (`docs/numerics.md`).  Beside
boxes of 0 to 640 a score of 0 to 1 then has less than half a step: it is gone.  An input is *narrow* when
its range is at most an eighth of the widest one's (it keeps 32 of 256 steps) and rounding what calibration
saw of it to the shared grid leaves less than 40 dB.

Where such a concatenation leads to an output, or is taken apart again by slices, it stays in float: every
input is dequantised by its own scale, which costs one pass over the values.  Elsewhere its result is needed
in integers anyway; then a narrow input that others read too keeps its own scale and is converted on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pocketpress.compress.quantize.observe import TensorStats
from pocketpress.compress.quantize.place import Placement, without
from pocketpress.core.program import OPS, Node, Program

RATIO = 8.0
"""Ranges that differ by less share a scale: three bits are lost at most."""

LEAST_SQNR_DB = 40.0
STEPS = 255


def split_concats(program: Program, placement: Placement, stats: Mapping[str, TensorStats]) -> Placement:
    """Take the concatenations that would destroy an input out of the integer nodes, or loosen their edges.

    Args:
        program: float.
        placement: which nodes run in integers.
        stats: what calibration saw of every tensor around an integer node.
    """
    kept_float: dict[str, str] = {}
    loose = set(placement.loose_edges)
    readers = program.consumers()
    for node in program.nodes:
        if node.op != "concat" or node.name not in placement.integer or node.name in kept_float:
            continue
        narrow = narrow_inputs(program, node, stats)
        if not narrow:
            continue
        behind = carriers(program, node)
        if is_taken_apart(program, behind):
            kept_float |= {
                n.name: "it carries a concatenation kept in float" for n in behind if n.op == "concat"
            }
            kept_float[node.name] = (
                f"its inputs' ranges differ {max(narrow.values()):.0f} times; the narrow one would be lost"
            )
        else:
            loose |= {(node.name, i) for i in narrow if _has_other_use(program, readers, node.inputs[i])}
    return replace(without(program, placement, kept_float), loose_edges=frozenset(loose))


def narrow_inputs(program: Program, node: Node, stats: Mapping[str, TensorStats]) -> dict[int, float]:
    """Index to (widest range / own range) of every input that the shared scale would destroy."""
    seen = [stats.get(n) or TensorStats.of(program.constants[n]) for n in node.inputs]
    spans = [max(s.high, 0.0) - min(s.low, 0.0) for s in seen]
    widest = max(spans)
    return {
        index: widest / span
        for index, (span, stat) in enumerate(zip(spans, seen, strict=True))
        if span > 0 and widest >= RATIO * span and _sqnr_db(stat, widest / STEPS) < LEAST_SQNR_DB
    }


def _has_other_use(program: Program, readers: Mapping[str, list[Node]], name: str) -> bool:
    return len(readers[name]) > 1 or name in program.outputs


def _sqnr_db(stats: TensorStats, step: float) -> float:
    """Signal over rounding noise of the seen values on a grid of ``step``."""
    values = stats.values.astype(np.float64)
    noise = float(np.mean((np.rint(values / step) * step - values) ** 2)) if values.size else 0.0
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(max(float(np.mean(values**2)), 1e-300) / noise))


def carriers(program: Program, start: Node) -> list[Node]:
    """``start`` and every node that hands its values on; a slice takes them apart and ends the way."""
    carried, found = set(start.outputs), [start]
    for node in program.nodes:
        if node is start or OPS[node.op].integer != "move" or not carried & set(node.inputs):
            continue
        found.append(node)
        if node.op != "slice":
            carried |= set(node.outputs)
    return found


def is_taken_apart(program: Program, behind: list[Node]) -> bool:
    """Whether carried values are an output, or are read by slices only."""
    readers, inside = program.consumers(), {node.name for node in behind}
    carried = [node.outputs[0] for node in behind if node.op != "slice"]
    if any(name in program.outputs for name in carried):
        return True
    return all(reader.name in inside for name in carried for reader in readers.get(name, []))
