"""A read network as plain data: steps, known arrays, inputs and outputs."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pocketpress.core.errors import BlockedError, Blocker, UnsupportedError, compose
from pocketpress.core.given import GivenScales
from pocketpress.core.instead import instead_of
from pocketpress.core.program.state import State
from pocketpress.sources.steps.call import Known

BATCHED = "batched"
"""Attribute of a Scan: as it was before operator set 9, over the second axis of every sample."""
SHAPE_OPS = ("Shape", "Size", "SHAPE", "RANK")
"""Their results are known, since shapes are."""
LIKE_OPS = ("CastLike",)
"""Of all but their first input they read the type alone."""


@dataclass(frozen=True)
class Step:
    """A node to run.

    Attributes:
        op: operator.
        name: of the node.
        inputs: None where one is left out.
        outputs: "" where one is left out.
        attributes: numbers, strings, lists and arrays.
        branches: of a choice by the first input, when that is 0 and when it is not; or what is repeated.  A
            step that has them reads what they read, and is no operator (`pocketpress.sources.steps.control`).
    """

    op: str
    name: str
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    branches: tuple[Branch, ...] = ()

    @property
    def decisive(self) -> tuple[str | None, ...]:
        """Inputs that the network's own must not reach: they say how often something is repeated."""
        if self.op == "Loop":
            return self.inputs[:2]
        return self.inputs[:1] if self.op == "Scan" and self.attributes[BATCHED] else ()


@dataclass(frozen=True)
class Branch:
    """Steps that run when a condition says so, or as often as it does.

    Attributes:
        outputs: names, in order.
        known: arrays by name.
        steps: in order.
        inputs: names of what every repetition is given.
    """

    outputs: tuple[str, ...]
    known: dict[str, Known]
    steps: tuple[Step, ...]
    inputs: tuple[str, ...] = ()

    @property
    def reads(self) -> list[str]:
        """Names from around it."""
        made = {*self.inputs, *self.known, *self.made}
        read = [*(name for step in self.steps for name in step.inputs if name is not None), *self.outputs]
        return [name for name in dict.fromkeys(read) if name not in made]

    @property
    def made(self) -> list[str]:
        """Names of what its steps make."""
        return [name for step in self.steps for name in step.outputs if name]

    def placed(self, place: str, given: Sequence[str | None]) -> Branch:
        """One repetition: of other inputs, with ``place`` before the names of what it makes."""
        return self._renamed(place, dict(zip(self.inputs, given, strict=True)))

    def _renamed(self, place: str, names: Mapping[str, str | None]) -> Branch:
        new = {**names, **{name: f"{place}{name}" for name in self.made}}

        def renamed(step: Step) -> Step:
            inner = [
                branch._renamed(place, {**new, **{n: f"{place}{n}" for n in branch.inputs}})
                for branch in step.branches
            ]
            branches = tuple(
                replace(after, inputs=tuple(f"{place}{name}" for name in before.inputs))
                for before, after in zip(step.branches, inner, strict=True)
            )
            inputs = tuple(None if name is None else new.get(name, name) for name in step.inputs)
            outputs = tuple(str(new.get(name, name)) for name in step.outputs)
            return replace(step, inputs=inputs, outputs=outputs, branches=branches)

        return Branch(
            tuple(str(new.get(name, name)) for name in self.outputs),
            self.known,
            tuple(map(renamed, self.steps)),
        )


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
    """Refuse operators that are not in the table, and repetitions whose number depends on the inputs.

    Of a choice that constants or shapes decide, the branch that is taken is looked at later.

    Raises:
        BlockedError: all of them at once, by name.
    """
    missing, live = [], set(inputs)
    for step in steps:
        depends = any(name in live for name in step.inputs)
        if live.intersection(name for name in step.decisive if name):
            missing.append(unsupported(step, undecided(step)))
        elif step.op != "If" or step.inputs[0] in live:
            missing += _lacking(step, operators)
        if depends and step.op not in SHAPE_OPS:
            live.update(step.outputs)
    if missing:
        raise BlockedError(missing)


def _lacking(step: Step, operators: Container[str]) -> list[Blocker]:
    """A step that is not in the table, or those within it that surely run."""
    if not step.branches:
        return [] if step.op in operators else [unsupported(step)]
    inner = [later for branch in step.branches for later in branch.steps if later.op != "If"]
    return [blocker for later in inner for blocker in _lacking(later, operators)]


def undecided(step: Step, what: str = "the number of repetitions") -> UnsupportedError:
    """The inputs would decide what the artifact holds."""
    return UnsupportedError(f"node {step.name}: {what} of {step.op} depends on the network's inputs")


def unsupported(step: Step, error: UnsupportedError | None = None) -> Blocker:
    """A step that is not supported, or not in the form that ``error`` says."""
    where, instead = f"node {step.name}", instead_of(step.op)
    if error is None:
        return Blocker(where, step.op, f"operator {step.op} is not supported", instead)
    reason = compose(error.what.removeprefix(f"{where}: "), error.got, error.allowed, None)
    return Blocker(where, step.op, reason, error.next_step or instead)
