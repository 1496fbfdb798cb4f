"""Integer activations: calibrate, try ranges with and without equalisation, learn the rounding.

Every candidate is judged by what counts, the error of the network's outputs, on samples that learning does
not see, nor calibration where there are others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from pocketpress.compress.quantize.absorb import apply_absorption, plan_absorption
from pocketpress.compress.quantize.apply import apply_plan
from pocketpress.compress.quantize.equalize import apply_equalization, plan_equalization
from pocketpress.compress.quantize.given import given_plan
from pocketpress.compress.quantize.observe import TensorStats, observe
from pocketpress.compress.quantize.place import Placement, place, with_reasons
from pocketpress.compress.quantize.plan import (
    QuantizationOptions,
    QuantizationPlan,
    int8_tensors,
    make_plan,
)
from pocketpress.compress.quantize.recurrent import apply_recurrent, plan_recurrent, state_peaks
from pocketpress.compress.quantize.split_concat import split_concats
from pocketpress.compress.weight_only.integers import coarse_nodes
from pocketpress.core.errors import UserError
from pocketpress.core.given import GivenScales
from pocketpress.core.precision import Precision, parse_precision
from pocketpress.core.program import OPS, Program, Quantization, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.core.record import Option
from pocketpress.core.target import Skipped, TargetSpec, real_to_file
from pocketpress.graph.rewrite import Rewrite
from pocketpress.pipeline.calibration import LEAST_LEARNED, Calibration
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.mixed import TIGHTER, UNKEPT, Judge, choose_mixed, half_floats
from pocketpress.pipeline.options import PressOptions
from pocketpress.verify.reference import interpret

PIXELS = Quantization.per_tensor(1.0, 0)
PIXELS_INT8 = Quantization.per_tensor(1.0, -128)
GIVEN = "file"
"""As estimator: the scales of an 8-bit file, as they are."""
CANDIDATES = ("l3", "min-max", "mse")
CLEARLY_BETTER_DB = 0.3
"""A later candidate wins only by this much: less is noise of the few samples it is judged on."""
CLIPPING = ("mse", "percentile")
CLIPPING_DB = 0.5
"""What ranges that clip must be better by besides: inputs unlike the samples lose more to them."""
LEAST_NOISE = 1e-12
"""Of the signal's power: less is none."""
EXPONENT = 0.75
"""Of `equalize`: the best of 0.5, 0.75 and 1 on the CIFAR-10 networks."""
STEPS = {8: 200, 4: 300}
"""Gradient steps per block of learned rounding, by weight bits."""
PLACES = 1 << 22
"""Places of feature maps that 8-bit weights learn from; what they gain is small, and large maps take long."""
LEARNED_TRIES = 4
"""Assignments of mixed precision whose rounding is learned, at most."""

Train = Callable[[Program, QuantizationPlan], QuantizationPlan]


@dataclass(frozen=True)
class Quantized:
    """What came out.

    Attributes:
        program: with integer activations.
        mirrored: the float program whose tensors it quantises: the given one, or its equalised form.
        plan: all decisions.
        estimator: the range estimator that won.
        equalized: whether the equalised form won.
        learned: whether the rounding is learned.
        stats: what calibration saw of every tensor of ``mirrored``.
        choices: of mixed precision, for the record.
    """

    program: Program
    mirrored: Program
    plan: QuantizationPlan
    estimator: str
    equalized: bool = False
    learned: bool = False
    stats: Mapping[str, TensorStats] = field(default_factory=dict)
    choices: Mapping[str, Option] = field(default_factory=dict)


def quantize(
    program: Program,
    targets: tuple[TargetSpec, ...],
    options: PressOptions,
    samples: Calibration,
    events: Events,
    judge: Judge | None = None,
    train: Train | None = None,
    given: GivenScales | None = None,
) -> Quantized:
    """Bring a float program to integer activations as the precision says.

    Args:
        program: float.
        targets: what they compute in integers is what becomes integer.
        options: the user's.
        samples: for ranges, judging and learning.
        events: told about progress.
        judge: of drops, for mixed precision.
        train: quantisation-aware training, after everything else.
        given: scales that the network brings with it, for the estimator `GIVEN`.
    """
    search = _Search(program, targets, options, samples, events, judge)
    found = search.run() if options.estimator != GIVEN else search.given(given)
    return found if train is None else search.trained(found, train)


