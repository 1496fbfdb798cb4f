"""Where a runtime computes an operator, and why: rules of targets as data.

A card (`TargetSpec.rules`) lists what an operator's name alone does not say; the first that applies wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pocketpress.core.program.ir import Node, Program

PLACES: dict[str, str] = {
    "integer": "an integer kernel of the fast path, or a table of 256 integers",
    "exact": "a float kernel on integers, without rounding",
    "integer, own kernel": "the runtime's own integer kernel, outside its delegate",
    "float": "in float, between integers",
    "float, loop": "in float, in a loop of the runtime around one step",
    "float, own kernel": "in float in the runtime's own kernel, outside its delegate",
    "portable kernel": "a portable kernel around the delegate, which the app must hold",
    "missing": "refused",
}
"""Where an operator of an int8 artifact may be computed."""
IN_INTEGERS = ("integer", "exact", "integer, own kernel")

When = Callable[[Program, Node], bool]


@dataclass(frozen=True)
class Rule:
    """Where a target computes some operators.

    Attributes:
        ops: their names.
        place: of `PLACES`.
        why: the reason, as a clause.
        when: what must hold of the node; nothing by default.
        precision: "int8" or "float", the artifacts that it is about; both by default.
        depends: whether calibration decides between this place and an integer kernel.
    """

    ops: frozenset[str]
    place: str
    why: str
    when: When | None = None
    precision: str | None = None
    depends: bool = False

    def __post_init__(self) -> None:
        if self.place not in PLACES:
            raise ValueError(f"Rule.place: got {self.place}; allowed: {', '.join(PLACES)}")

    def applies(self, program: Program, node: Node, precision: str) -> bool:
        """Whether it is about this node."""
        if node.op not in self.ops or self.precision not in (None, precision):
            return False
        return self.when is None or self.when(program, node)


def rule(ops: str, place: str, why: str, when: When | None = None, **more: object) -> Rule:
    """A rule for operators separated by blanks."""
    return Rule(frozenset(ops.split()), place, why, when, **more)  # type: ignore[arg-type]


def first_rule(rules: Iterable[Rule], program: Program, node: Node, precision: str) -> Rule | None:
    """The one that decides."""
    return next((r for r in rules if r.applies(program, node, precision)), None)


def is_dilated(program: Program, node: Node) -> bool:
    """A window that leaves pixels out."""
    return any(int(step) > 1 for step in node.attrs["dilation"])


def pads_other_than_zero(program: Program, node: Node) -> bool:
    """Padding with a number that is not 0."""
    return float(node.attrs["value"]) != 0.0


def pads_what_may_be_negative(program: Program, node: Node) -> bool:
    """A padded window over numbers that nothing keeps from being negative."""
    return any(node.attrs["pads"]) and not is_non_negative(program, node.inputs[0])


def resizes_by_fraction(program: Program, node: Node) -> bool:
    """A size that is no whole multiple of the old one."""
    image = program.type(node.inputs[0]).shape[2:]
    return any(int(new) % old for new, old in zip(node.attrs["size"], image, strict=True))


def reads_given_indices(program: Program, node: Node) -> bool:
    """Nothing but inputs of the network, and constants."""
    return all(name in program.inputs or program.is_constant(name) for name in node.inputs)


def reads_moved_indices(program: Program, node: Node) -> bool:
    """Whole numbers that are neither an input of the network nor just made of reals."""
    made = program.producers().get(node.inputs[0])
    return node.inputs[0] not in program.inputs and (made is None or made.op != "whole")


def has_several_steps(program: Program, node: Node) -> bool:
    """A recurrent layer over a sequence: a single step is no loop."""
    return program.type(node.inputs[0]).shape[0] > 1


def has_rank_above_five(program: Program, node: Node) -> bool:
    """More axes than Core ML has."""
    return any(len(program.type(name).shape) > 5 for name in (*node.inputs, *node.outputs))


NON_NEGATIVE = frozenset(
    {"sigmoid", "hardsigmoid", "softmax", "exp", "sqrt", "rsqrt", "abs", "step", "argmax"}
)
_MOVES = frozenset({"concat", "reshape", "permute", "slice", "max_pool2d", "resize_nearest"})


def is_non_negative(program: Program, name: str) -> bool:
    """Whether a tensor of a float program can have no negative number, as its makers say."""
    makers = program.producers()
    node = makers.get(name)
    if node is None:
        return False
    if node.op in _MOVES:
        return all(is_non_negative(program, n) for n in node.inputs)
    low = node.attrs["low"] if node.op == "clamp" else (node.attrs.get("clamp") or (None, None))[0]
    return node.op in NON_NEGATIVE or bool(low is not None and low >= 0)
