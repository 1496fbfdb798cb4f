"""A read network as plain data: steps, known arrays, inputs and outputs."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pocketpress.core.errors import BlockedError, Blocker, SourceError, UnsupportedError, compose
from pocketpress.core.given import GivenScales
from pocketpress.core.instead import instead_of
from pocketpress.core.program.state import State
from pocketpress.sources.steps.call import Known

SHAPE_OPS = ("Shape", "Size", "SHAPE", "RANK")
"""Their results are known, since shapes are."""


@dataclass(frozen=True)
class Step:
    """A node to run.

    Attributes:
        op: operator.
        name: of the node.
        inputs: None where one is left out.
        outputs: "" where one is left out.
        attributes: numbers, strings, lists and arrays.
        branches: of a choice by the first input, when that is 0 and when it is not; a step that has them
            reads what they read, and is no operator.
    """

    op: str
    name: str
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    branches: tuple[Branch, ...] = ()

    def taken(self, condition: bool) -> tuple[dict[str, Known], list[Step]]:
        """Constants and steps that take the place of a choice.

        Raises:
            SourceError: the branch has not as many outputs.
        """
        branch = self.branches[int(condition)]
        if len(branch.outputs) != len(self.outputs):
            raise SourceError(
                f"node {self.name}: a branch has other outputs",
                got=len(branch.outputs),
                allowed=len(self.outputs),
            )
        ends = [
            Step("Identity", self.name, (name,), (out,), {})
            for name, out in zip(branch.outputs, self.outputs, strict=True)
        ]
        return branch.known, [*branch.steps, *ends]


@dataclass(frozen=True)
class Branch:
    """Steps that run when a condition says so.

    Attributes:
        outputs: names, in order.
        known: arrays by name.
        steps: in order.
    """

    outputs: tuple[str, ...]
    known: dict[str, Known]
    steps: tuple[Step, ...]

    @property
    def reads(self) -> list[str]:
        """Names from around it."""
        made = {*self.known, *(name for step in self.steps for name in step.outputs)}
        read = [*(name for step in self.steps for name in step.inputs if name is not None), *self.outputs]
        return [name for name in dict.fromkeys(read) if name not in made]


@dataclass(frozen=True)
class Input:
    """A network input; a size is None where the file leaves it open."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Graph:
    """What a file says.

    Attributes:
        inputs: of the network, in order.
        outputs: names, in order.
        known: arrays by name.
        steps: in order.
        notes: what was left out or changed, and why.
        given: scales of an 8-bit file.
        format: of the file, in words.
        states: outputs that are inputs of the next run.
    """

    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    known: dict[str, Known]
    steps: tuple[Step, ...]
    notes: tuple[tuple[str, str], ...] = ()
    given: GivenScales | None = None
    format: str = ""
    states: tuple[State, ...] = ()


def check_supported(steps: Sequence[Step], operators: Container[str], inputs: Sequence[str] = ()) -> None:
    """Refuse operators that are not in the table, and choices that depend on the inputs.

    Raises:
        BlockedError: all of them at once, by name.
    """
    missing, live = [], set(inputs)
    for step in steps:
        depends = any(name in live for name in step.inputs)
        if step.branches and step.inputs[0] in live:
            missing.append(unsupported(step, undecided(step)))
        elif not step.branches and step.op not in operators:
            missing.append(unsupported(step))
        if depends and step.op not in SHAPE_OPS:
            live.update(step.outputs)
    if missing:
        raise BlockedError(missing)


def undecided(step: Step) -> UnsupportedError:
    """Both branches would have to be in the artifact."""
    return UnsupportedError(f"node {step.name}: the condition of {step.op} depends on the network's inputs")


def unsupported(step: Step, error: UnsupportedError | None = None) -> Blocker:
    """A step that is not supported, or not in the form that ``error`` says."""
    where, instead = f"node {step.name}", instead_of(step.op)
    if error is None:
        return Blocker(where, step.op, f"operator {step.op} is not supported", instead)
    reason = compose(error.what.removeprefix(f"{where}: "), error.got, error.allowed, None)
    return Blocker(where, step.op, reason, error.next_step or instead)
