"""Which part of the quantisation hurts the outputs: one part quantised at a time, and one left out at a time.

Sensitivity analysis as in Wu et al. 2020 (arXiv:2004.09602, section 6): quantise a single layer and look at
the end of the network, here at the noise power of the outputs relative to their signal, which needs no
labels.  Small errors of different layers add up in power (the sum over layers of Dong et al. 2020, HAWQ-V2,
arXiv:1911.03852), so the parts predict every assignment.  The weights of each product, at each number of
bits, and each activation are such parts.  Left out of the fully quantised network one at a time (the partial
quantisation of Wu et al.), they show what the sum misses.

The network is simulated in float32: weights and activations rounded to the planned grids.  Values before the
changed part are those of the unchanged network and are computed once per sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pocketpress.compress.quantize.place import PRODUCTS
from pocketpress.compress.quantize.plan import QuantizationPlan
from pocketpress.compress.quantize.weights import LIMITS, quantize_weight
from pocketpress.core.program import OPS, Node, Program, Quantization, TensorType
from pocketpress.core.program.ir import Array

Compute = Callable[[Program, Node, list[Array]], Array]
Values = Mapping[str, Array]
Real = npt.NDArray[np.float64]
LEAST_SAMPLES = 4
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Sensitivity:
    """Noise power of the outputs relative to their signal power (mean over outputs), by its cause.

    Attributes:
        weights: bits, then node name: only the weights of that product are rounded.
        activations: tensor name: only that activation is rounded.
        kept_float: node name: everything is quantised except that node's weights and result.
        total: everything is quantised, at the bits of the first plan.
        samples: how many were used.
    """

    weights: Mapping[int, Mapping[str, float]]
    activations: Mapping[str, float]
    kept_float: Mapping[str, float]
    total: float
    samples: int


@dataclass(frozen=True)
class _Change:
    """What is rounded in one run: (weight, bias) by node, constants and grids by tensor name."""

    weights: Mapping[str, tuple[Array, Array]]
    grids: Mapping[str, Quantization]
    constants: Mapping[str, Array]

    def without(self, node: Node) -> _Change:
        weights = {name: pair for name, pair in self.weights.items() if name != node.name}
        grids = {name: quant for name, quant in self.grids.items() if name not in node.outputs}
        return replace(self, weights=weights, grids=grids)


def on_grid(value: Array, quant: Quantization, bits: int = 8) -> Array:
    """``s * (clip(round(x / s) + z) - z)`` in float32."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    grid = np.clip(np.rint(value * (np.float32(1) / quant.step)) + quant.zero_point, low, high)
    return np.asarray((grid - quant.zero_point) * quant.step, np.float32)


def measure_sensitivity(
    program: Program,
    plans: Mapping[int, QuantizationPlan],
    samples: Iterable[Values],
    compute: Compute,
    *,
    keep_float: bool = True,
    least: int = LEAST_SAMPLES,
    expired: Callable[[], bool] = lambda: False,
    progress: Callable[[], None] = lambda: None,
) -> Sensitivity:
    """Measure every part alone.

    Args:
        program: float; the one the plans were made for.
        plans: by weight bits; activations are those of the first.
        samples: one mapping input name -> array each.
        compute: one node on given real inputs.
        keep_float: whether to leave parts out one at a time, too.
        least: samples that are measured however long they take.
        expired: asked after each of the others; True ends the measurement.
        progress: called once per sample.
    """
    work = _Work(_with_biases(program), plans, compute, keep_float)
    for feeds in samples:
        work.add(feeds)
        progress()
        if work.count >= least and expired():
            break
    return work.result()


