"""``zoo:NAME``: a network of the zoo, with weights that were trained for it or random ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from pocketpress.core.errors import SourceError
from pocketpress.sources.source import Source
from pocketpress.zoo.build import build, example, settle
from pocketpress.zoo.names import PREFIX, parse, trained

UNTRAINED = (
    "weights",
    "random, since no --weights are given: good for latency and size, its answers mean nothing",
)
"""What a source of random weights says of itself."""

Shapes = tuple[tuple[int, ...], ...]


def is_zoo(spec: str) -> bool:
    """Whether a specification names a network of the zoo."""
    return spec.startswith(PREFIX)


def open_zoo(
    spec: str, weights: Path | None, shapes: Shapes | None
) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    """The network in evaluation mode, its weights not yet loaded, and its example input.

    Args:
        spec: ``zoo:NAME``, with ``,width=…,size=…,classes=…``.
        weights: whose folder says which network they are of.
        shapes: of its one input; says the size.

    Raises:
        UserError: no such network, or one of other weights.
    """
    choice = trained(parse(spec), weights)
    if shapes is not None:
        if len(shapes) != 1:
            raise SourceError(f"{spec} has one input", got=f"{len(shapes)} shapes")
        choice = choice.with_shape(shapes[0])
    network = build(choice)
    return network if weights is not None else settle(network, choice), (example(choice),)


def untrained(source: Source) -> Source:
    """The source, saying that its weights are random."""
    return replace(source, skipped=(*source.skipped, UNTRAINED))
