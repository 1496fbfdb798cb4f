"""Smaller weights between float activations; with calibration data, 4-bit weights are rounded by learning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pocketpress.compress.quantize.place import PRODUCTS
from pocketpress.compress.quantize.plan import QuantizationPlan
from pocketpress.compress.weight_only.dynamic import quantize_at_run_time
from pocketpress.compress.weight_only.integers import (
    WeightPlan,
    apply_weights,
    plan_integers,
    round_to_type,
    with_constants,
)
from pocketpress.compress.weight_only.palette import palettize
from pocketpress.core.precision import Precision
from pocketpress.core.program import Program
from pocketpress.core.program.ir import Array
from pocketpress.core.target import Skipped, TargetSpec
from pocketpress.graph.half_weights import half_weights
from pocketpress.pipeline.calibration import LEAST_LEARNED
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.quantization import STEPS, too_few

Skips = tuple[Skipped, ...]


def smaller_weights(
    program: Program,
    lowered: Program,
    precision: Precision,
    targets: tuple[TargetSpec, ...],
    options: PressOptions,
    feeds: list[dict[str, Array]],
    events: Events,
) -> tuple[Program, Skips, bool]:
    """Store the weights as asked.

    Args:
        program: float.
        lowered: the same with the file's inputs (raw pixels, perhaps); its constants have the same names.
        precision: with float or run-time activations.
        targets: decide what is quantised at run time.
        options: seed and steps of learning.
        feeds: calibration samples; none, no learning.
        events: told of learning.

    Returns:
        The program, what was left as it was, and whether the rounding is learned.
    """
    if precision.name == "fp32":
        return lowered, (), False
    if precision.name == "fp16":
        return half_weights(lowered), (), False
    if precision.palette:
        return (*palettize(lowered, precision.weight_bits), False)
    plan = plan_integers(program, precision.weight_bits, precision.block)
    steps = options.rounding_steps
    if steps is None:
        steps = STEPS[4] if precision.weight_bits == 4 else 0
    if steps and feeds and len(feeds) < LEAST_LEARNED:
        plan = replace(plan, skipped=(*plan.skipped, too_few(len(feeds))))
    elif steps and feeds:
        values = _learned(program, plan, feeds, steps, options, events)
        stored = with_constants(lowered, values, plan.types)
        return stored, plan.skipped, True
    stored = apply_weights(lowered, plan.types)
    if precision.activations != "dynamic":
        return stored, plan.skipped, False
    able = frozenset.intersection(*(spec.float_ops for spec in targets))
    dynamic, skipped = quantize_at_run_time(stored, able)
    return dynamic, plan.skipped + skipped, False


def _learned(
    program: Program,
    plan: WeightPlan,
    feeds: list[dict[str, Array]],
    steps: int,
    options: PressOptions,
    events: Events,
) -> dict[str, Array]:
    """Integers and biases by constant name; a weight that several layers share is rounded to nearest."""
    from pocketpress.compress.learn.rounding import RoundingOptions, block_count, learn_rounding

    readers = program.consumers()
    nodes = {
        node.name: node
        for node in program.nodes
        if node.op in PRODUCTS and node.inputs[1] in plan.types and len(readers[node.inputs[1]]) == 1
    }
    quants = {name: plan.types[node.inputs[1]].quant for name, node in nodes.items()}
    wanted = QuantizationPlan(
        frozenset(),
        {},
        {name: quant for name, quant in quants.items() if quant is not None},
        {},
        (),
        weight_bits={name: 4 for name, n in nodes.items() if plan.types[n.inputs[1]].dtype == "int4"},
    )
    with events.stage("learn rounding", block_count(program, wanted)) as advance:
        found = learn_rounding(
            program,
            wanted,
            feeds,
            RoundingOptions(steps=steps, seed=options.seed),
            advance,
        )
    values: dict[str, Array] = {
        name: round_to_type(program.constants[name], type_) for name, type_ in plan.types.items()
    }
    values |= {nodes[name].inputs[1]: integers for name, integers in found.rounded.items()}
    values |= {nodes[name].inputs[2]: np.asarray(bias) for name, bias in found.biases.items()}
    return values
