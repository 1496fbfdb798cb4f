"""What each layer of a pressed network costs: bits, bytes, noise at the outputs, the use of its range."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from pocketpress.compress.mixed.costs import multiply_accumulates
from pocketpress.compress.mixed.sensitivity import Sensitivity, measure_sensitivity
from pocketpress.compress.quantize.observe import TensorStats
from pocketpress.compress.quantize.place import PRODUCTS
from pocketpress.compress.quantize.plan import QuantizationPlan
from pocketpress.core.program import OPS, Node, Program, Quantization, TensorType
from pocketpress.core.program.decode import stored_bits
from pocketpress.core.program.ir import Array
from pocketpress.core.program.recurrent import RECURRENT, weight_names
from pocketpress.core.record import Histogram, LayerCost
from pocketpress.pipeline.events import Events
from pocketpress.verify.reference import interpret_node

SAMPLES = 8
LEAST = 1
SECONDS = 20.0
"""However many layers there are; the samples that are left then are not measured, beyond `LEAST`."""
BINS = 32
MOST_HISTOGRAMS = 512
"""The layers with the most noise have one; it bounds a record of a thousand layers to half a megabyte."""
HEAD = "it writes the network's scores: real numbers from exact integer sums"
BEHIND = ("", "_int8", "_real", "_sums")
"""What quantising adds to the name of a layer's result."""


def quantized_costs(
    program: Program,
    mirrored: Program,
    plan: QuantizationPlan,
    stats: Mapping[str, TensorStats],
    feeds: Sequence[Mapping[str, Array]],
    events: Events,
) -> tuple[LayerCost, ...]:
    """Of a network with integer activations.

    Args:
        program: quantised.
        mirrored: the float program that it quantises.
        plan: of the quantisation.
        stats: what calibration saw of the tensors of ``mirrored``.
        feeds: calibration samples; a few of them are used.
        events: told of the stage.
    """
    chosen = feeds[:: max(1, len(feeds) // SAMPLES)][:SAMPLES]
    until = time.monotonic() + SECONDS
    with events.stage("layer costs", len(chosen)) as advance:
        found = measure_sensitivity(
            mirrored, {8: plan, 4: plan}, chosen, interpret_node, least=LEAST,
            expired=lambda: time.monotonic() > until, progress=advance,
        )  # fmt: skip
    noise = {n: w for bits in found.weights.values() for n, w in bits.items()}
    total = sum(noise.values()) + sum(found.activations.values())
    drawn = _most_harmful(mirrored, noise, found)
    reasons = {skipped.name: skipped.reason for skipped in plan.skipped}
    costs = [
        _of_input(name, plan, found, total, stats) for name in mirrored.inputs if name in plan.activations
    ]
    for node in mirrored.nodes:
        name = node.outputs[0]
        reason = HEAD if node.name in plan.heads else reasons.get(f"{node.op} {node.name}")
        if OPS[node.op].integer == "move" and reason is None:
            continue
        cost = _stored(program, mirrored, node)
        part = noise.get(node.name, 0.0) + found.activations.get(name, 0.0)
        held = name in plan.activations
        update = {
            "activation_bits": plan.activation_bits if held else 32,
            "noise": part,
            "noise_share": min(part / total, 1.0) if total else 0.0,
            "noise_without": found.kept_float.get(node.name),
            "range": reached(plan.activations[name], plan.activation_bits) if held else None,
            "histogram": histogram(stats[name]) if name in drawn and name in stats else None,
            "reason": reason,
        }
        costs.append(cost.model_copy(update=update))
    return tuple(costs)


def stored_costs(program: Program, mirrored: Program) -> tuple[LayerCost, ...]:
    """Of a network whose activations stay float: the layers that have weights."""
    weighty = (*PRODUCTS, *RECURRENT)
    return tuple(_stored(program, mirrored, node) for node in mirrored.nodes if node.op in weighty)


def reached(quant: Quantization, bits: int = 8) -> tuple[float, float]:
    """The real numbers that the smallest and the largest integer stand for."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return float(quant.step) * (low - quant.zero_point), float(quant.step) * (high - quant.zero_point)


def histogram(stats: TensorStats) -> Histogram | None:
    """32 bins over everything seen; heights are logarithmic, so that tails show.

    None where the range has no 32 parts: a constant, or an activation that has died to denormal numbers.
    """
    edges = np.linspace(np.float32(stats.low), np.float32(stats.high), BINS + 1, dtype=np.float32)
    if not np.all(np.diff(edges) > 0):
        return None
    counts, _ = np.histogram(stats.values, BINS, (stats.low, stats.high))
    heights = np.log1p(counts) / max(float(np.log1p(counts.max())), 1e-9)
    bars = np.rint(255 * heights).astype(np.uint8).tobytes().hex()
    return Histogram(low=stats.low, high=stats.high, bars=bars)


def _of_input(
    name: str, plan: QuantizationPlan, found: Sensitivity, total: float, stats: Mapping[str, TensorStats]
) -> LayerCost:
    noise = found.activations.get(name, 0.0)
    return LayerCost(
        name=name,
        op="input",
        activation_bits=plan.activation_bits,
        noise=noise,
        noise_share=min(noise / total, 1.0) if total else 0.0,
        range=reached(plan.activations[name], plan.activation_bits),
        histogram=histogram(stats[name]) if name in stats else None,
    )


def _most_harmful(mirrored: Program, weights: Mapping[str, float], found: Sensitivity) -> frozenset[str]:
    noise = {
        node.outputs[0]: weights.get(node.name, 0.0) + found.activations.get(node.outputs[0], 0.0)
        for node in mirrored.nodes
    }
    return frozenset(sorted(noise, key=lambda name: -noise[name])[:MOST_HISTOGRAMS])


def _stored(program: Program, mirrored: Program, node: Node) -> LayerCost:
    """Bits and bytes of a layer in the program that was made of it."""
    cost = LayerCost(
        name=node.outputs[0],
        op=node.op,
        source=node.source or None,
        multiply_accumulates=multiply_accumulates(mirrored, node),
    )
    made = _made(program, node)
    names = () if made is None else _weights(made)
    if made is None or not names or names[0] not in program.constants:
        return cost
    bias = [n for n in made.inputs[1:] if n not in names and n in program.constants]
    size = sum(_bytes(program.type(name)) for name in names)
    size += 4 * sum(program.type(name).elements for name in bias)
    return cost.model_copy(update={"weight_bits": stored_bits(program.type(names[0])), "size_bytes": size})


def _weights(node: Node) -> tuple[str, ...]:
    if node.op in RECURRENT:
        return weight_names(node)
    return node.inputs[1:2] if node.op.endswith(PRODUCTS) else ()


def _bytes(type_: TensorType) -> int:
    scales = len(type_.quant.scale) if type_.quant is not None else len(type_.palette or ())
    return (type_.elements * stored_bits(type_) + 7) // 8 + 4 * scales


def _made(program: Program, node: Node) -> Node | None:
    """The product that a float product became: the same name, or one with what quantising adds."""
    names = [node.outputs[0] + suffix for suffix in BEHIND]
    return next((n for n in program.nodes if n.outputs[0] in names and n.op.endswith(node.op)), None)