class _Work:
    def __init__(
        self, program: Program, plans: Mapping[int, QuantizationPlan], compute: Compute, keep_float: bool
    ) -> None:
        self.program, self.compute, self.count = program, compute, 0
        self.nodes = {node.name: node for node in program.nodes}
        self.behind = {node.name: _behind(program, node.outputs) for node in program.nodes}
        plan, producers = next(iter(plans.values())), program.producers()
        self.bits, rounded = plan.activation_bits, sources(program, plan)
        self.whole = self._everything(plan)
        self.alone: dict[tuple[str, int, str], tuple[Sequence[Node], _Change]] = {}
        for bits, other in plans.items():
            for name in (n for n in other.weights if other.weight_bits.get(n, 8) == bits):
                change = _Change({name: rounded_weights(program, other, self.nodes[name])}, {}, {})
                self.alone["weights", bits, name] = (self._from(name), change)
        for name in rounded:
            again = self._from(producers[name].name) if name in producers else _behind(program, [name])
            self.alone["activation", 0, name] = (again, _Change({}, {name: plan.activations[name]}, {}))
        parts = [n for n in program.nodes if n.name in plan.weights or n.outputs[0] in rounded]
        self.left_out = {n.name: (self._from(n.name), self.whole.without(n)) for n in parts if keep_float}
        self.noise: dict[tuple[str, int, str], Real] = {}
        self.signal = np.zeros(len(program.outputs))

    def _everything(self, plan: QuantizationPlan) -> _Change:
        fixed = self.program.constants
        return _Change(
            {name: rounded_weights(self.program, plan, self.nodes[name]) for name in plan.weights},
            {name: quant for name, quant in plan.activations.items() if name not in fixed},
            {n: on_grid(fixed[n], q, self.bits) for n, q in plan.activations.items() if n in fixed},
        )

    def _from(self, name: str) -> list[Node]:
        return [self.nodes[name], *self.behind[name]]

    def add(self, feeds: Values) -> None:
        """Everything on one sample."""
        nothing = _Change({}, {}, {})
        real = self._run(self.program.nodes, dict(feeds), nothing)
        truth = self._outputs(real)
        self.signal += np.asarray([float(np.sum(value**2)) for value in truth])
        for key, (nodes, change) in self.alone.items():
            self._note(key, truth, self._run(nodes, real, change))
        grid = self._run(self.program.nodes, dict(feeds), self.whole)
        self._note(("total", 0, ""), truth, grid)
        for name, (nodes, change) in self.left_out.items():
            self._note(("kept", 0, name), truth, self._run(nodes, grid, change))
        self.count += 1

    def _run(self, nodes: Sequence[Node], known: Values, change: _Change) -> Values:
        """``nodes`` again, the rest as known."""
        values = dict(known)
        for name in self.program.inputs:
            if name in change.grids:
                values[name] = on_grid(values[name], change.grids[name], self.bits)
        constants = {**self.program.constants, **change.constants}
        for node in nodes:
            inputs = [constants[n] if n in constants else values[n] for n in node.inputs]
            if node.name in change.weights:
                inputs[1:] = change.weights[node.name]
            out = self.compute(self.program, node, inputs)
            quant = change.grids.get(node.outputs[0])
            values[node.outputs[0]] = out if quant is None else on_grid(out, quant, self.bits)
        return values

    def _outputs(self, values: Values) -> list[Real]:
        return [np.asarray(values[name], np.float64) for name in self.program.outputs]

    def _note(self, key: tuple[str, int, str], truth: list[Real], values: Values) -> None:
        noise = [float(np.sum((a - b) ** 2)) for a, b in zip(truth, self._outputs(values), strict=True)]
        noise = [value if math.isfinite(value) else LARGEST for value in noise]  # a wreck stays a number
        self.noise[key] = self.noise.get(key, np.zeros(len(truth))) + np.asarray(noise)

    def result(self) -> Sensitivity:
        """Powers to ratios."""

        def of(kind: str, bits: int | None = None) -> dict[str, float]:
            return {
                name: self._relative(noise)
                for (which, b, name), noise in self.noise.items()
                if which == kind and bits in (None, b)
            }

        bits = {b for kind, b, _ in self.alone if kind == "weights"}
        return Sensitivity(
            {b: of("weights", b) for b in bits},
            of("activation"),
            of("kept"),
            next(iter(of("total").values()), 0.0),
            self.count,
        )

    def _relative(self, noise: Real) -> float:
        """Mean over outputs; noise on an output that is always zero is measured against one."""
        return float(np.mean(noise / np.where(self.signal > 0, self.signal, 1.0)))


def rounded_weights(program: Program, plan: QuantizationPlan, node: Node) -> tuple[Array, Array]:
    """The real numbers that a product's integers stand for, and its corrected bias, both float32."""
    quant, real = plan.weights[node.name], program.constants[node.inputs[1]]
    axis = quant.axis or 0
    integers = plan.rounded.get(node.name)
    if integers is None:
        integers = quantize_weight(real, quant.scales(), axis, LIMITS[plan.weight_bits.get(node.name, 8)])
    weight = np.asarray(integers.astype(np.float32) * quant.spread(real.shape))
    if node.name in plan.biases:
        return weight, plan.biases[node.name]
    given = program.constants[node.inputs[2]] if len(node.inputs) > 2 else np.zeros(real.shape[axis])
    shift = plan.bias_shifts.get(node.name)
    return weight, np.asarray(given if shift is None else given + shift, np.float32)


def sources(program: Program, plan: QuantizationPlan) -> list[str]:
    """Activations that are rounded; what integer nodes only move is on its grid already."""
    moved = {
        out
        for node in program.nodes
        if node.name in plan.integer_nodes and OPS[node.op].integer == "move"
        for out in node.outputs
    }
    return [n for n in plan.activations if n not in program.constants and n not in moved]


def _behind(program: Program, names: Iterable[str]) -> list[Node]:
    """The nodes that depend on ``names``, in order."""
    changed, found = set(names), []
    for node in program.nodes:
        if changed & set(node.inputs):
            found.append(node)
            changed |= set(node.outputs)
    return found


def _with_biases(program: Program) -> Program:
    """Every product of stored weights takes a bias, so that a corrected one has its place."""
    types, constants, nodes = dict(program.types), dict(program.constants), []
    for node in program.nodes:
        if node.op in PRODUCTS and len(node.inputs) == 2 and node.inputs[1] in program.constants:
            channels = program.type(node.inputs[1]).shape[1 if node.op == "conv_transpose2d" else 0]
            name = f"{node.name}:bias"
            constants[name] = np.zeros(channels, np.float32)
            types[name] = TensorType((channels,))
            node = replace(node, inputs=(*node.inputs, name))
        nodes.append(node)
    return replace(program, types=types, constants=constants, nodes=tuple(nodes))
