"""The list of the zoo, with what is measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pocketpress.core.errors import UserError
from pocketpress.core.precision import parse_precision
from pocketpress.core.target import TargetSpec
from pocketpress.core.targets import resolve_targets
from pocketpress.pipeline.cache import default_folder
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.zoo.facts import HERE, REFERENCE, Line, line
from pocketpress.pipeline.zoo.measure import PRECISIONS, measurable, measure, measured
from pocketpress.pipeline.zoo.store import Store, reference
from pocketpress.zoo.cards import CARDS, TASKS
from pocketpress.zoo.names import Choice, parse


@dataclass(frozen=True)
class Catalog:
    """Rows of the list.

    Attributes:
        lines: one per network.
        targets: columns.
        precisions: in every column.
        here: this machine in words, if something was measured on it.
        reference: the reference machine in words, if something comes from it.
    """

    lines: tuple[Line, ...]
    targets: tuple[str, ...]
    precisions: tuple[str, ...]
    here: str | None
    reference: str | None


def chosen(names: Sequence[str], task: str | None = None) -> list[Choice]:
    """Named networks, or every architecture as it was published.

    Raises:
        UserError: no such network or task.
    """
    if task is not None and task not in TASKS:
        raise UserError("unknown task", got=task, allowed=TASKS)
    found = [parse(name) for name in names or CARDS]
    return [choice for choice in found if task in (None, choice.card.task)]


def catalog(
    names: Sequence[str],
    task: str | None,
    targets: str,
    threads: int,
    precisions: Sequence[str] = PRECISIONS,
) -> Catalog:
    """What is known without measuring anything."""
    columns = tuple(spec.name for spec in resolve_targets(targets))
    store, shipped = Store(default_folder(), threads), reference()
    if shipped is not None and shipped.threads != threads:
        shipped = None
    rows = tuple(line(c, store.found, shipped, columns, precisions) for c in chosen(names, task))
    places = {row.where for row in rows}
    return Catalog(
        rows,
        columns,
        tuple(precisions),
        store.found.machine if HERE in places else None,
        shipped.machine if shipped is not None and REFERENCE in places else None,
    )


def measure_all(
    names: Sequence[str],
    targets: str,
    precisions: str,
    threads: int,
    *,
    again: bool = False,
    events: Events | None = None,
) -> Catalog:
    """Measure networks one after the other; each is kept as soon as it is done.

    Raises:
        UserError: no such network, target or precision.
    """
    events = events or Events()
    wanted = tuple(parse_precision(name.strip()).name for name in precisions.split(",") if name.strip())
    if not wanted:
        raise UserError("no precision given", got=precisions, next_step="give --precision fp32,w8a8-static")
    specs: dict[str, TargetSpec] = {}
    for name in wanted:
        specs |= {spec.name: spec for spec in measurable(targets, name)}
    store = Store(default_folder(), threads)
    networks = chosen(names)
    with events.stage("networks", len(networks)) as advance:
        for choice in networks:
            if again:
                store.add(measure(choice, tuple(specs.values()), wanted, threads, events))
            else:
                measured(choice, tuple(specs.values()), wanted, store, events)
            advance()
    return catalog(names, None, ",".join(specs), threads, wanted)
