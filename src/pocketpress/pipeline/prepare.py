"""From a source to the program that is lowered: simplify, calibrate, quantise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pocketpress.compress.quantize.apply import apply_plan
from pocketpress.compress.quantize.plan import QuantizationPlan
from pocketpress.core.given import GivenScales
from pocketpress.core.precision import parse_precision
from pocketpress.core.program import Program
from pocketpress.core.program.serialize import from_bytes, program_hash, to_bytes
from pocketpress.core.record import LayerCost, Option
from pocketpress.core.signature import Preprocessing
from pocketpress.core.target import Skipped, TargetSpec
from pocketpress.data import Dataset
from pocketpress.graph.affine_to_depthwise import affine_to_depthwise
from pocketpress.graph.average_pool_to_depthwise import average_pool_to_depthwise
from pocketpress.graph.fold_preprocessing import fold_preprocessing
from pocketpress.graph.simplify import simplify
from pocketpress.pipeline.cache import Cache
from pocketpress.pipeline.calibration import draw
from pocketpress.pipeline.costs import quantized_costs, stored_costs
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.mixed import Judge, mixed_key
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.quantization import GIVEN, PIXELS, Train, common_integer_ops, quantize, stored
from pocketpress.pipeline.weights import smaller_weights
from pocketpress.verify.reference import interpret_node

__all__ = ["Prepared", "prepare", "simplified", "stored", "with_raw_input"]


@dataclass(frozen=True)
class Prepared:
    """Programs ready to lower.

    Attributes:
        float_program: simplified; takes pixels as float32 when ``raw`` names an input.
        float_lowered: what the float artifact is lowered from (uint8 input when asked for).
        program: what the artifact is lowered from.
        skipped: what was left in float, with reasons.
        estimator: the range estimator used, None for float precisions.
        mirrored: the float program whose tensors ``program`` quantises; ``float_program`` unless equalised.
        choices: what else was decided, for the record.
        costs: bits, bytes and noise of every layer.
        cached: whether the program came from the cache.
    """

    float_program: Program
    float_lowered: Program
    program: Program
    skipped: tuple[Skipped, ...] = ()
    estimator: str | None = None
    cached: bool = False
    mirrored: Program | None = None
    choices: Mapping[str, Option] = field(default_factory=dict)
    costs: tuple[LayerCost, ...] = ()


def simplified(program: Program, prep: Preprocessing | None, input_uint8: bool) -> Program:
    """The float program every precision starts from."""
    program = simplify(program, interpret_node)
    if input_uint8:
        program = fold_preprocessing(program, prep or Preprocessing())
    return program


def with_raw_input(program: Program, input_uint8: bool) -> Program:
    """The same float network with a uint8 input, when asked for."""
    if not input_uint8:
        return program
    raw = {program.inputs[0]: PIXELS}
    return apply_plan(program, QuantizationPlan(frozenset(), {}, {}, {}, ()), raw)


def prepare(
    program: Program,
    targets: tuple[TargetSpec, ...],
    options: PressOptions,
    calibration: Dataset | None,
    cache: Cache,
    events: Events,
    judge: Judge | None = None,
    train: Train | None = None,
    given: GivenScales | None = None,
) -> Prepared:
    """Bring a simplified float program to the asked precision; the last three arguments as `quantize`."""
    lowered = with_raw_input(program, options.input_uint8)
    precision = parse_precision(options.precision)
    if precision.activations in ("float", "dynamic"):
        learns = calibration is not None and precision.weight_bits == 4 and not precision.palette
        samples = []
        if learns and calibration is not None:
            drawn = draw(calibration, options, program)
            samples = drawn.learning + drawn.judges
        stored_program, skipped, learned = smaller_weights(
            program, lowered, precision, targets, options, samples, events
        )
        return Prepared(
            program,
            lowered,
            stored_program,
            skipped,
            choices={"learned_rounding": learned} if learns else {},
            costs=stored_costs(stored_program, lowered),
        )
    assert calibration is not None
    ready = affine_to_depthwise(average_pool_to_depthwise(program))
    drawn = draw(calibration, options, ready)
    key = Cache.key(
        "quantized", program_hash(ready), drawn.digest, sorted(common_integer_ops(targets)),
        options.estimator, options.tied, options.input_uint8, precision.name, options.rounding_steps,
        options.seed, repr(given) if options.estimator == GIVEN else None,
        mixed_key(options.limits, judge, targets) if precision.name == "mixed" else None,
    )  # fmt: skip
    hit = cache.get(key) if train is None else None
    if hit is not None:
        return _restored(hit, program, lowered)
    found = quantize(ready, targets, options, drawn, events, judge, train, given)
    skipped = found.plan.skipped
    costs = quantized_costs(found.program, found.mirrored, found.plan, found.stats, drawn.ranges, events)
    choices = {"equalized": found.equalized, "learned_rounding": found.learned, **found.choices}
    notes = {
        "estimator": found.estimator,
        "choices": choices,
        "skipped": [[s.name, s.reason] for s in skipped],
        "costs": [cost.model_dump(mode="json") for cost in costs],
    }
    files = {"program": to_bytes(found.program), "mirrored": to_bytes(found.mirrored)}
    if train is None:  # training data is not part of the key
        cache.put(key, {**files, "notes.json": json.dumps(notes).encode()})
    return Prepared(
        program,
        lowered,
        found.program,
        skipped,
        found.estimator,
        mirrored=found.mirrored,
        choices=choices,
        costs=costs,
    )


def _restored(hit: Path, program: Program, lowered: Program) -> Prepared:
    notes = json.loads((hit / "notes.json").read_text())
    return Prepared(
        program,
        lowered,
        from_bytes((hit / "program").read_bytes()),
        tuple(Skipped(name, reason) for name, reason in notes["skipped"]),
        notes["estimator"],
        cached=True,
        mirrored=from_bytes((hit / "mirrored").read_bytes()),
        choices=notes["choices"],
        costs=tuple(LayerCost.model_validate(cost) for cost in notes["costs"]),
    )


def describe(prepared: Prepared) -> dict[str, Any]:
    """What `--dry-run` and the record say of a prepared program."""
    nodes = prepared.program.nodes
    integer = sum(prepared.program.type(n.outputs[0]).is_quantized for n in nodes)
    return {"nodes": len(nodes), "integer_nodes": integer, "estimator": prepared.estimator}
