"""From a source to the program that is lowered: simplify, calibrate, quantise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pocketpress.compress.quantize.apply import apply_plan
from pocketpress.compress.quantize.observe import TensorStats, observe
from pocketpress.compress.quantize.place import Placement, place
from pocketpress.compress.quantize.plan import (
    QuantizationOptions,
    QuantizationPlan,
    int8_tensors,
    make_plan,
)
from pocketpress.compress.weight_only.dynamic import quantize_at_run_time
from pocketpress.compress.weight_only.integers import apply_weights, coarse_nodes, plan_integers
from pocketpress.compress.weight_only.palette import palettize
from pocketpress.core.precision import Precision, parse_precision
from pocketpress.core.program import OPS, Program, Quantization, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.core.program.serialize import from_bytes, program_hash, to_bytes
from pocketpress.core.signature import Preprocessing
from pocketpress.core.target import Skipped, TargetSpec, real_to_file
from pocketpress.data import Dataset
from pocketpress.graph.affine_to_depthwise import affine_to_depthwise
from pocketpress.graph.average_pool_to_depthwise import average_pool_to_depthwise
from pocketpress.graph.fold_preprocessing import fold_preprocessing
from pocketpress.graph.half_weights import half_weights
from pocketpress.graph.rewrite import Rewrite
from pocketpress.graph.simplify import simplify
from pocketpress.pipeline.cache import Cache
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.options import PressOptions
from pocketpress.verify.parity import sqnr_db
from pocketpress.verify.reference import interpret, interpret_node

PIXELS = Quantization.per_tensor(1.0, 0)
PIXELS_INT8 = Quantization.per_tensor(1.0, -128)
CANDIDATES = ("mse", "percentile", "min-max")
CHOICE_SAMPLES = 32
CLEARLY_BETTER_DB = 0.3
"""A later candidate wins only by this much: less is noise of the few samples it is judged on."""


@dataclass(frozen=True)
class Prepared:
    """Programs ready to lower.

    Attributes:
        float_program: simplified; takes pixels as float32 when ``raw`` names an input.
        float_lowered: what the float artifact is lowered from (uint8 input when asked for).
        program: what the artifact is lowered from.
        skipped: what was left in float, with reasons.
        estimator: the range estimator used, None for float precisions.
        cached: whether the program came from the cache.
    """

    float_program: Program
    float_lowered: Program
    program: Program
    skipped: tuple[Skipped, ...] = ()
    estimator: str | None = None
    cached: bool = False


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


def common_integer_ops(targets: Iterable[TargetSpec]) -> frozenset[str]:
    """Operators that every target which executes int8 computes exactly as the reference."""
    sets = [spec.integer_ops for spec in targets if "w8a8-static" in spec.families]
    return frozenset.intersection(*sets) if sets else frozenset()


def prepare(
    program: Program,
    targets: tuple[TargetSpec, ...],
    options: PressOptions,
    calibration: Dataset | None,
    cache: Cache,
    events: Events,
) -> Prepared:
    """Bring a simplified float program to the asked precision."""
    lowered = with_raw_input(program, options.input_uint8)
    precision = parse_precision(options.precision)
    if precision.activations in ("float", "dynamic"):
        stored_program, skipped = smaller_weights(lowered, precision, targets)
        return Prepared(program, lowered, stored_program, skipped)
    assert calibration is not None
    ready = affine_to_depthwise(average_pool_to_depthwise(program))
    feeds = calibration_feeds(calibration, options)
    key = Cache.key(
        "quantized", program_hash(ready), _feeds_hash(feeds), sorted(common_integer_ops(targets)),
        options.estimator, options.tied, options.input_uint8, precision.name,
    )  # fmt: skip
    hit = cache.get(key)
    if hit is not None:
        estimator, *lines = (hit / "notes.txt").read_text().split("\n")
        skipped = tuple(Skipped(*line.split("\t", 1)) for line in lines if line)
        return Prepared(
            program, lowered, from_bytes((hit / "program").read_bytes()), skipped, estimator, True
        )
    quantized, skipped, estimator = _quantize(ready, targets, options, feeds, events)
    notes = "\n".join([estimator, *(f"{s.name}\t{s.reason}" for s in skipped)])
    cache.put(key, {"program": to_bytes(quantized), "notes.txt": notes.encode()})
    return Prepared(program, lowered, quantized, skipped, estimator)


def smaller_weights(
    program: Program, precision: Precision, targets: tuple[TargetSpec, ...]
) -> tuple[Program, tuple[Skipped, ...]]:
    """Store the weights as asked between float activations."""
    if precision.name == "fp32":
        return program, ()
    if precision.name == "fp16":
        return half_weights(program), ()
    if precision.palette:
        return palettize(program, precision.weight_bits)
    plan = plan_integers(program, precision.weight_bits, precision.block)
    stored_program = apply_weights(program, plan.types)
    if precision.activations != "dynamic":
        return stored_program, plan.skipped
    able = frozenset.intersection(*(spec.float_ops for spec in targets))
    dynamic, skipped = quantize_at_run_time(stored_program, able)
    return dynamic, plan.skipped + skipped


def calibration_feeds(data: Dataset, options: PressOptions) -> list[dict[str, Array]]:
    """Calibration inputs as float32."""
    samples = data.samples(options.calibration_samples, options.seed)
    return [{k: _real(v) for k, v in sample.inputs.items()} for sample in samples]


def _real(value: Array) -> Array:
    return value.astype(np.float32) if value.dtype.kind == "u" else value


def _feeds_hash(feeds: list[dict[str, Array]]) -> str:
    import hashlib

    digest = hashlib.sha256()
    for feed in feeds:
        for name in sorted(feed):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(feed[name]).tobytes())
    return digest.hexdigest()


def stored(program: Program, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Real-valued inputs in the program's own input dtypes."""
    result = {}
    for name in program.inputs:
        type_ = program.type(name)
        scale = None if type_.quant is None else float(type_.quant.step)
        zero = 0 if type_.quant is None else type_.quant.zero_point
        result[name] = real_to_file(feeds[name], type_.dtype, scale, zero)
    return result


