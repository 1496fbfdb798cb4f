"""A read network as plain data: steps, known arrays, inputs and outputs."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pocketpress.core.errors import BlockedError, Blocker, UnsupportedError, compose
from pocketpress.core.given import GivenScales
from pocketpress.core.instead import instead_of
from pocketpress.sources.steps.call import Known


@dataclass(frozen=True)
class Step:
    """A node to run."""

    op: str
    name: str
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


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
    """

    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    known: dict[str, Known]
    steps: tuple[Step, ...]
    notes: tuple[tuple[str, str], ...] = ()
    given: GivenScales | None = None
    format: str = ""


def check_supported(steps: Sequence[Step], operators: Container[str]) -> None:
    """Refuse operators that are not in the table.

    Raises:
        BlockedError: all of them at once, by name.
    """
    missing = [unsupported(step) for step in steps if step.op not in operators]
    if missing:
        raise BlockedError(missing)


def unsupported(step: Step, error: UnsupportedError | None = None) -> Blocker:
    """A step that is not supported, or not in the form that ``error`` says."""
    where, instead = f"node {step.name}", instead_of(step.op)
    if error is None:
        return Blocker(where, step.op, f"operator {step.op} is not supported", instead)
    reason = compose(error.what.removeprefix(f"{where}: "), error.got, error.allowed, None)
    return Blocker(where, step.op, reason, error.next_step or instead)
