"""From statistics to one scale and zero point per integer activation."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from pocketpress.compress.quantize import grids
from pocketpress.compress.quantize.floors import least_scale
from pocketpress.compress.quantize.groups import Groups
from pocketpress.compress.quantize.head import power_of_two
from pocketpress.compress.quantize.observe import TensorStats
from pocketpress.compress.quantize.ranges import STEPS, Estimator
from pocketpress.core.program import OPS, Node, Program, Quantization

FIXED_OUTPUTS = {
    "sigmoid": Quantization.per_tensor(1 / 256, -128),
    "softmax": Quantization.per_tensor(1 / 256, -128),
    "tanh": Quantization.per_tensor(1 / 128, 0),
}
SMALLEST_SCALE = 2.0**-24
STEPS_16 = 32767
NUDGES = 64


@dataclass
class ScalePlan:
    """Result: quantisation by tensor name, edges that need a requantise, and what stays near a tie."""

    activations: dict[str, Quantization]
    requantized_edges: dict[tuple[str, int], str] = field(default_factory=dict)
    near_ties: list[tuple[str, float]] = field(default_factory=list)


class ScalePlanner:
    """Plan the scales of one program.

    Args:
        program: float, simplified.
        integer_nodes: names of the nodes placed in integers.
        stats: statistics of every tensor that will exist in int8 (constants of binary operators included).
        estimator: range estimator.
        fixed: quantisation decided elsewhere (raw uint8 inputs).
        tied: make sums, products, means and tables free of rounding ties.
        powers: tensors whose scale is to be a power of two (`head`).
        loose: (node, input index) of moves whose input keeps its own scale and is converted (`split_concat`).
        bits: 8, or 16 for symmetric int16 activations (LiteRT 8-bit specification, 16x8 mode).
    """

    def __init__(
        self,
        program: Program,
        integer_nodes: frozenset[str],
        stats: Mapping[str, TensorStats],
        estimator: Estimator,
        fixed: Mapping[str, Quantization],
        tied: bool,
        bits: int = 8,
        powers: Iterable[str] = (),
        loose: Collection[tuple[str, int]] = (),
    ) -> None:
        self.program, self.stats, self.estimator = program, stats, estimator
        self.tied, self.symmetric = tied and bits == 8, bits == 16
        self.nodes = [n for n in program.nodes if n.name in integer_nodes]
        self.groups = Groups(stats)
        self.fixed: dict[str, Quantization] = {k: v for k, v in fixed.items() if k in stats}
        self.edges: dict[tuple[str, int], str] = {}
        self.scale: dict[str, float] = {}
        self.low: dict[str, float] = {}
        self.pinned: set[str] = set()
        self.powers, self.loose = set(powers), loose

    def plan(self) -> ScalePlan:
        """Decide everything."""
        self._fix_outputs()
        self._tie_moves()
        if self.tied:
            self._join_conflicting_sums()
        self._start()
        self._fit_powers()
        if self.tied:
            self._fit_free_tables()
            for node in reversed(self.nodes):
                if node.op in ("add", "sub"):
                    self._fit_sum(node)
            for node in self.nodes:
                self._fit_other(node)
        activations = {name: self._quantization(name) for name in self.stats}
        plan = ScalePlan(activations, self.edges)
        plan.near_ties = [(n.name, d) for n in self.nodes if (d := self._distance(n, plan)) is not None]
        return plan

    def _fix_outputs(self) -> None:
        if self.symmetric:
            return
        for node in self.program.nodes:
            if node.op in FIXED_OUTPUTS and node.outputs[0] in self.stats:
                self.fixed[node.outputs[0]] = FIXED_OUTPUTS[node.op]

    def _group_fixed(self, name: str) -> Quantization | None:
        return self.fixed.get(self.groups.find(name))

    def _union(self, first: str, second: str) -> None:
        quant = self._group_fixed(first) or self._group_fixed(second)
        root = self.groups.union(first, second)
        if quant is not None:
            self.fixed[root] = quant

    def _tie_moves(self) -> None:
        for node in self.nodes:
            if OPS[node.op].integer != "move":
                continue
            out = node.outputs[0]
            for index, name in enumerate(node.inputs):
                fixed, other = self._group_fixed(name), self._group_fixed(out)
                clash = (
                    fixed is not None and (node.op == "concat" and len(node.inputs) > 1) and fixed != other
                )
                if clash or (node.name, index) in self.loose:
                    self.edges[(node.name, index)] = out
                else:
                    self._union(name, out)
        self._tie_states()

    def _tie_states(self) -> None:
        """Both ends of a state on one grid, so that the way through float between steps rounds nothing."""
        for state in self.program.states:
            if state.input in self.stats and state.output in self.stats:
                given, next_ = self._group_fixed(state.input), self._group_fixed(state.output)
                if given is None or next_ is None or given == next_:
                    self._union(state.input, state.output)

    def _sums(self) -> list[tuple[str, str]]:
        """(input group, output group) of every integer addition."""
        found = []
        for node in self.nodes:
            if node.op in ("add", "sub"):
                out = self.groups.find(node.outputs[0])
                found += [(self.groups.find(name), out) for name in node.inputs]
        return found

    def _join_conflicting_sums(self) -> None:
        """A tensor that feeds two sums cannot fit both of their outputs: those then share a scale."""
        changed = True
        while changed:
            changed = False
            outs: dict[str, str] = {}
            for source, out in self._sums():
                source, out = self.groups.find(source), self.groups.find(out)
                other = self.groups.find(outs.setdefault(source, out))
                if other != out and not (self._group_fixed(other) or self._group_fixed(out)):
                    self._union(other, out)
                    changed = True
            for first, second in self._cycles():
                self._union(first, second)
                changed = True

    def _cycles(self) -> list[tuple[str, str]]:
        follow: dict[str, set[str]] = {}
        for source, out in self._sums():
            if source != out:
                follow.setdefault(source, set()).add(out)
        reach: dict[str, set[str]] = {}
        for start in follow:
            seen: set[str] = set()
            stack = list(follow[start])
            while stack:
                item = stack.pop()
                if item not in seen:
                    seen.add(item)
                    stack += follow.get(item, ())
            reach[start] = seen
        pairs = [(a, b) for a in reach for b in reach[a] if a != b and a in reach.get(b, set())]
        return pairs[:1]

    def _start(self) -> None:
        for root, names in self.groups.members().items():
            quant = self.fixed.get(root)
            if quant is not None:
                self.scale[root], self.low[root] = float(quant.step), 0.0
                self.pinned.add(root)
                continue
            low, high = self.estimator(TensorStats.merged(self.stats[n] for n in names))
            low, high = min(low, 0.0), max(high, 0.0)
            if self.symmetric:
                self.scale[root] = max(max(-low, high) / STEPS_16, SMALLEST_SCALE * 2.0**-8)
                self.low[root] = 0.0
                continue
            self.scale[root] = max((high - low) / STEPS, SMALLEST_SCALE)
            self.low[root] = low
        for node in self.nodes:
            root = self.groups.find(node.outputs[0])
            if root not in self.pinned:
                self.scale[root] = max(self.scale[root], least_scale(self.program, node, self._scale_of))

    def _scale_of(self, name: str) -> float | None:
        return self.scale[self.groups.find(name)] if name in self.stats else None

    def _fit_powers(self) -> None:
        """Powers of two first; the source of a mean follows its result, which then cannot move."""
        for name in self.powers:
            root = self.groups.find(name)
            if root not in self.pinned:
                self.scale[root] = power_of_two(self.scale[root])
                self.pinned.add(root)
        for node in self.nodes if self.tied else ():
            source, out = self.groups.find(node.inputs[0]), self.groups.find(node.outputs[0])
            if node.op == "mean" and out in self.pinned and source not in self.pinned:
                self._fit_source_of_mean(node, source, out)

    def _fit_source_of_mean(self, node: Node, source: str, out: str) -> None:
        count = self._mean_count(node)
        p, m = grids.multiplier_at_least(self.scale[source] / (self.scale[out] * count))
        self.scale[source] = self.scale[out] * count * p / m
        self.pinned.add(source)

    def _mean_count(self, node: Node) -> int:
        shape = self.program.type(node.inputs[0]).shape
        return int(np.prod([shape[a] for a in node.attrs["axes"]]))

    def _fit_free_tables(self) -> None:
        """Tables first where no sum will move the scale of their input or output."""
        summed = {source for source, out in self._sums() if source != out}
        for node in self.nodes:
            border = {self.groups.find(node.inputs[0]), self.groups.find(node.outputs[0])}
            if OPS[node.op].integer == "table" and not border & summed:
                self._fit_table(node)

    def _fit_sum(self, node: Node) -> None:
        out = self.groups.find(node.outputs[0])
        inputs = [self.groups.find(name) for name in node.inputs]
        for name in inputs:
            if name in self.fixed and out not in self.pinned:
                p = grids.numerator_at_most(self.scale[name] / self.scale[out])
                self.scale[out] = self.scale[name] * grids.DENOMINATOR / p
                self.pinned.add(out)
        self.pinned.add(out)
        for name in inputs:
            if name not in self.pinned:
                p = grids.numerator_at_least(self.scale[name] / self.scale[out])
                self.scale[name] = self.scale[out] * p / grids.DENOMINATOR
                self.pinned.add(name)

    def _fit_other(self, node: Node) -> None:
        if node.op == "mul":
            self._fit_product(node)
        elif node.op == "mean":
            self._fit_mean(node)
        elif OPS[node.op].integer == "table":
            self._fit_table(node)

    def _fit_product(self, node: Node) -> None:
        a, b = (self.groups.find(name) for name in node.inputs)
        out = self.groups.find(node.outputs[0])
        product = self.scale[a] * self.scale[b]
        if out not in self.pinned:
            p, m = grids.multiplier_at_most(product / self.scale[out])
            self.scale[out] = product * m / p
        else:
            free = [g for g in (a, b) if g not in self.pinned]
            if not free or a == b:
                return
            p, m = grids.multiplier_at_least(product / self.scale[out])
            self.scale[free[0]] *= self.scale[out] * p / (m * product)
        self.pinned |= {a, b, out}

    def _fit_mean(self, node: Node) -> None:
        source, out = self.groups.find(node.inputs[0]), self.groups.find(node.outputs[0])
        if out in self.pinned or source == out:
            return
        count = self._mean_count(node)
        p, m = grids.multiplier_at_most(self.scale[source] / (self.scale[out] * count))
        self.scale[out] = self.scale[source] * m / (count * p)
        self.pinned |= {source, out}

    def _fit_table(self, node: Node) -> None:
        source, out = self.groups.find(node.inputs[0]), self.groups.find(node.outputs[0])
        if source in self.pinned:
            return
        start = self.scale[source]
        best, best_distance = start, -1.0
        for scale in table_scales(node, start):
            self.scale[source] = scale
            distance = table_distance(node, self._quantization(source), self._quantization(out))
            if distance > best_distance:
                best, best_distance = scale, distance
            if distance > 4 * grids.SAFE_MARGIN:
                break
        self.scale[source] = best
        self.pinned.add(source)

    def _quantization(self, name: str) -> Quantization:
        root = self.groups.find(name)
        if root in self.fixed:
            return self.fixed[root]
        scale = float(np.float32(self.scale[root]))
        if self.symmetric:
            return Quantization.per_tensor(scale, 0)
        zero = int(np.clip(np.rint(-128 - self.low[root] / scale), -128, 127))
        return Quantization.per_tensor(scale, zero)

    def _distance(self, node: Node, plan: ScalePlan) -> float | None:
        """Tie distance of a node when it is below the safe margin, else None."""
        if self.symmetric:
            return None
        out = plan.activations.get(node.outputs[0])
        quants = [plan.activations.get(n) for n in node.inputs]
        if out is None or any(q is None for q in quants):
            return None
        a = quants[0]
        assert a is not None
        distance = 0.5
        if node.op in ("add", "sub") and quants[1] is not None:
            sign = 1 if node.op == "add" else -1
            distance = grids.sum_distance(
                float(a.step) / float(out.step), a.zero_point,
                sign * float(quants[1].step) / float(out.step), quants[1].zero_point,
            )  # fmt: skip
        elif node.op == "mul" and quants[1] is not None:
            multiplier = float(a.step) * float(quants[1].step) / float(out.step)
            distance = grids.product_distance(multiplier, a.zero_point, quants[1].zero_point)
        elif node.op == "mean":
            count = self._mean_count(node)
            distance = grids.mean_distance(float(a.step) / (float(out.step) * count), a.zero_point, count)
        elif OPS[node.op].integer == "table":
            distance = table_distance(node, a, out)
        margin = grids.SAFE_MEAN if node.op == "mean" else grids.SAFE_MARGIN
        return distance if distance < margin else None


def table_scales(node: Node, start: float) -> list[float]:
    """Candidates for the input scale of a look-up activation, in the order in which they are tried.

    For hardswish first scales of which 3 is a whole multiple: the function is then an exact product of
    integers, ``x * clip(x + 3, 0, 6) / 6``, which ONNX Runtime computes with two cheap kernels.
    """
    fine = [start * (1 + step * 2.0**-11) for step in range(NUDGES)]
    steps = int(3 / start)
    if node.op != "hardswish" or steps < 16:
        return fine
    return [3 / count for count in (steps, steps + 1, steps - 1)] + fine


def table_distance(node: Node, source: Quantization, out: Quantization) -> float:
    """Tie distance over the 256 entries of a look-up activation, saturated entries left out."""
    from pocketpress.core.program.tables import real_table

    values = real_table(node.op, node.attrs, source, out)
    inside = (values + out.zero_point > -129) & (values + out.zero_point < 128)
    return grids.tie_distance(values[inside])
