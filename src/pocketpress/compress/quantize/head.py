"""Heads: a classifier's scores keep full resolution, and still come out bit for bit alike everywhere.

Scores rounded to 8 bits are often the largest single error of an int8 network: 256 steps over the range of
all scores.  A fully connected layer that writes an output can do without that rounding, because its
accumulator is an integer that float32 holds exactly.  The layer is computed by float kernels on numbers that
are integers times a power of two: the input's scale is made a power of two, the weights are the integers
themselves, and while ``255 * sum|w| + |b| < 2^24`` no sum is ever rounded, in whatever order a runtime adds.
One product with the weight scales follows, the same float32 product in every runtime.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pocketpress.compress.quantize.place import PRODUCTS, Placement
from pocketpress.core.program import Node, Program
from pocketpress.core.program.ir import Array

EXACT = 2**24
"""Integers up to here are exact in float32."""

LARGEST_SHARE = 0.02
"""A head computes in float, so it may be at most this share of the network's multiply-accumulates."""


def find_heads(program: Program, placement: Placement) -> dict[str, str]:
    """Heads by node name, with the activation each reads.

    A head is an integer `linear` without clamp that writes a program output nobody else reads, from an
    activation computed in integers, is cheap, and cannot leave the exact range of float32.
    """
    producers, readers = program.producers(), program.consumers()
    total = sum(_products(program, node) for node in program.nodes)
    found = {}
    for node in program.nodes:
        out = node.outputs[0]
        source = producers.get(node.inputs[0])
        usable = (
            node.op == "linear"
            and node.name in placement.integer
            and node.attrs["clamp"] is None
            and out in program.outputs
            and out not in readers
            and source is not None
            and source.name in placement.integer
        )
        if usable and _products(program, node) <= LARGEST_SHARE * total and _fits(program, node):
            found[node.name] = node.inputs[0]
    return found


def _products(program: Program, node: Node) -> int:
    if node.op not in PRODUCTS or node.inputs[1] not in program.constants:
        return 0
    weight = program.constants[node.inputs[1]]
    out = program.type(node.outputs[0]).elements
    if node.op == "conv_transpose2d":
        return int(program.type(node.inputs[0]).elements * weight.size // weight.shape[0])
    return int(out * weight.size // weight.shape[0])


def _fits(program: Program, node: Node) -> bool:
    """Whether sums stay exact for any scales: weights reach 127, so only the number of inputs counts."""
    weight = np.abs(program.constants[node.inputs[1]].astype(np.float64))
    peak = weight.max(axis=1, keepdims=True)
    relative = (weight / np.where(peak > 0, peak, 1)).sum(axis=1).max()
    # Least-squares scales may shrink the range to 0.7, which enlarges the integers by as much.
    return bool(255 * 127 * relative / 0.7 < EXACT / 2)


def fits_exactly(weight: Array, bias: Array | None) -> bool:
    """Whether the integers of a head keep every partial sum below 2^24."""
    reach = 255 * np.abs(weight.astype(np.int64)).sum(axis=1)
    if bias is not None:
        reach = reach + np.abs(bias.astype(np.int64))
    return bool(reach.max(initial=0) < EXACT)


def power_of_two(scale: float) -> float:
    """The smallest power of two that is at least ``scale`` (up to float32 rounding)."""
    return 2.0 ** math.ceil(math.log2(scale * (1 - 1e-6)))


def without_heads(placement: Placement, heads: Mapping[str, str]) -> Placement:
    """The placement with the heads taken out of the integer nodes."""
    return replace(placement, integer=placement.integer - set(heads))
