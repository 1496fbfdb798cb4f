"""Ranges end where those who read a tensor stop telling its numbers apart.

Below -3 a hard swish is 0 and above 8 a sigmoid is 1, to less than half a step of any grid that holds their
results.  An activation that nothing else reads need not spend steps there: a layer before a hard swish often
reaches as far down as up, and has twice the resolution when its range begins at -3.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pocketpress.compress.quantize.observe import TensorStats
from pocketpress.core.program import OPS, Node, Program

Bounds = tuple[float, float]
FREE = (-np.inf, np.inf)
BOUNDS: Mapping[str, Bounds] = {
    "hardswish": (-3.0, np.inf),
    "hardsigmoid": (-3.0, 3.0),
    "sigmoid": (-8.0, 8.0),
    "tanh": (-4.0, 4.0),
    "gelu": (-4.0, np.inf),
    "elu": (-6.0, np.inf),
}
EXACT = ("hardswish", "hardsigmoid", "gelu")
"""The others saturate for the grid of their result alone: in float their tails may be looked at closely."""
SWISH = (-8.0, np.inf)
"""Of ``x * sigmoid(x)``, which is -0.003 there."""


def saturated(
    program: Program, stats: Mapping[str, TensorStats], integer: Collection[str]
) -> dict[str, TensorStats]:
    """The statistics of what readers tell apart.

    Args:
        program: float.
        stats: of activations, by name.
        integer: names of the nodes that run in integers.
    """
    found, readers = dict(stats), _Readers(program, integer)
    for name, seen in stats.items():
        low, high = readers.bounds(name)
        if seen.low < low < seen.high or seen.low < high < seen.high:
            found[name] = _clipped(seen, low, high)
    return found


class _Readers:
    """Who reads what, and where they saturate."""

    def __init__(self, program: Program, integer: Collection[str]) -> None:
        self._outputs, self._readers = frozenset(program.outputs), program.consumers()
        self._integer, self._found = integer, dict[str, Bounds]()

    def bounds(self, name: str) -> Bounds:
        """The least interval outside of which no reader tells numbers apart."""
        if name not in self._found:
            parts = [self._of(name, node) for node in self._readers.get(name, [])] or [FREE]
            whole = (min(low for low, _ in parts), max(high for _, high in parts))
            self._found[name] = FREE if name in self._outputs else whole
        return self._found[name]

    def _of(self, name: str, node: Node) -> Bounds:
        if self._swishes(name, node):
            return SWISH
        if node.op in BOUNDS and (node.op in EXACT or node.name in self._integer):
            return BOUNDS[node.op]
        if OPS[node.op].integer == "move" and node.op != "clamp":
            return self.bounds(node.outputs[0])
        return FREE

    def _swishes(self, name: str, node: Node) -> bool:
        """Whether a node is part of ``x * sigmoid(x)``, whose sigmoid nothing else reads."""
        if node.op == "sigmoid":
            users = self._readers.get(node.outputs[0], [])
            alone = len(users) == 1 and users[0].op == "mul" and name in users[0].inputs
            return alone and node.name in self._integer
        gates = [n for n in self._readers[name] if n.op == "sigmoid" and n.outputs[0] in node.inputs]
        return node.op == "mul" and any(self._swishes(name, gate) for gate in gates)


def _clipped(stats: TensorStats, low: float, high: float) -> TensorStats:
    def clip(parts: list[npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
        return [np.clip(part, np.float32(low), np.float32(high)) for part in parts]

    return replace(
        stats,
        low=max(stats.low, low),
        high=min(stats.high, high),
        chunks=clip(stats.chunks),
        lowest=clip(stats.lowest),
        highest=clip(stats.highest),
    )
