"""``--precision mixed``: measure sensitivities, assign bits, verify the promise, repair.

The assignment is predicted from output noise; then the program is built and judged by the reference
interpreter on the evaluation samples, and lowered for its size.  A promise that does not hold tightens the
noise, so that 4-bit weights go back to 8 bits first and the most harmful layers to float next.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pocketpress.compress.mixed.assign import Assignment, Costs, assign
from pocketpress.compress.mixed.budget import noise_budget
from pocketpress.compress.mixed.costs import costs_of
from pocketpress.compress.mixed.sensitivity import Sensitivity, measure_sensitivity
from pocketpress.compress.quantize.place import PRODUCTS, Placement, without
from pocketpress.compress.quantize.plan import QuantizationPlan
from pocketpress.compress.weight_only.integers import coarse_nodes
from pocketpress.core.errors import UserError
from pocketpress.core.program import Program
from pocketpress.core.program.ir import Array
from pocketpress.core.record import Limits, Option
from pocketpress.core.signature import signature_of
from pocketpress.core.target import Skipped, TargetSpec
from pocketpress.core.words import size
from pocketpress.graph.half_weights import half_weights
from pocketpress.measure.size import measure_size
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.outputs import Outputs
from pocketpress.verify.reference import interpret_node

SAMPLES = 16
SECONDS = 90.0
"""Sensitivities are measured on fewer samples where those take longer."""
REPAIRS = 10
TIGHTER = 0.7
LOWERINGS = 4
UNKEPT = "mixed precision"
"""Name of the entry that says a drop could not be kept."""
KEPT_FLOAT = "mixed precision: the most harmful in int8"


class Made(Protocol):
    """A quantised program and what was decided for it."""

    @property
    def program(self) -> Program:
        """With integer activations."""

    @property
    def plan(self) -> QuantizationPlan:
        """All decisions."""


Remake = Callable[[Placement, Mapping[str, int]], Made]


class Judge(Protocol):
    """The task metric of programs, against the float network on the same samples."""

    @property
    def identity(self) -> str:
        """Of the samples and the metric, for the cache."""

    @property
    def float_outputs(self) -> Outputs:
        """Of the float network."""

    def loss(self, outputs: Outputs) -> float:
        """How much the metric drops with these outputs."""

    def drop(self, program: Program) -> float:
        """How much the metric drops with this program, in the reference interpreter."""


@dataclass(frozen=True)
class Mixed:
    """What was chosen.

    Attributes:
        placement: with the float layers taken out.
        weight_bits: 4 where weights have 4 bits.
        sensitivity: what the choice rests on.
        skipped: promises that could not be kept.
        choices: for the record.
    """

    placement: Placement
    weight_bits: Mapping[str, int]
    sensitivity: Sensitivity
    skipped: tuple[Skipped, ...]
    choices: Mapping[str, Option]


def choose_mixed(
    program: Program,
    placement: Placement,
    remake: Remake,
    targets: tuple[TargetSpec, ...],
    limits: Limits,
    feeds: Sequence[Mapping[str, Array]],
    judge: Judge | None,
    events: Events,
    seed: int = 0,
    most_noise: float | None = None,
) -> Mixed:
    """Find the cheapest assignment that keeps the promises in ``limits``.

    Args:
        program: float.
        placement: which nodes run in integers when nothing is kept float.
        remake: the quantised program of a placement and 4-bit weights, and its plan.
        targets: 4 bits are used where all have w4a8; float layers have half weights where all have fp16.
        limits: ``max_drop``, ``max_size_bytes`` or both.
        feeds: calibration samples for the sensitivities.
        judge: of the drop; needed with ``max_drop``.
        events: told of every stage.
        seed: of the noise that predicts the drop.
        most_noise: no more than this, whatever the drop seems to allow.
    """
    return _Choice(program, placement, remake, targets, limits, judge, events, seed).run(feeds, most_noise)


class _Choice:
    def __init__(
        self,
        program: Program,
        placement: Placement,
        remake: Remake,
        targets: tuple[TargetSpec, ...],
        limits: Limits,
        judge: Judge | None,
        events: Events,
        seed: int,
    ) -> None:
        self.program, self.placement, self.remake, self.targets = program, placement, remake, targets
        self.limits, self.judge, self.events, self.seed = limits, judge, events, seed
        self.base = remake(placement, {})
        self.four_bits = all("w4a8" in spec.families for spec in targets)
        self.float_bits = 16 if all("fp16" in spec.families for spec in targets) else 32

    def run(self, feeds: Sequence[Mapping[str, Array]], most_noise: float | None) -> Mixed:
        found = self._sensitivity(feeds)
        self.costs = self._measured(costs_of(self.program, self.placement, found, self.float_bits))
        self.plain = assign(self.costs)
        room = self._room()
        chosen, drop = self._sized(None, room), None
        max_drop = self.limits.max_drop
        if max_drop is not None and self.judge is not None:
            with self.events.stage("predict the drop"):
                budget = noise_budget(self.judge.float_outputs, self.judge.loss, max_drop, self.seed)
            budget = budget if most_noise is None else min(budget, most_noise)
            chosen, drop = self._verified(budget, room, max_drop)
        return self._mixed(chosen, found, drop)

    def _sensitivity(self, feeds: Sequence[Mapping[str, Array]]) -> Sensitivity:
        samples = feeds[:: max(1, len(feeds) // SAMPLES)][:SAMPLES]
        plans = {8: self.base.plan}
        if self.four_bits:
            plans[4] = self.remake(self.placement, dict.fromkeys(coarse_nodes(self.program), 4)).plan
        until = time.monotonic() + SECONDS
        with self.events.stage("sensitivity", len(samples)) as advance:
            return measure_sensitivity(
                self.program, plans, samples, interpret_node,
                keep_float=False, expired=lambda: time.monotonic() > until, progress=advance,
            )  # fmt: skip

    def _measured(self, costs: Costs) -> Costs:
        """With what 4 bits save in the largest file, or in all together when no size is promised.

        Runtimes differ in what they store in 4 bits; where that saves nothing, 8 bits remain.
        """
        able = [layer for layer in costs.layers if 4 in layer.noise]
        before, layers = self._files(self.base.program), {layer.name: layer for layer in costs.layers}
        limited = self.limits.max_size_bytes is not None
        counted = [before.index(max(before))] if limited else range(len(before))
        with self.events.stage("weigh 4-bit layers", len(able)) as advance:
            for layer in able:
                after = self._files(self.remake(self.placement, {layer.name: 4}).program)
                saved = sum(before[i] - after[i] for i in counted)
                noise = layer.noise if saved > 0 else {8: layer.noise[8]}
                layers[layer.name] = replace(layer, noise=noise, saved_bytes=max(saved, 0))
                advance()
        return replace(costs, layers=tuple(layers.values()))

    def _verified(self, budget: float, room: int | None, max_drop: float) -> tuple[Assignment, float]:
        """The first assignment whose drop holds, or the one that drops least."""
        assert self.judge is not None
        chosen = self._sized(budget, room)
        tried: list[tuple[float, Assignment]] = []
        with self.events.stage("verify the drop", REPAIRS) as advance:
            if chosen.floats and not chosen.coarse:
                tried.append((self._drop(self.plain), self.plain))
                advance()
            while not (tried and tried[-1][0] <= max_drop) and len(tried) < REPAIRS:
                tried.append((self._drop(chosen), chosen))
                advance()
                tighter = self._sized(TIGHTER * chosen.noise, room)
                if tighter.bits == chosen.bits:
                    break
                chosen = tighter
        drop, chosen = tried[-1] if tried[-1][0] <= max_drop else min(tried, key=lambda found: found[0])
        return chosen, drop

    def _drop(self, chosen: Assignment) -> float:
        assert self.judge is not None
        return self.judge.drop(self._program(chosen))

    def _program(self, chosen: Assignment) -> Program:
        if chosen.bits == self.plain.bits:
            return self.base.program
        return self.remake(self._placement(chosen), dict.fromkeys(chosen.coarse, 4)).program

    def _placement(self, chosen: Assignment) -> Placement:
        return without(self.program, self.placement, dict.fromkeys(chosen.floats, KEPT_FLOAT))

    def _room(self) -> int | None:
        """Bytes that the size limit leaves for weights, the rest of the largest file taken off."""
        most = self.limits.max_size_bytes
        if most is None:
            return None
        return most - (max(self._files(self.base.program)) - self.plain.size_bytes)

    def _sized(self, noise: float | None, room: int | None) -> Assignment:
        """An assignment whose files, not only whose weights, keep the size."""
        most, wanted = self.limits.max_size_bytes, room
        for _ in range(LOWERINGS):
            try:
                chosen = assign(self.costs, noise=noise, size_bytes=wanted)
            except UserError:
                break
            if most is None or wanted is None or chosen.bits == self.plain.bits:
                return chosen
            excess = max(self._files(self._program(chosen))) - most
            if excess <= 0:
                return chosen
            wanted -= excess
        return self._smallest()

    def _smallest(self) -> Assignment:
        """All the 4 bits there are.

        Raises:
            UserError: that is not small enough either.
        """
        bits = {layer.name: 4 if 4 in layer.noise else 8 for layer in self.costs.layers}
        chosen = Assignment(bits, self.costs.noise(bits), self.costs.size_bytes(bits))
        reached, most = max(self._files(self._program(chosen))), self.limits.max_size_bytes or 0
        if reached <= most:
            return chosen
        hint = "raise --max-size"
        if not self.four_bits:
            able = [spec.name for spec in self.targets if "w4a8" in spec.families]
            hint += f", or choose targets with 4-bit weights (of these: {', '.join(able) or 'none'})"
        raise UserError(
            "no mixed assignment is that small",
            got=f"--max-size {size(most)}",
            allowed=f"{size(reached)} or more",
            next_step=hint,
        )

    def _files(self, program: Program) -> list[int]:
        """Bytes of each target's file."""
        signature, sizes = signature_of(program, precision="mixed"), []
        with tempfile.TemporaryDirectory() as folder:
            for spec in self.targets:
                path = Path(folder) / f"probe{spec.suffix}"
                spec.lower(program, signature, path)
                sizes.append(measure_size(path).raw_bytes)
        return sizes

    def _mixed(self, chosen: Assignment, found: Sensitivity, drop: float | None) -> Mixed:
        skipped: tuple[Skipped, ...] = ()
        if drop is not None and self.limits.max_drop is not None and drop > self.limits.max_drop:
            reason = f"no assignment found keeps the drop; the best drops {drop:.4g}"
            skipped = (Skipped(UNKEPT, reason),)
        counts = {bits: sum(b == bits for b in chosen.bits.values()) for bits in (4, 8)}
        choices: dict[str, Option] = {
            "layers_4_bit": counts[4],
            "layers_8_bit": counts[8],
            "layers_float": len(chosen.floats),
            "predicted_noise": chosen.noise,
        }
        if drop is not None:
            choices["reference_drop"] = drop
        return Mixed(self._placement(chosen), dict.fromkeys(chosen.coarse, 4), found, skipped, choices)


def half_floats(program: Program, targets: tuple[TargetSpec, ...]) -> Program:
    """The weights of float layers in 16 bits, where all targets read those."""
    if not all("fp16" in spec.families for spec in targets):
        return program
    names = {
        node.inputs[1]
        for node in program.nodes
        if node.op in PRODUCTS and not program.type(node.outputs[0]).is_quantized
    }
    return half_weights(program, names & set(program.constants))


def mixed_key(limits: Limits, judge: Judge | None, targets: tuple[TargetSpec, ...]) -> list[object]:
    """What a mixed program depends on beyond the others, for the cache."""
    families = sorted(f"{spec.name}: {spec.families}" for spec in targets)
    return [limits.max_drop, limits.max_size_bytes, None if judge is None else judge.identity, families]
