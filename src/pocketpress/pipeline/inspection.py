"""What a network consists of, and what each target would do with it: advice before a press."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pocketpress.core.advice import IN_INTEGERS
from pocketpress.core.errors import BlockedError, Blocker
from pocketpress.core.program import Program
from pocketpress.core.program.work import multiply_accumulates
from pocketpress.core.signature import Signature, signature_of
from pocketpress.core.target import TargetSpec
from pocketpress.core.targets import all_targets, resolve_targets
from pocketpress.graph.affine_to_depthwise import affine_to_depthwise
from pocketpress.graph.average_pool_to_depthwise import average_pool_to_depthwise
from pocketpress.pipeline.advice import (
    Finding,
    Promise,
    findings,
    float_promises,
    hints,
    in_integers,
    int8_promises,
)
from pocketpress.pipeline.prepare import simplified
from pocketpress.sources.load import load_source
from pocketpress.sources.pytorch import Shapes


@dataclass(frozen=True)
class TargetAbility:
    """One target's answer.

    Attributes:
        target: its name.
        float_missing: operators that it lacks.
        int8_in_float: operators that stay in float in an int8 artifact for this target alone, for certain.
        precisions: that it computes in.
        integer_share: of the multiply-accumulates that an int8 artifact computes in integers, 0 to 1; None
            where the target has no int8.
        findings: of an int8 artifact, or of a float one where there is no int8: everything that is not an
            integer kernel of the fast path.
    """

    target: str
    float_missing: tuple[str, ...]
    int8_in_float: tuple[str, ...]
    precisions: tuple[str, ...]
    integer_share: float | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Inspection:
    """Facts about a network.

    Attributes:
        name: of the network.
        signature: None when the network cannot be pressed.
        parameters: number of weights.
        parameter_bytes: of all constants as float32.
        multiply_accumulates: of one inference.
        operators: how many of each.
        targets: what each does with it.
        hints: what costs time in all of them.
        blockers: operators that are not supported; with any, nothing else is known.
        format: of the file, in words; "" where there is nothing to say.
    """

    name: str
    signature: Signature | None
    parameters: int
    parameter_bytes: int
    multiply_accumulates: int
    operators: dict[str, int]
    targets: tuple[TargetAbility, ...]
    hints: tuple[Finding, ...] = ()
    blockers: tuple[Blocker, ...] = ()
    format: str = ""


def inspect_network(
    spec: str, *, weights: Path | None = None, shapes: Shapes | None = None, targets: str | None = None
) -> Inspection:
    """Read a network and look at it; nothing is lowered or run.

    Args:
        spec: as for a press.
        weights: as for a press.
        shapes: as for a press.
        targets: names as for a press; all by default.

    Raises:
        SourceError: the network cannot be read or exported.
    """
    chosen = tuple(all_targets().values()) if targets is None else resolve_targets(targets)
    try:
        source = load_source(spec, weights=weights, shapes=shapes)
    except BlockedError as error:
        return Inspection(spec, None, 0, 0, 0, {}, (), (), error.blockers)
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
        targets=tuple(_ability(spec, program, ready) for spec in chosen),
        hints=hints(program),
        format=source.format,
    )


def _ability(spec: TargetSpec, program: Program, ready: Program) -> TargetAbility:
    floats = float_promises(spec, program)
    missing = {p.node.op for p in floats if p.place == "missing"}
    if "w8a8-static" not in spec.precisions:
        found = findings(program, floats)
        return TargetAbility(spec.name, tuple(sorted(missing)), (), spec.precisions, None, found)
    promises = int8_promises(spec, ready)
    missing |= {p.node.op for p in promises if p.place == "missing"}
    return TargetAbility(
        spec.name,
        tuple(sorted(missing)),
        tuple(sorted({p.node.op for p in promises if _is_surely_float(p)})),
        spec.precisions,
        in_integers(ready, promises),
        findings(ready, promises),
    )


def _is_surely_float(promise: Promise) -> bool:
    return promise.place not in (*IN_INTEGERS, "missing") and not promise.depends
