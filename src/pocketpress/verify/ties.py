"""Places of largest numbers that two computations may tell apart: where the numbers are equal to rounding.

An artifact computes scores in float in its own order of summation.  Where the two largest ones differ by less
than the tolerance of scores, it may find the other place, and is right to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pocketpress.core.program import Node, Program
from pocketpress.core.program.ir import Array
from pocketpress.verify.parity import FLOAT_TOLERANCE
from pocketpress.verify.reference import interpret

_MOVES = ("whole", "reshape")
Outputs = Sequence[Mapping[str, Array]]


def settled(program: Program, feeds: Outputs, got: Outputs, wanted: Outputs) -> list[dict[str, Array]]:
    """``got`` with the reference's place wherever its own holds a score as large, to float rounding.

    Scores that are computed in integers are equal everywhere, so that nothing is settled of them.

    Args:
        program: what both computed.
        feeds: stored inputs, one mapping per sample.
        got: an artifact's outputs of the same samples.
        wanted: the reference's.
    """
    results = [dict(values) for values in got]
    for name, node in _places(program).items():
        scores = node.inputs[0]
        for feed, values, right in zip(feeds, results, wanted, strict=True):
            if not np.array_equal(values[name], right[name]):
                found = interpret(program, feed, keep=[scores])[scores]
                values[name] = _settled(found, int(node.attrs["axis"]), values[name], right[name])
    return results


def _places(program: Program) -> dict[str, Node]:
    """The argmax behind each output that is nothing but its places, of scores in float."""
    makers, found = program.producers(), dict[str, Node]()
    for name in program.outputs:
        node = makers.get(name)
        while node is not None and node.op in _MOVES:
            node = makers.get(node.inputs[0])
        if node is None or node.op != "argmax":
            continue
        scores = makers.get(node.inputs[0])
        if scores is None or scores.op != "dequantize":
            found[name] = node
    return found


def _settled(scores: Array, axis: int, got: Array, wanted: Array) -> Array:
    rows = np.moveaxis(scores, axis, -1)
    rows = rows.reshape(-1, rows.shape[-1]).astype(np.float64)
    places, right = (np.asarray(values).reshape(-1).astype(np.int64) for values in (got, wanted))
    inside = (places >= 0) & (places < rows.shape[1])
    line = np.arange(len(rows))
    chosen = rows[line, np.where(inside, places, 0)]
    tolerance = float(np.ptp(rows[np.isfinite(rows)])) * FLOAT_TOLERANCE if np.isfinite(rows).any() else 0.0
    close = inside & (chosen >= rows[line, right] - tolerance)
    return np.where(close, right, places).astype(got.dtype).reshape(got.shape)
