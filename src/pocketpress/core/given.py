"""Scales that a network brings with it: those of an 8-bit file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pocketpress.core.program.ir import Quantization


@dataclass(frozen=True)
class GivenScales:
    """Scales by the nodes of the file, which `Node.source` names.

    Attributes:
        inputs: of the network's inputs, in order; None where an input is not in 8 bits.
        results: of what a node makes, int8 per tensor.
        operands: of what a node reads, in the file's order; None for constants of products and what is not
            in 8 bits.
        weights: of the weight of a product: one scale, or one per output channel, symmetric.
        anew: products whose 8-bit weights are not symmetric: they need scales of their own.
    """

    inputs: tuple[Quantization | None, ...]
    results: Mapping[str, Quantization]
    operands: Mapping[str, tuple[Quantization | None, ...]]
    weights: Mapping[str, tuple[float, ...]]
    anew: frozenset[str] = frozenset()
