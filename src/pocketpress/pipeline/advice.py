"""What each target would do with each operator of a network, before anything is pressed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pocketpress.compress.quantize.head import find_heads
from pocketpress.compress.quantize.place import Placement, with_reasons
from pocketpress.compress.quantize.recurrent import apply_recurrent, plan_recurrent
from pocketpress.compress.quantize.split_concat import carriers, is_taken_apart
from pocketpress.compress.quantize.states import undecided
from pocketpress.core.advice import IN_INTEGERS, first_rule
from pocketpress.core.hints import HINTS
from pocketpress.core.instead import FLOAT_INSTEAD
from pocketpress.core.precision import parse_precision
from pocketpress.core.program import OPS, Node, Program
from pocketpress.core.program.work import moved_bytes, multiply_accumulates_of
from pocketpress.core.target import TargetSpec
from pocketpress.pipeline.quantization import placed

INT8 = parse_precision("w8a8-static")
HEAD = "it writes the network's scores: real numbers from exact integer sums"
CARRIED = "behind a concatenation that may stay in float"
CONCAT = "where calibration finds ranges that differ eightfold, so that every input keeps its own scale"


@dataclass(frozen=True)
class Promise:
    """Where one operator is computed in one target.

    Attributes:
        node: of the program.
        place: of `core.advice.PLACES`.
        why: as a clause; "" for what runs as it should.
        depends: whether calibration decides between this place and an integer kernel.
    """

    node: Node
    place: str
    why: str = ""
    depends: bool = False

    @property
    def is_good(self) -> bool:
        """Nothing to say about it."""
        return self.place in ("integer", "exact")


@dataclass(frozen=True)
class Layer:
    """An operator by its names.

    Attributes:
        name: of the program's node.
        source: the user's line, or the node of a file.
        multiply_accumulates: of one inference.
    """

    name: str
    source: str
    multiply_accumulates: int


@dataclass(frozen=True)
class Finding:
    """Operators of one kind with one fate.

    Attributes:
        op: of the program.
        place: where they are computed.
        why: the reason.
        depends: whether calibration decides between this place and an integer kernel.
        instead: what to replace them by, or "".
        multiply_accumulates: their share of all of the network's, 0 to 1.
        moved_bytes: their share of the bytes that all operators read and write, 0 to 1.
        layers: all of them.
    """

    op: str
    place: str
    why: str
    depends: bool
    instead: str
    multiply_accumulates: float
    moved_bytes: float
    layers: tuple[Layer, ...]


def int8_promises(spec: TargetSpec, program: Program) -> tuple[Promise, ...]:
    """Of an int8 press for this target alone.

    Args:
        spec: of the target.
        program: float, with average pooling and affine maps as depthwise convolutions, as a press has it.
    """
    program, reasons = _with_recurrent(program)
    placement = with_reasons(program, placed(program, (spec,), INT8), reasons)
    undecided_here = undecided(program, placement.integer)
    heads = find_heads(program, placement)
    loose = _behind_concats(program, placement)
    reasons = {skipped.name: skipped.reason for skipped in placement.left_in_float}
    found = []
    for node in program.nodes:
        fixed = _ruled(spec, program, node, node.name in placement.integer)
        if fixed is not None:
            found.append(fixed)
        elif node.name in heads:
            found.append(Promise(node, "exact", HEAD))
        elif node.name in loose:
            found.append(Promise(node, "float", loose[node.name], depends=True))
        elif node.name in undecided_here:
            found.append(Promise(node, "float", undecided_here[node.name], depends=True))
        elif node.name in placement.integer:
            found.append(Promise(node, "integer"))
        else:
            found.append(Promise(node, "float", _why_float(spec, node, reasons)))
    return tuple(found)


def _with_recurrent(program: Program) -> tuple[Program, Mapping[str, str]]:
    """Recurrent layers as an int8 press has them, and what it says of them; numbers do not matter."""
    peaks = dict.fromkeys((node.name for node in program.nodes), 1.0)
    plan = plan_recurrent(program, peaks, integers=True)
    return apply_recurrent(program, plan), plan.reasons


def _ruled(spec: TargetSpec, program: Program, node: Node, integer: bool) -> Promise | None:
    """What the target's card alone decides."""
    if node.op not in spec.float_ops | spec.integer_ops:
        return Promise(node, "missing", spec.remarks.get(node.op, "the runtime has no such operator"))
    rule = first_rule(spec.rules, program, node, "int8")
    if rule is None or (not integer and rule.place in ("float", "integer, own kernel")):
        return None
    return Promise(node, rule.place, rule.why, rule.depends)


