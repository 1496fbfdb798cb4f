"""Recurrent layers of a network with integer activations.

What a recurrence holds from step to step stays float32: an update smaller than a step of 8 bits would be lost
for ever, and errors would grow with the sequence.  What is large, the weights, is int8 with one scale per
channel, in one of two forms:

- Below `INTEGER_WIDTH` the whole layer, its input product included, computes in float on decoded weights.
  The runtimes' own recurrent operators do that, and a product of one row with a small matrix gains less from
  integers than it loses to conversions (docs/adr/0013).
- From there on reading the weights is what takes the time.  The input product is an ordinary integer layer,
  and the state is rounded to 8 bits for the recurrent product alone (`core.program.recurrent`).

Weights of a recurrence stay at 8 bits where others have 4: their error returns at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pocketpress.compress.quantize.head import power_of_two
from pocketpress.compress.quantize.weights import channel_scales, quantize_weight
from pocketpress.core.program import OPS, Node, Program, Quantization, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.core.program.recurrent import (
    RECURRENT,
    UNIT_STATE_SCALE,
    input_product,
    recurrent,
    weight_names,
)

INTEGER_WIDTH = 256
"""Hidden units from which integers pay, measured in ONNX Runtime on x86 with VNNI."""
SMALLEST_WEIGHT = 64
SMALLEST_PRODUCT = 1 << 16
"""Multiply-accumulates from which an integer layer makes up for the conversion of what it reads."""
STEPS = 127
Run = Callable[[Program, Mapping[str, Array], Iterable[str]], Mapping[str, Array]]


@dataclass(frozen=True)
class RecurrentPlan:
    """What becomes of the recurrent layers.

    Attributes:
        weights: quantisation by constant name.
        state_scales: by node name, where the state is rounded for the product.
        reasons: node name to why it is float arithmetic: of recurrent nodes and of their input products.
    """

    weights: Mapping[str, Quantization]
    state_scales: Mapping[str, float]
    reasons: Mapping[str, str]


def is_unit(program: Program, node: Node) -> bool:
    """Whether the states lie in [-1, 1], given that the first one does."""
    return node.op == "gru" or (
        node.attrs["activation"] == "tanh"
        if node.op == "rnn"
        else recurrent(program, node).projection is None
    )


def is_wide(program: Program, node: Node) -> bool:
    """Whether a recurrent product gains from integers."""
    return recurrent(program, node).hidden >= INTEGER_WIDTH


def plan_recurrent(program: Program, peaks: Mapping[str, float], *, integers: bool) -> RecurrentPlan:
    """Decide.

    Args:
        program: float, simplified.
        peaks: of `state_peaks`.
        integers: whether activations have 8 bits; else no state is rounded.
    """
    weights: dict[str, Quantization] = {}
    scales: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for node in program.nodes:
        if node.op not in RECURRENT:
            continue
        wide, product = integers and is_wide(program, node), input_product(program, node)
        names = list(weight_names(node))
        if wide:
            scale = UNIT_STATE_SCALE if is_unit(program, node) else power_of_two(peaks[node.name] / STEPS)
            scales[node.name] = scale
            reasons[node.name] = "its state stays float32; its product takes the state rounded to 8 bits"
        else:
            reasons[node.name] = "its state stays float32; float arithmetic on int8 weights"
        if not wide and product is not None:
            names.append(product.inputs[1])
            reasons[product.name] = (
                f"part of the recurrent layer {node.name}: float arithmetic on int8 weights"
            )
        weights |= _per_channel(program, names)
    for node in (n for n in _small_readers(program) if n.name not in reasons):
        weights |= _per_channel(program, [node.inputs[1]])
        reasons[node.name] = "it reads a real state, and is too small to gain from integers; weights are int8"
    return RecurrentPlan(weights, scales, reasons)


def _per_channel(program: Program, names: Iterable[str]) -> dict[str, Quantization]:
    """int8 per row, of float weights that are not too few."""
    return {
        name: Quantization.per_channel(channel_scales(program.constants[name], 0, search=True), 0)
        for name in names
        if _is_weight(program.type(name))
    }


def _is_weight(type_: TensorType) -> bool:
    return type_.dtype == "float32" and type_.elements >= SMALLEST_WEIGHT


def _small_readers(program: Program) -> list[Node]:
    """Linear layers behind a recurrent one, with nothing but moves and such layers between."""
    real: set[str] = set()
    found = []
    for node in program.nodes:
        reads = node.inputs[0] in real
        if node.op in RECURRENT or (reads and OPS[node.op].integer == "move"):
            real |= set(node.outputs)
        elif reads and node.op == "linear" and all(n in program.constants for n in node.inputs[1:]):
            macs = program.type(node.outputs[0]).elements * program.type(node.inputs[1]).shape[1]
            if macs < SMALLEST_PRODUCT and _is_weight(program.type(node.inputs[1])):
                real |= set(node.outputs)
                found.append(node)
    return found


def state_peaks(program: Program, samples: Iterable[Mapping[str, Array]], run: Run) -> dict[str, float]:
    """Largest magnitude of every state that nothing bounds, initial ones included, by node name."""
    nodes = [n for n in program.nodes if n.op in RECURRENT and not is_unit(program, n)]
    if not nodes:
        return {}
    peaks = dict.fromkeys((n.name for n in nodes), float(np.finfo(np.float32).tiny) * STEPS)
    wanted = [name for n in nodes for name in (n.outputs[0], n.inputs[1]) if name not in program.constants]
    for feeds in samples:
        values = {**program.constants, **run(program, feeds, wanted)}
        for node in nodes:
            width = recurrent(program, node).state
            seen = [values[node.outputs[0]][..., :width], values[node.inputs[1]]]
            peaks[node.name] = max(peaks[node.name], *(float(np.abs(v).max(initial=0.0)) for v in seen))
    return peaks


def apply_recurrent(program: Program, plan: RecurrentPlan) -> Program:
    """Store the weights as planned and note the scales of the states."""
    types, constants = dict(program.types), dict(program.constants)
    for name, quant in plan.weights.items():
        constants[name] = quantize_weight(constants[name], quant.scales(), 0)
        types[name] = TensorType(types[name].shape, "int8", quant)
    nodes = tuple(
        node.with_attrs(state_scale=plan.state_scales[node.name]) if node.name in plan.state_scales else node
        for node in program.nodes
    )
    return replace(program, types=types, constants=constants, nodes=nodes)