def common_integer_ops(targets: Iterable[TargetSpec]) -> frozenset[str]:
    """Operators that every target which executes int8 computes exactly as the reference."""
    sets = [spec.integer_ops for spec in targets if "w8a8-static" in spec.families]
    return frozenset.intersection(*sets) if sets else frozenset()


class _Search:
    def __init__(
        self,
        program: Program,
        targets: tuple[TargetSpec, ...],
        options: PressOptions,
        samples: Calibration,
        events: Events,
        judge: Judge | None,
    ) -> None:
        self.given_program, self.targets, self.options, self.events = program, targets, options, events
        self.judge = judge
        self.samples, self.precision = samples, parse_precision(options.precision)
        self.program, reasons = self._with_recurrent(program)
        placement = placed(self.program, targets, self.precision, relative=options.estimator != GIVEN)
        self.placement = with_reasons(self.program, placement, reasons)
        self.raw = {program.inputs[0]: PIXELS} if options.input_uint8 else {}
        self.steps = options.rounding_steps

    def _with_recurrent(self, program: Program) -> tuple[Program, Mapping[str, str]]:
        """Recurrent layers in their final form, before anything around them is decided."""
        peaks = state_peaks(program, self.samples.ranges, _run)
        plan = plan_recurrent(program, peaks, integers=self.precision.activations == "int8")
        return apply_recurrent(program, plan), plan.reasons

    def run(self) -> Quantized:
        names = CANDIDATES if self.options.estimator == "auto" else (self.options.estimator,)
        if self.precision.activations == "int16":
            names = ("min-max",)
        stats = self._observed(self.program, "calibrate")
        if self.precision.activations == "int8":
            self.placement = split_concats(self.program, self.placement, stats)
        forms = [(self.program, stats, False)]
        equal = self._equalized(stats)
        if equal is not None:
            forms.append((equal, self._observed(equal, "calibrate equalised"), True))
        self.truth = [interpret(self.given_program, feed) for feed in self.samples.judges]
        best, best_score = None, -np.inf
        with self.events.stage("quantise", len(names) * len(forms)) as advance:
            for form, seen, equalized in forms:
                for name in names:
                    found = self._candidate(form, seen, name, equalized)
                    score = self._score(found.program) - (CLIPPING_DB if name in CLIPPING else 0)
                    if best is None or score > best_score + CLEARLY_BETTER_DB:
                        best, best_score = found, score
                    advance()
        assert best is not None
        if self.precision.name == "mixed":
            return self._mixed(best)
        return self._learned(best, self._score(best.program))

    def given(self, scales: GivenScales | None) -> Quantized:
        """The integers of the file, and nothing decided anew."""
        if scales is None or self.precision.name != "w8a8-static" or self.raw:
            raise UserError(
                "there are no scales to keep",
                got=f"--estimator {GIVEN} --precision {self.precision.name}",
                allowed="an 8-bit TFLite file, --precision w8a8-static, no --input-uint8",
                next_step="leave --estimator out",
            )
        plan = given_plan(self.program, self.placement, scales)
        stats = self._observed(self.program, "observe")
        return Quantized(self._applied(self.program, plan), self.program, plan, GIVEN, stats=stats)

    def _mixed(self, base: Quantized) -> Quantized:
        """Other bits for some layers and float for others, as the promises ask, then learned rounding.

        Learning changes a drop that was verified.  Where it breaks it, a promise on few samples was kept by
        luck: fewer 4-bit weights are tried, and at last the verified program without learning.
        """
        fallback, noise = None, None
        for _ in range(LEARNED_TRIES):
            found = self._assigned(base, noise)
            learned = self._learned(found, self._score(found.program))
            kept = self._promised(found, learned)
            if kept is not found or learned is found:
                return kept
            fallback = fallback or found
            if not found.choices["layers_4_bit"]:
                break
            noise = TIGHTER * float(found.choices["predicted_noise"] or 0)
        assert fallback is not None
        return fallback

    def _assigned(self, base: Quantized, noise: float | None) -> Quantized:
        def remake(placement: Placement, weight_bits: Mapping[str, int]) -> Quantized:
            return self._candidate(
                base.mirrored, base.stats, base.estimator, base.equalized, placement, weight_bits
            )

        chosen = choose_mixed(
            base.mirrored, self.placement, remake, self.targets, self.options.limits,
            self.samples.judges, self.judge, self.events, self.options.seed, noise,
        )  # fmt: skip
        found = remake(chosen.placement, chosen.weight_bits)
        plan = replace(found.plan, skipped=found.plan.skipped + chosen.skipped)
        return replace(found, plan=plan, choices=chosen.choices)

    def _promised(self, found: Quantized, learned: Quantized) -> Quantized:
        """The learned form, unless it breaks the drop that was verified without it."""
        limit = self.options.limits.max_drop
        if limit is None or self.judge is None or learned is found:
            return learned
        with self.events.stage("verify the drop after learning"):
            drop = self.judge.drop(learned.program)
        if drop > max(limit, float(found.choices.get("reference_drop") or 0)):
            return found
        plan = learned.plan
        if drop <= limit:
            plan = replace(plan, skipped=tuple(s for s in plan.skipped if s.name != UNKEPT))
        return replace(learned, plan=plan, choices={**learned.choices, "reference_drop": drop})

    def _observed(self, program: Program, stage: str) -> dict[str, TensorStats]:
        wanted = [out for node in program.nodes for out in node.outputs]
        wanted += [n for n in int8_tensors(program, self.placement) if n in program.inputs]
        feeds = self.samples.ranges
        with self.events.stage(stage, len(feeds)) as advance:
            return observe(program, dict.fromkeys(wanted), feeds, len(feeds), _run, advance)

    def _equalized(self, stats: Mapping[str, TensorStats]) -> Program | None:
        if self.precision.activations != "int8":
            return None
        absorbed = plan_absorption(self.program, stats)
        plan = plan_equalization(self.program, stats, EXPONENT)
        if not absorbed.shifts and not plan.scales:
            return None
        return apply_equalization(apply_absorption(self.program, absorbed), plan)

    def _candidate(
        self,
        form: Program,
        stats: Mapping[str, TensorStats],
        estimator: str,
        equalized: bool,
        placement: Placement | None = None,
        weight_bits: Mapping[str, int] | None = None,
    ) -> Quantized:
        chosen = quantizer_options(form, self.precision, self.options, estimator)
        if weight_bits:
            chosen = replace(chosen, weight_bits=weight_bits, weight_search=True)
        fixed = {name: PIXELS_INT8 for name in self.raw}
        plan = make_plan(form, placement or self.placement, stats, chosen, fixed)
        plan = replace(plan, skipped=tuple(dict.fromkeys(plan.skipped)))
        return Quantized(self._applied(form, plan), form, plan, estimator, equalized, stats=stats)

    def _applied(self, form: Program, plan: QuantizationPlan) -> Program:
        program = storable_heads(apply_plan(form, plan, self.raw), self.targets)
        return half_floats(program, self.targets) if self.precision.name == "mixed" else program

    def _score(self, program: Program) -> float:
        """SQNR of the float-side outputs in dB, with the geometric mean of the judges' noise.

        The arithmetic mean is ruled by the few that are worst, and varies twice as much with the choice of
        the judges.
        """
        signal, noise = [], []
        for feed, wanted in zip(self.samples.judges, self.truth, strict=True):
            got = interpret(program, stored(program, feed))
            real = [(np.asarray(v, np.float64), got[name].astype(np.float64)) for name, v in wanted.items()]
            signal.append(sum(float((value**2).sum()) for value, _ in real))
            noise.append(sum(float(((value - found) ** 2).sum()) for value, found in real))
        power = max(float(np.mean(signal)), 1e-300)
        return float(-10 * np.mean(np.log10(np.maximum(noise, power * LEAST_NOISE) / power)))

    def trained(self, found: Quantized, train: Train) -> Quantized:
        """Go on from the rounding found so far."""
        if not found.plan.weights:
            skipped = Skipped("quantisation-aware training", "no layer computes in integers")
            return replace(found, plan=replace(found.plan, skipped=(*found.plan.skipped, skipped)))
        plan = train(found.mirrored, found.plan)
        return replace(found, plan=plan, program=self._applied(found.mirrored, plan), learned=True)

    def _learned(self, found: Quantized, score: float) -> Quantized:
        """Learn the rounding; kept when the judges agree that it is better."""
        steps, places = self.steps, None
        if steps is None:
            fewest = min([self.precision.weight_bits, *found.plan.weight_bits.values()])
            steps = STEPS[fewest] if self.precision.learned else 0
            places = PLACES if fewest == 8 else None
        if steps == 0 or not found.plan.weights:
            return found
        if len(self.samples.ranges) < LEAST_LEARNED:
            skipped = (*found.plan.skipped, too_few(len(self.samples.ranges)))
            return replace(found, plan=replace(found.plan, skipped=skipped))
        from pocketpress.compress.learn.rounding import RoundingOptions, block_count, learn_rounding

        with self.events.stage("learn rounding", block_count(found.mirrored, found.plan)) as advance:
            plan = learn_rounding(
                found.mirrored,
                found.plan,
                self.samples.learning,
                RoundingOptions(steps=steps, places=places, seed=self.options.seed),
                advance,
            )
        learned = replace(found, plan=plan, program=self._applied(found.mirrored, plan), learned=True)
        return learned if self._score(learned.program) > score else found


