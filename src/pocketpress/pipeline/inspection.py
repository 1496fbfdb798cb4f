"""What a network consists of, and what each target can run of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pocketpress.core.program import OPS, Program
from pocketpress.core.signature import Signature, signature_of
from pocketpress.core.target import TargetSpec
from pocketpress.core.targets import all_targets
from pocketpress.graph.affine_to_depthwise import affine_to_depthwise
from pocketpress.graph.average_pool_to_depthwise import average_pool_to_depthwise
from pocketpress.pipeline.prepare import simplified
from pocketpress.pipeline.press import multiply_accumulates
from pocketpress.sources.load import load_source
from pocketpress.sources.pytorch import Shapes


@dataclass(frozen=True)
class TargetAbility:
    """One target's answer: operators it lacks, and operators that stay in float in an int8 artifact."""

    target: str
    float_missing: tuple[str, ...]
    int8_in_float: tuple[str, ...]
    precisions: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """Facts about a network."""

    name: str
    signature: Signature
    parameters: int
    parameter_bytes: int
    multiply_accumulates: int
    operators: dict[str, int]
    targets: tuple[TargetAbility, ...]


def inspect_network(spec: str, *, weights: Path | None = None, shapes: Shapes | None = None) -> Inspection:
    """Read a network and look at it; nothing is lowered or run.

    Raises:
        SourceError: the network cannot be read or exported.
    """
    source = load_source(spec, weights=weights, shapes=shapes)
    program = simplified(source.program, None, False)
    ready = affine_to_depthwise(average_pool_to_depthwise(program))
    constants = [v for v in program.constants.values()]
    return Inspection(
        name=source.name,
        signature=signature_of(program, precision="fp32"),
        parameters=source.parameters,
        parameter_bytes=int(sum(v.nbytes for v in constants)),
        multiply_accumulates=multiply_accumulates(program),
        operators=dict(Counter(n.op for n in program.nodes).most_common()),
        targets=tuple(_ability(spec, program, ready) for spec in all_targets().values()),
    )


def _ability(spec: TargetSpec, program: Program, ready: Program) -> TargetAbility:
    float_ops = {n.op for n in program.nodes}
    integer_ops = {n.op for n in ready.nodes}
    in_float = {op for op in integer_ops if OPS[op].integer == "float" or op not in spec.integer_ops}
    return TargetAbility(
        spec.name,
        tuple(sorted(float_ops - spec.float_ops)),
        tuple(sorted(in_float)) if "w8a8-static" in spec.precisions else (),
        spec.precisions,
    )
