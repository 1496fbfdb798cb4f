"""The cheapest assignment of 4, 8 and 16 bits and float to the layers that keeps a promise.

A plan is data: `Costs` say what each layer's choices cost in noise, bytes and time, `assign` decides, and
nothing is changed.  The noise of an assignment is the sum of its parts (`sensitivity`): the weights of every
integer product at their bits, and every activation that some integer layer holds.  So a float layer between
integer ones takes little noise away, and two neighbours take more: float layers come as few, contiguous
islands, chosen by the noise they remove for their float time, conversions at their borders counted.  Float
layers store their weights in 16 bits, whose noise is 48 dB below that of 8 and is taken as none.

4-bit weights are a knapsack over bytes, solved by dynamic programming.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pocketpress.core.errors import UserError

CONVERSION_MACS = 16
"""Multiply-accumulates that take as long as converting one element between int8 and float32, roughly."""
UNITS = 2000
"""Byte resolution of the knapsack: the bytes that all 4-bit weights together save, in so many parts."""


@dataclass(frozen=True)
class Layer:
    """One integer node that may have another precision.

    Attributes:
        name: of the node.
        macs: multiply-accumulates of an inference.
        weights: elements of its weight, 0 for what is no product.
        channels: weight scales.
        noise: relative output noise of its weights, by bits: 8, and 4 where that is allowed.
        saved_bytes: what 4 bits instead of 8 save in the files, where it was measured: a runtime may need
            more operators, or scales written out, to read them.
    """

    name: str
    macs: int = 0
    weights: int = 0
    channels: int = 0
    noise: Mapping[int, float] = field(default_factory=dict)
    saved_bytes: int | None = None

    def size_bytes(self, bits: int) -> int:
        """Bytes of the weight and its scales."""
        if bits == 4 and self.saved_bytes is not None:
            return self.size_bytes(8) - self.saved_bytes
        scales = 4 * self.channels if bits <= 8 else 0
        return (self.weights * bits + 7) // 8 + scales


@dataclass(frozen=True)
class Border:
    """One activation on an int8 grid.

    Attributes:
        name: of the tensor.
        noise: relative output noise of rounding it.
        elements: of the tensor.
        holders: the layers that write or read it; it is on the grid while one of them runs in integers.
    """

    name: str
    noise: float
    elements: int
    holders: frozenset[str]


@dataclass(frozen=True)
class Costs:
    """Everything `assign` weighs; ``float_bits`` are those of the weights of float layers: 16 or 32."""

    layers: tuple[Layer, ...]
    borders: tuple[Border, ...]
    float_bits: int = 16

    def noise(self, bits: Mapping[str, int]) -> float:
        """Predicted output noise relative to the signal."""
        weights = sum(layer.noise.get(bits[layer.name], 0.0) for layer in self.layers)
        held = (b.noise for b in self.borders if any(bits[name] <= 8 for name in b.holders))
        return weights + sum(held)

    def size_bytes(self, bits: Mapping[str, int]) -> int:
        """Bytes of all weights and scales."""
        return sum(layer.size_bytes(bits[layer.name]) for layer in self.layers)

    def time_macs(self, bits: Mapping[str, int]) -> float:
        """Float work and conversions, in multiply-accumulates; 0 without a float layer."""
        floats = {layer.name for layer in self.layers if bits[layer.name] > 8}
        work = sum(layer.macs for layer in self.layers if layer.name in floats)
        mixed = (b.elements for b in self.borders if b.holders & floats and b.holders - floats)
        return work + CONVERSION_MACS * sum(mixed)


@dataclass(frozen=True)
class Assignment:
    """Weight bits by layer: 4 or 8 in integers, more in float; with what it is predicted to cost."""

    bits: Mapping[str, int]
    noise: float
    size_bytes: int

    @property
    def floats(self) -> frozenset[str]:
        """Layers that run in float."""
        return frozenset(name for name, bits in self.bits.items() if bits > 8)

    @property
    def coarse(self) -> frozenset[str]:
        """Layers with 4-bit weights."""
        return frozenset(name for name, bits in self.bits.items() if bits == 4)


def assign(costs: Costs, *, noise: float | None = None, size_bytes: int | None = None) -> Assignment:
    """Decide the bits of every layer.

    With a size, as many 4-bit weights as it takes, those that add the least noise; with a noise, as many as
    it allows.  Where the noise is too large with 8 bits, layers go to float until it is not, or none is left.

    Args:
        costs: of the layers.
        noise: largest predicted noise, None for no limit.
        size_bytes: most bytes of weights and scales, None for no limit.

    Raises:
        UserError: the size is out of reach.
    """
    bits = dict.fromkeys((layer.name for layer in costs.layers), 8)
    knapsack = _Knapsack(costs.layers)
    if size_bytes is not None and costs.size_bytes(bits) > size_bytes:
        smallest = costs.size_bytes(bits | dict.fromkeys(knapsack.names, 4))
        chosen = knapsack.saving(costs.size_bytes(bits) - size_bytes)
        if chosen is None:
            raise UserError(
                "weights cannot be that small", got=size_bytes, allowed=f"{smallest} bytes or more"
            )
        bits |= dict.fromkeys(chosen, 4)
    if noise is not None and costs.noise(bits) > noise:
        _to_float(costs, bits, noise, size_bytes)
    elif noise is not None and size_bytes is None:
        bits |= dict.fromkeys(knapsack.within(noise - costs.noise(bits)), 4)
    return Assignment(bits, costs.noise(bits), costs.size_bytes(bits))


def _to_float(costs: Costs, bits: dict[str, int], noise: float, size_bytes: int | None) -> None:
    """Layers to float, each time those that remove the most noise for their time, then back what can go."""
    order: list[str] = []
    while costs.noise(bits) > noise:
        best, best_gain = None, 0.0
        for step in _steps(costs, bits):
            trial = bits | dict.fromkeys(step, costs.float_bits)
            if size_bytes is not None and costs.size_bytes(trial) > size_bytes:
                continue
            removed = costs.noise(bits) - costs.noise(trial)
            gain = removed / max(costs.time_macs(trial) - costs.time_macs(bits), 1.0)
            if removed > 0 and gain > best_gain:
                best, best_gain = step, gain
        if best is None:
            return
        bits |= dict.fromkeys(best, costs.float_bits)
        order += best
    while any([_goes_back(costs, bits, noise, name) for name in order if bits[name] > 8]):
        pass  # one that went back moves the borders of its neighbours, which may then follow


def _goes_back(costs: Costs, bits: dict[str, int], noise: float, name: str) -> bool:
    trial = bits | {name: 8}
    if costs.noise(trial) > noise or costs.time_macs(trial) > costs.time_macs(bits):
        return False
    bits |= trial
    return True


def _steps(costs: Costs, bits: Mapping[str, int]) -> Iterable[tuple[str, ...]]:
    """A layer alone, or all layers that hold an activation."""
    seen: set[tuple[str, ...]] = set()
    groups = [{layer.name} for layer in costs.layers] + [set(b.holders) for b in costs.borders]
    for group in groups:
        step = tuple(sorted(name for name in group if bits[name] <= 8))
        if step and step not in seen:
            seen.add(step)
            yield step


class _Knapsack:
    """Least added noise for every number of saved bytes, by dynamic programming over the layers."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        able = [layer for layer in layers if 4 in layer.noise]
        self.names = [layer.name for layer in able]
        self.saved = [layer.size_bytes(8) - layer.size_bytes(4) for layer in able]
        self.added = [max(layer.noise[4] - layer.noise[8], 0.0) for layer in able]
        self.unit = max(1, sum(self.saved) // UNITS)
        self.table = self._solve()

    def _solve(self) -> npt.NDArray[np.float64]:
        """Row i, column s: least noise of saving at least s units with the first i layers."""
        width = sum(value // self.unit for value in self.saved) + 1
        table = np.full((len(self.names) + 1, width), np.inf)
        table[0, 0] = 0.0
        for row, (saved, added) in enumerate(zip(self.saved, self.added, strict=True)):
            before = np.maximum(np.arange(width) - saved // self.unit, 0)
            table[row + 1] = np.minimum(table[row], table[row][before] + added)
        return table

    def saving(self, size_bytes: int) -> list[str] | None:
        """The layers that save so many bytes at the least noise, or None when all of them do not."""
        units = -(-size_bytes // self.unit)
        if units < self.table.shape[1]:
            return self._trace(units)
        return list(self.names) if sum(self.saved) >= size_bytes else None

    def within(self, noise: float) -> list[str]:
        """The layers that save the most bytes while adding no more than ``noise``."""
        return self._trace(int(np.flatnonzero(self.table[-1] <= max(noise, 0.0))[-1]))

    def _trace(self, units: int) -> list[str]:
        chosen = []
        for row in range(len(self.names), 0, -1):
            if self.table[row, units] < self.table[row - 1, units]:
                chosen.append(self.names[row - 1])
                units = max(units - self.saved[row - 1] // self.unit, 0)
        return chosen[::-1]
