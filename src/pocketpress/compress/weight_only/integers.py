"""Integer weights between float activations: per output channel, or in blocks along the input channels.

Uniform symmetric quantisation ``q = clip(round(w / s), -L, L)`` with L = 127 or 7 and ``s`` the scale with
the least squared error (`quantize.weights`).  Blocks bound what one large weight costs the others (Dettmers &
Zettlemoyer 2023, arXiv:2212.09720, section 2).  Where 4 bits cost much and save little (the first layer and
depthwise convolutions: few weights, each seen by a whole channel) weights stay at 8 bits, as BRECQ keeps the
first and last layer (Li et al. 2021, arXiv:2102.05426, section 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from pocketpress.compress.quantize.place import PRODUCTS
from pocketpress.compress.quantize.weights import LIMITS, channel_scales
from pocketpress.core.program import Node, Program, Quantization, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.core.program.recurrent import RECURRENT, weight_names
from pocketpress.core.target import Skipped

SMALLEST_WEIGHT = 64
"""Constants with fewer elements stay float: their scales would cost more than they save."""

EIGHT_BITS = "8-bit weights: in a recurrence their error returns at every step"


@dataclass(frozen=True)
class WeightPlan:
    """Which constants become integers.

    Attributes:
        types: constant name to its new type.
        skipped: products that keep float weights, and why.
    """

    types: Mapping[str, TensorType]
    skipped: tuple[Skipped, ...] = ()


def weight_axis(node: Node) -> int:
    """Output-channel axis of a product's weight."""
    return 1 if node.op == "conv_transpose2d" else 0


def is_depthwise(program: Program, node: Node) -> bool:
    """Whether every output channel sees one input channel."""
    return node.op == "conv2d" and node.attrs["groups"] > 1 and program.type(node.inputs[1]).shape[1] == 1


def coarse_nodes(program: Program) -> frozenset[str]:
    """Products that can stand 4-bit weights: all but those on the network's inputs and depthwise ones."""
    inputs = set(program.inputs)
    for node in program.nodes:  # what only moves or scales an input is still the input
        if node.op not in PRODUCTS and node.inputs[0] in inputs:
            inputs |= set(node.outputs)
    return frozenset(
        node.name
        for node in program.nodes
        if node.op in PRODUCTS and node.inputs[0] not in inputs and not is_depthwise(program, node)
    )


def plan_integers(program: Program, bits: int, block: int | None = None) -> WeightPlan:
    """Decide types: int8, or int4 where `coarse_nodes` allows it.

    Args:
        program: float.
        bits: 8 or 4.
        block: weights per scale along the input channels; layers it does not divide keep one per channel.
    """
    coarse = coarse_nodes(program) if bits == 4 else frozenset()
    types: dict[str, TensorType] = {}
    skipped: list[Skipped] = []
    for node, name in stored_weights(program):
        reason = why_float(program, name)
        if reason is not None:
            skipped.append(Skipped(f"{node.op} {node.name}", reason))
        elif name not in types:
            weight, fine = program.constants[name], bits == 4 and node.name in coarse
            quant = _quantization(weight, weight_axis(node), 4 if fine else 8, block)
            types[name] = TensorType(tuple(weight.shape), "int4" if fine else "int8", quant)
            if bits == 4 and node.op in RECURRENT:
                skipped.append(Skipped(f"{node.op} {node.name}", EIGHT_BITS))
    return WeightPlan(types, tuple(dict.fromkeys(skipped)))


def stored_weights(program: Program) -> list[tuple[Node, str]]:
    """Nodes with the names of their weights; a recurrent layer with a projection is there twice."""
    found = [(node, node.inputs[1]) for node in program.nodes if node.op in PRODUCTS]
    return found + [
        (node, name) for node in program.nodes if node.op in RECURRENT for name in weight_names(node)
    ]


def why_float(program: Program, name: str) -> str | None:
    """Why a weight stays float, None when it need not."""
    if name not in program.constants:
        return "its weight is computed at run time"
    if program.constants[name].size < SMALLEST_WEIGHT:
        return f"fewer than {SMALLEST_WEIGHT} weights"
    return None


def _quantization(weight: Array, axis: int, bits: int, block: int | None) -> Quantization:
    limit = LIMITS[bits]
    if block is None or weight.shape[1 - axis] % block or weight.shape[1 - axis] == block:
        return Quantization.per_channel(channel_scales(weight, axis, search=True, limit=limit), axis)
    rows = np.moveaxis(weight, axis, 0)
    rows = rows.reshape(rows.shape[0] * (rows.shape[1] // block), block, *rows.shape[2:])
    scales = channel_scales(rows, 0, search=True, limit=limit)
    return Quantization.blockwise(scales.reshape(weight.shape[axis], -1), axis, block)


def apply_weights(program: Program, types: Mapping[str, TensorType]) -> Program:
    """Store the constants as planned, each rounded to the nearest integer."""
    values = {name: round_to_type(program.constants[name], type_) for name, type_ in types.items()}
    return with_constants(program, values, types)


def round_to_type(weight: Array, type_: TensorType) -> Array:
    """``clip(round_half_even(w / s), -L, L)`` as int8."""
    assert type_.quant is not None
    limit = LIMITS[4 if type_.dtype == "int4" else 8]
    grid = np.rint(weight.astype(np.float64) / type_.quant.spread(type_.shape).astype(np.float64))
    return np.asarray(np.clip(grid, -limit, limit).astype(np.int8))


def with_constants(program: Program, values: Mapping[str, Array], types: Mapping[str, TensorType]) -> Program:
    """The same program with other stored constants."""
    return replace(program, types={**program.types, **types}, constants={**program.constants, **values})
