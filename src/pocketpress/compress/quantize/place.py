"""Which operators of a float program run in integers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pocketpress.compress.quantize.relative import relative_nodes
from pocketpress.compress.quantize.states import REASON, updating_nodes
from pocketpress.core.program import OPS, Node, Program
from pocketpress.core.target import Skipped

BINARY = ("add", "sub", "mul")
PRODUCTS = ("conv2d", "conv_transpose2d", "linear")
WHOLE = ("embedding", "cast", "whole", "argmax")
PLACES = ("cast", "argmax", "floor", "round")
"""What makes whole numbers, or masks, of reals."""
MASK_OPS = ("add", "sub", "mul", "neg", "abs", "step", "clamp", "reshape", "permute", "slice", "concat")
"""What makes a mask of what the caller gives."""
HIDDEN = 1e30
"""Numbers of this size hide others; no grid has both."""
_HIDE = ("add", "sub", "mul", "neg", "max_pool2d", "reshape", "permute", "slice", "concat")


@dataclass(frozen=True)
class Placement:
    """Which nodes run in integers.

    Attributes:
        integer: their names.
        left_in_float: why the others stay in float.
        loose_edges: (node, input index) of integer moves whose input keeps its own scale and is converted.
    """

    integer: frozenset[str]
    left_in_float: tuple[Skipped, ...]
    loose_edges: frozenset[tuple[str, int]] = frozenset()


def place(program: Program, integer_ops: frozenset[str], *, relative: bool = True) -> Placement:
    """Decide node by node, in order.

    Args:
        program: float, simplified.
        integer_ops: operators that every chosen runtime computes in integers as the reference does.
        relative: whether what needs its small numbers stays in float (`relative_nodes`).
    """
    integer: set[str] = set()
    skipped: list[Skipped] = []
    held = set(program.inputs)
    masking = relative_nodes(program) if relative else {}
    masking |= {**_masking(program), **_whole_numbers(program), **_hiding(program)}
    masking |= dict.fromkeys(updating_nodes(program), REASON)
    for node in program.nodes:
        reason = masking.get(node.name) or _why_float(program, node, integer_ops, held)
        if reason is None:
            integer.add(node.name)
            held |= set(node.outputs)
        elif OPS[node.op].integer != "move":
            skipped.append(Skipped(f"{node.op} {node.name}", reason))
    return Placement(frozenset(integer) - _idle_moves(program, integer), tuple(skipped))


def _idle_moves(program: Program, integer: Collection[str]) -> set[str]:
    """Integer moves of the network's inputs whose results only float arithmetic reads.

    To round an input, move it and make it real again costs two conversions and its precision, for nothing.
    """
    given = {*program.inputs, *program.constants}
    moves: list[Node] = []
    for node in program.nodes:
        if node.name in integer and OPS[node.op].integer == "move" and given.issuperset(node.inputs):
            given |= set(node.outputs)
            moves.append(node)
    readers, idle = program.consumers(), set[str]()
    for node in reversed(moves):
        users = readers.get(node.outputs[0], [])
        unread = all(user.name in idle or user.name not in integer for user in users)
        if users and unread and node.outputs[0] not in program.outputs:
            idle.add(node.name)
    return idle


def _masking(program: Program) -> dict[str, str]:
    """Nodes that compute on masks alone, or add one before a softmax, with the reason to stay in float.

    Their numbers are 0 and far below 0: one grid for them and the scores would leave the scores no steps.
    """
    masks: set[str] = set()
    reasons: dict[str, str] = {}
    readers = program.consumers()
    for node in program.nodes:
        computed = [n for n in node.inputs if n not in program.constants]
        if node.op in PLACES or (node.op in MASK_OPS and computed and masks.issuperset(computed)):
            masks |= set(node.outputs)
            reasons[node.name] = "it computes on a mask or on whole numbers"
        elif node.op in ("add", "sub") and masks & set(computed):
            users = readers.get(node.outputs[0], [])
            if users and all(user.op == "softmax" for user in users):
                reasons[node.name] = "it adds a mask to the scores of a softmax, which is computed in float"
    return reasons


def _whole_numbers(program: Program) -> dict[str, str]:
    """Nodes between what is rounded or found and what needs whole numbers: a grid would move them."""
    makers, reasons = program.producers(), dict[str, str]()
    waiting = [name for node in program.nodes if node.op == "whole" for name in node.inputs]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in reasons:
            continue
        reasons[node.name] = "it computes whole numbers"
        if node.op not in (*PLACES, "step", "embedding"):
            waiting += node.inputs
    return reasons


def _hiding(program: Program) -> dict[str, str]:
    """Nodes that put a huge number in place of one that was found, and what reads their results."""
    hidden, reasons = set[str](), dict[str, str]()
    makers = program.producers()
    for node in program.nodes:
        huge = any(
            program.constants[name].dtype.kind == "f"
            and bool((np.abs(program.constants[name]) > HIDDEN).any())
            for name in node.inputs
            if name in program.constants and program.type(name).elements
        )
        if node.op not in _HIDE or not (huge or hidden.intersection(node.inputs)):
            continue
        hidden |= set(node.outputs)
        for made in (node, *(makers[name] for name in node.inputs if name in makers and node.op == "add")):
            reasons[made.name] = "it hides numbers that were found behind a huge one"
    return reasons


def with_reasons(program: Program, placement: Placement, reasons: Mapping[str, str]) -> Placement:
    """The same placement with other reasons for what stays in float, by node name."""
    named = {f"{node.op} {node.name}": reasons[node.name] for node in program.nodes if node.name in reasons}
    skipped = tuple(Skipped(s.name, named.get(s.name, s.reason)) for s in placement.left_in_float)
    return replace(placement, left_in_float=skipped)


def without(program: Program, placement: Placement, kept_float: Mapping[str, str]) -> Placement:
    """The same placement with some nodes left in float: node name to reason.

    What only moves their results stays in float with them, as in `place`.
    """
    gone = {name: reason for name, reason in kept_float.items() if name in placement.integer}
    if not gone:
        return placement
    ops = {node.name: node.op for node in program.nodes}
    skipped = tuple(Skipped(f"{ops[name]} {name}", reason) for name, reason in gone.items())
    integer, held = set(placement.integer) - set(gone), set(program.inputs)
    for node in program.nodes:
        if node.name in integer and OPS[node.op].integer == "move" and not held & set(node.inputs):
            integer.discard(node.name)
        if node.name in integer:
            held |= set(node.outputs)
    return replace(placement, integer=frozenset(integer), left_in_float=placement.left_in_float + skipped)


def _why_float(program: Program, node: Node, integer_ops: frozenset[str], held: set[str]) -> str | None:
    spec = OPS[node.op]
    tensors = [*node.inputs, *node.outputs]
    if node.op in WHOLE:
        return "it reads whole numbers, and its result is quantised by those who read it"
    if any(program.type(n).dtype != "float32" for n in tensors):
        return "its tensors are not float32"
    if spec.integer == "float":
        return "no runtime-independent integer form"
    if node.op not in integer_ops:
        return "a chosen runtime has no integer kernel that equals the reference"
    if spec.integer == "move" and not any(n in held for n in node.inputs if n not in program.constants):
        return "its input is computed in float"
    if node.op in PRODUCTS and any(n not in program.constants for n in node.inputs[1:]):
        return "its weight is computed at run time"
    if node.op == "conv_transpose2d" and node.attrs["groups"] != 1:
        return "grouped transposed convolution has no per-channel integer kernel"
    if node.op == "mul" and node.inputs[0] == node.inputs[1]:
        return None
    return None