def _quantize(
    program: Program,
    targets: tuple[TargetSpec, ...],
    options: PressOptions,
    feeds: list[dict[str, Array]],
    events: Events,
) -> tuple[Program, tuple[Skipped, ...], str]:
    precision = parse_precision(options.precision)
    placement = place(program, _integer_ops(targets, precision))
    wanted = [n for n in int8_tensors(program, placement) if n not in program.constants]
    with events.stage("calibrate", len(feeds)) as advance:
        stats = observe(program, wanted, feeds, len(feeds), _run, advance)
    raw = {program.inputs[0]: PIXELS} if options.input_uint8 else {}
    fixed = {name: PIXELS_INT8 for name in raw}
    names = CANDIDATES if options.estimator == "auto" else (options.estimator,)
    if precision.activations == "int16":
        names = ("min-max",)
    with events.stage("quantise", len(names)) as advance:
        best: tuple[float, Program, tuple[Skipped, ...], str] | None = None
        truth = [interpret(program, feed) for feed in _spaced(feeds)] if len(names) > 1 else []
        for name in names:
            chosen = quantizer_options(program, precision, options, name)
            plan = _plan(program, placement, stats, chosen, fixed)
            candidate = storable_heads(apply_plan(program, plan, raw), targets)
            score = _output_sqnr(candidate, _spaced(feeds), truth) if len(names) > 1 else 0.0
            if best is None or score > best[0] + CLEARLY_BETTER_DB:
                best = (score, candidate, plan.skipped, name)
            advance()
    assert best is not None
    return best[1], best[2], best[3]


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


def _integer_ops(targets: tuple[TargetSpec, ...], precision: Precision) -> frozenset[str]:
    """What runs in integers: in int16 no look-up tables, whose 256 entries are for int8."""
    able = common_integer_ops(targets)
    if precision.activations != "int16":
        return able
    return frozenset(op for op in able if OPS[op].integer != "table")


def quantizer_options(
    program: Program, precision: Precision, options: PressOptions, estimator: str
) -> QuantizationOptions:
    """The quantiser's part of the options, for one estimator."""
    coarse = coarse_nodes(program) if precision.weight_bits == 4 else frozenset()
    return QuantizationOptions(
        estimator=estimator,
        weight_search=estimator != "min-max" or precision.activations == "int16",
        tied=options.tied,
        weight_bits=dict.fromkeys(coarse, 4),
        activation_bits=16 if precision.activations == "int16" else 8,
    )


def _plan(
    program: Program,
    placement: Placement,
    stats: Mapping[str, TensorStats],
    options: QuantizationOptions,
    fixed: Mapping[str, Quantization],
) -> QuantizationPlan:
    plan = make_plan(program, placement, stats, options, fixed)
    return replace(plan, skipped=tuple(dict.fromkeys(plan.skipped)))


def _run(program: Program, feeds: Mapping[str, Array], names: Iterable[str]) -> Mapping[str, Array]:
    return interpret(program, feeds, keep=names)


def _spaced(feeds: list[dict[str, Array]]) -> list[dict[str, Array]]:
    step = max(1, len(feeds) // CHOICE_SAMPLES)
    return feeds[::step][:CHOICE_SAMPLES]


def _output_sqnr(program: Program, feeds: list[dict[str, Array]], truth: list[dict[str, Array]]) -> float:
    """SQNR of the float-side outputs on a few calibration samples: how the range estimator is chosen."""
    signal, noise = [], []
    for feed, wanted in zip(feeds, truth, strict=True):
        got = interpret(program, stored(program, feed))
        for name, value in wanted.items():
            signal.append(np.asarray(value, np.float64).reshape(-1))
            noise.append(np.asarray(value, np.float64).reshape(-1) - got[name].astype(np.float64).reshape(-1))
    return sqnr_db(np.concatenate(signal), np.concatenate(noise))


def describe(prepared: Prepared) -> dict[str, Any]:
    """What `--dry-run` and the record say of a prepared program."""
    nodes = prepared.program.nodes
    integer = sum(prepared.program.type(n.outputs[0]).is_quantized for n in nodes)
    return {"nodes": len(nodes), "integer_nodes": integer, "estimator": prepared.estimator}
