"""The quantisation plan: every decision as data, before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pocketpress.compress.quantize.bias import bias_shift
from pocketpress.compress.quantize.channels import channel_axis
from pocketpress.compress.quantize.head import find_heads, without_heads
from pocketpress.compress.quantize.observe import TensorStats
from pocketpress.compress.quantize.place import BINARY, PRODUCTS, Placement, without
from pocketpress.compress.quantize.ranges import estimator, min_max
from pocketpress.compress.quantize.saturate import saturated
from pocketpress.compress.quantize.scales import FIXED_OUTPUTS, ScalePlanner
from pocketpress.compress.quantize.states import undecided
from pocketpress.compress.quantize.weights import LIMITS, channel_scales
from pocketpress.core.program import Node, Program, Quantization
from pocketpress.core.target import Skipped


@dataclass(frozen=True)
class QuantizationOptions:
    """What the user may choose.

    Attributes:
        estimator: "l3", "min-max", "percentile" or "mse" for activations.
        weight_search: least-squares weight scales instead of covering the extremes.
        tied: scales on which all runtimes round alike.
        bias_correction: take the mean error of rounded weights back through the biases.
        weight_bits: 8 or 4 by node name; 8 where nothing is said.
        real_heads: outputs of linear layers keep full resolution where that is cheap and exact (`head`).
        activation_bits: 8, or 16: symmetric, without tie-free scales, since a step is too small to matter.
    """

    estimator: str = "mse"
    weight_search: bool = True
    tied: bool = True
    bias_correction: bool = True
    weight_bits: Mapping[str, int] = field(default_factory=dict)
    activation_bits: int = 8
    real_heads: bool = True


@dataclass(frozen=True)
class QuantizationPlan:
    """Everything decided.

    Attributes:
        integer_nodes: names of nodes that run in integers.
        activations: quantisation of every tensor that exists in int8; constants of binary operators included.
        weights: per-channel quantisation of the weight of each product, by node name.
        requantized_edges: (node, input index) -> tensor whose quantisation the edge is converted to.
        skipped: operators left in float and sums that runtimes may round differently, with reasons.
        bias_shifts: what is added to the bias of a product, by node name.
        weight_bits: 8 or 4 by node name; 8 where nothing is said.
        activation_bits: 8 or 16.
        rounded: integers that were learned, instead of rounding to nearest, by node name.
        heads: linear layers that write real outputs from exact integer sums (`head`).
        biases: biases that were learned, float32, by node name; no shift is added to them.
    """

    integer_nodes: frozenset[str]
    activations: Mapping[str, Quantization]
    weights: Mapping[str, Quantization]
    requantized_edges: Mapping[tuple[str, int], str]
    skipped: tuple[Skipped, ...]
    bias_shifts: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    weight_bits: Mapping[str, int] = field(default_factory=dict)
    activation_bits: int = 8
    rounded: Mapping[str, npt.NDArray[np.int8]] = field(default_factory=dict)
    biases: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    heads: frozenset[str] = frozenset()


def int8_tensors(program: Program, placement: Placement) -> list[str]:
    """Tensors that will exist in int8: around integer nodes, and returned ones that the contract scales."""
    names: dict[str, None] = {}
    for node in program.nodes:
        if node.name in placement.integer:
            names.update(dict.fromkeys(activation_inputs(program, node)))
            names.update(dict.fromkeys(node.outputs))
        elif node.op in FIXED_OUTPUTS and node.outputs[0] in program.outputs:
            names.update(dict.fromkeys(node.outputs))
    return list(names)


def activation_inputs(program: Program, node: Node) -> list[str]:
    """Inputs with a planned int8 scale: activations, and constants of binary operators and concats."""
    if node.op in PRODUCTS:
        return [node.inputs[0]]
    return [n for n in node.inputs if n not in program.constants or node.op in (*BINARY, "concat")]


def make_plan(
    program: Program,
    placement: Placement,
    stats: Mapping[str, TensorStats],
    options: QuantizationOptions,
    fixed: Mapping[str, Quantization] | None = None,
) -> QuantizationPlan:
    """Decide all scales.

    Args:
        program: float, simplified.
        placement: which nodes run in integers.
        stats: statistics of the activations named by `int8_tensors`.
        options: the user's choices.
        fixed: quantisation decided elsewhere (raw uint8 inputs).
    """
    heads = find_heads(program, placement) if options.real_heads and options.activation_bits == 8 else {}
    products = {n.name: n for n in program.nodes if n.name in placement.integer and n.op in PRODUCTS}
    placement = without_heads(placement, heads)
    known = {
        name: stats.get(name) or TensorStats.of(program.constants[name])
        for name in int8_tensors(program, placement)
    }
    planner = ScalePlanner(
        program,
        placement.integer,
        known if options.activation_bits == 16 else saturated(program, known, placement.integer),
        estimator(options.estimator) if options.activation_bits == 8 else min_max,
        fixed or {},
        options.tied,
        options.activation_bits,
        heads.values(),
        placement.loose_edges,
    )
    scales = planner.plan()
    close = undecided(program, [name for name, _ in scales.near_ties]) if options.tied else {}
    if close:
        return make_plan(program, without(program, placement, close), stats, options, fixed)
    weights = {
        name: _weight_quantization(program, node, scales.activations, options)
        for name, node in products.items()
    }
    near = tuple(
        Skipped(
            name,
            f"a result may lie {distance:.1e} steps from a rounding tie: runtimes may differ by one step",
        )
        for name, distance in scales.near_ties
        if options.tied
    )
    shifts = {}
    if options.bias_correction:
        shifts = {
            node.name: shift
            for node in program.nodes
            if node.name in weights and (shift := _shift(program, node, weights, known, options)) is not None
        }
    return QuantizationPlan(
        placement.integer,
        scales.activations,
        weights,
        scales.requantized_edges,
        placement.left_in_float + near,
        shifts,
        {name: bits for name, bits in options.weight_bits.items() if name in weights},
        options.activation_bits,
        heads=frozenset(heads),
    )


def _shift(
    program: Program,
    node: Node,
    weights: Mapping[str, Quantization],
    stats: Mapping[str, TensorStats],
    options: QuantizationOptions,
) -> npt.NDArray[np.float64] | None:
    seen = stats[node.inputs[0]]
    axis = channel_axis(node.op, len(program.type(node.inputs[0]).shape))
    if seen.channel_mean is None or seen.channel_axis != axis:
        return None
    limit = LIMITS[options.weight_bits.get(node.name, 8)]
    return bias_shift(node, program.constants[node.inputs[1]], weights[node.name], seen.channel_mean, limit)


def _weight_quantization(
    program: Program, node: Node, activations: Mapping[str, Quantization], options: QuantizationOptions
) -> Quantization:
    weight = program.constants[node.inputs[1]]
    axis = 1 if node.op == "conv_transpose2d" else 0
    limit = LIMITS[options.weight_bits.get(node.name, 8)]
    scales = channel_scales(weight, axis, search=options.weight_search, limit=limit)
    is_head = node.outputs[0] not in activations  # its sums, bias included, stay below 2^24
    step_in = activations[node.inputs[0]].step
    step_out = np.float32(0) if is_head else activations[node.outputs[0]].step
    largest = 2.0 ** (22 if is_head else 24 if options.activation_bits == 8 else 30)
    floor = _smallest_scale(program, node, float(step_in), float(step_out), largest)
    return Quantization.per_channel(np.maximum(scales, floor), axis)


def _smallest_scale(
    program: Program, node: Node, step_in: float, step_out: float, largest: float
) -> npt.NDArray[np.float64] | float:
    """Scales below this overflow the int32 bias or the runtimes' smallest multiplier (2^-20)."""
    floor = step_out / step_in * 2.0**-20
    if len(node.inputs) < 3:
        return floor
    bias = np.abs(program.constants[node.inputs[2]].astype(np.float64))
    return np.maximum(floor, bias / (step_in * largest))
