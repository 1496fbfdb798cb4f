"""A read network as plain data: steps, known arrays, inputs and outputs."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.given import GivenScales
from pocketpress.sources.steps.call import Known

MOST_NAMED = 8


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
    """

    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    known: dict[str, Known]
    steps: tuple[Step, ...]
    notes: tuple[tuple[str, str], ...] = ()
    given: GivenScales | None = None


def check_supported(steps: Sequence[Step], operators: Container[str]) -> None:
    """Refuse operators that are not in the table.

    Raises:
        UnsupportedError: all of them at once, by name.
    """
    missing: dict[str, list[str]] = {}
    for step in steps:
        if step.op not in operators:
            missing.setdefault(step.op, []).append(step.name)
    if missing:
        named = [f"{op} ({names[0]}{', ...' if len(names) > 1 else ''})" for op, names in missing.items()]
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        raise UnsupportedError(
            "the network has operators that are not supported",
            got=", ".join(named[:MOST_NAMED]) + more,
            next_step="replace them by supported ones",
        )
