"""Layers with the same weights: a network that calls one layer several times, or twin branches.

A program holds a constant for every call, and writers store equal ones once.  So whatever changes weights
changes those of all calls alike, or none: otherwise a head that five feature maps share is stored five times.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from pocketpress.compress.quantize.plan import QuantizationPlan
from pocketpress.core.program import Program


def tied_weights(program: Program, nodes: Collection[str]) -> dict[str, str]:
    """Of the named nodes, those whose weights (input 1) equal another's: name to the first one's name."""
    first, found = dict[tuple[str, tuple[int, ...], bytes], str](), dict[str, str]()
    for node in program.nodes:
        weight = (
            program.constants.get(node.inputs[1]) if node.name in nodes and len(node.inputs) > 1 else None
        )
        if weight is None:
            continue
        key = (str(weight.dtype), weight.shape, hashlib.sha256(weight.tobytes()).digest())
        other = first.setdefault(key, node.name)
        if other != node.name:
            found[other] = found[node.name] = other
    return found


def tied_layers(program: Program, plan: QuantizationPlan) -> dict[str, str]:
    """As `tied_weights`, of layers with the same scales and bits in a plan: their integers can be equal."""
    found = tied_weights(program, plan.weights)
    bits = plan.weight_bits
    return {
        name: first
        for name, first in found.items()
        if plan.weights[name] == plan.weights[first] and bits.get(name) == bits.get(first)
    }