def too_few(samples: int) -> Skipped:
    """Why no rounding was learned."""
    reason = (
        f"it takes {LEAST_LEARNED} calibration samples or more, got {samples}; weights are rounded to nearest"
    )
    return Skipped("learned rounding", reason)


def placed(
    program: Program, targets: tuple[TargetSpec, ...], precision: Precision, *, relative: bool = True
) -> Placement:
    """What runs in integers: in int16 no look-up tables, whose 256 entries are for int8.

    Args:
        program: float.
        targets: what they compute in integers is what may become integer.
        precision: of the activations.
        relative: as in `place`.
    """
    able = common_integer_ops(targets)
    if precision.activations == "int16":
        able = frozenset(op for op in able if OPS[op].integer != "table")
    return place(program, able, relative=relative)


def quantizer_options(
    program: Program, precision: Precision, options: PressOptions, estimator: str
) -> QuantizationOptions:
    """The quantiser's part of the options, for one estimator."""
    coarse = coarse_nodes(program) if precision.weight_bits == 4 else frozenset()
    return QuantizationOptions(
        estimator=estimator,
        weight_search=estimator != "min-max" or precision.activations == "int16" or bool(coarse),
        tied=options.tied,
        weight_bits=dict.fromkeys(coarse, 4),
        activation_bits=16 if precision.activations == "int16" else 8,
    )


def storable_heads(program: Program, targets: tuple[TargetSpec, ...]) -> Program:
    """Integer weights of float layers as float16, which holds them exactly, where a target wants it so."""
    if all(spec.takes_integer_weights("linear") for spec in targets):
        return program
    rewrite = Rewrite(program)
    for node in program.nodes:
        if node.op != "linear" or program.type(node.inputs[0]).is_quantized:
            continue
        name = node.inputs[1]
        if name in program.constants and program.type(name).is_quantized:
            rewrite.constants[name] = program.constants[name].astype(np.float16)
            rewrite.types[name] = TensorType(program.type(name).shape, "float16")
    return rewrite.build()


def stored(program: Program, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Real-valued inputs in the program's own input dtypes."""
    result = {}
    for name in program.inputs:
        type_ = program.type(name)
        scale = None if type_.quant is None else float(type_.quant.step)
        zero = 0 if type_.quant is None else type_.quant.zero_point
        result[name] = real_to_file(feeds[name], type_.dtype, scale, zero)
    return result


def _run(program: Program, feeds: Mapping[str, Array], names: Iterable[str]) -> Mapping[str, Array]:
    return interpret(program, feeds, keep=names)