def _behind_concats(program: Program, placement: Placement) -> dict[str, str]:
    """Concatenations that calibration may leave in float, and what hands their values on: name to reason."""
    found: dict[str, str] = {}
    for node in program.nodes:
        if node.op != "concat" or len(node.inputs) < 2 or node.name not in placement.integer:
            continue
        behind = carriers(program, node)
        if is_taken_apart(program, behind):
            found |= {n.name: CONCAT if n.op == "concat" else CARRIED for n in behind}
    return found


def _why_float(spec: TargetSpec, node: Node, reasons: dict[str, str]) -> str:
    reason = reasons.get(f"{node.op} {node.name}", "its input is computed in float")
    known = node.op not in spec.integer_ops and OPS[node.op].integer != "float"
    return f"{reason}: {spec.remarks[node.op]}" if known and node.op in spec.remarks else reason


def float_promises(spec: TargetSpec, program: Program) -> tuple[Promise, ...]:
    """Of a float press: what is missing, and what runs outside the fast path."""
    found = []
    for node in program.nodes:
        rule = first_rule(spec.rules, program, node, "float")
        if node.op not in spec.float_ops:
            found.append(Promise(node, "missing", spec.remarks.get(node.op, "no such operator")))
        elif rule is not None:
            found.append(Promise(node, rule.place.replace("integer", "float"), rule.why, rule.depends))
    return tuple(found)


def findings(program: Program, promises: Sequence[Promise]) -> tuple[Finding, ...]:
    """What is not as it should be, one entry for each operator and reason; the most work first."""
    kinds: dict[tuple[str, str, str, bool], list[Promise]] = {}
    for promise in promises:
        if not promise.is_good:
            key = (promise.node.op, promise.place, promise.why, promise.depends)
            kinds.setdefault(key, []).append(promise)
    found = [
        _finding(program, [p.node for p in members], *key, FLOAT_INSTEAD.get(key[0], ""))
        for key, members in kinds.items()
    ]
    return tuple(sorted(found, key=lambda f: (f.depends, -f.multiply_accumulates, -f.moved_bytes)))


def hints(program: Program) -> tuple[Finding, ...]:
    """Patterns that cost time in every runtime."""
    found = []
    for hint in HINTS:
        nodes = [n for n in program.nodes if n.op in hint.ops and hint.when(program, n)]
        if nodes:
            found.append(_finding(program, nodes, hint.name, "slow", hint.why, False, hint.instead))
    return tuple(found)


def in_integers(program: Program, promises: Iterable[Promise]) -> float:
    """Share of the multiply-accumulates that run in integers, or of the operators where there are none."""
    good = [p.node for p in promises if p.place in IN_INTEGERS or p.depends]
    total = sum(multiply_accumulates_of(program, node) for node in program.nodes)
    if not total:
        return len(good) / max(1, len(program.nodes))
    return sum(multiply_accumulates_of(program, node) for node in good) / total


def _finding(
    program: Program, nodes: Sequence[Node], op: str, place: str, why: str, depends: bool, instead: str
) -> Finding:
    work = [multiply_accumulates_of(program, node) for node in nodes]
    all_work = sum(multiply_accumulates_of(program, node) for node in program.nodes)
    all_bytes = sum(moved_bytes(program, node) for node in program.nodes)
    return Finding(
        op,
        place,
        why,
        depends,
        instead,
        sum(work) / max(1, all_work),
        sum(moved_bytes(program, node) for node in nodes) / max(1, all_bytes),
        tuple(Layer(n.name, n.source, w) for n, w in zip(nodes, work, strict=True)),
    )
