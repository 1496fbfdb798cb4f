"""What is counted of a network of the zoo, and what is known of it on this machine or the reference one."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pocketpress.compress.prune.macs import count, parameters
from pocketpress.pipeline.zoo.store import Measurements, Timing
from pocketpress.zoo.build import build, example
from pocketpress.zoo.names import Choice

HERE, REFERENCE = "this machine", "reference machine"


@functools.cache
def counted(choice: Choice) -> tuple[int, int]:
    """Trained numbers, and multiply-accumulates of one inference; nothing is computed but shapes."""
    with torch.device("meta"):
        network = build(choice)
        macs = count(network, (example(choice),)).macs
    return parameters(network), macs


@dataclass(frozen=True)
class Line:
    """A row of the list.

    Attributes:
        choice: the network.
        parameters: trained numbers.
        macs: multiply-accumulates of one inference.
        timings: as measured, by target and precision.
        where: `HERE`, `REFERENCE`, or nowhere.
    """

    choice: Choice
    parameters: int
    macs: int
    timings: tuple[Timing, ...]
    where: str | None

    def find(self, target: str, precision: str) -> Timing | None:
        """One measurement."""
        return next((t for t in self.timings if (t.target, t.precision) == (target, precision)), None)


def line(
    choice: Choice,
    here: Measurements,
    reference: Measurements | None,
    targets: Sequence[str],
    precisions: Sequence[str],
) -> Line:
    """What is known of a network: all of it measured here, or all of it on the reference machine."""
    found: list[tuple[str, tuple[Timing, ...]]] = []
    for where, measured in ((HERE, here), (REFERENCE, reference)):
        if measured is None:
            continue
        rows = [measured.find(str(choice), t, p) for t in targets for p in precisions]
        kept = tuple(row for row in rows if row is not None)
        if kept:
            found.append((where, kept))
    if not found:
        return Line(choice, *counted(choice), (), None)
    where, timings = found[0]
    return Line(choice, *counted(choice), timings, where)
