"""Example inputs of a read network: its own shapes, or those asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from pocketpress.core.errors import SourceError, UnsupportedError
from pocketpress.sources.steps.call import MAX_ELEMENTS
from pocketpress.sources.steps.graph import Graph, Input

DTYPES = {"float": torch.float32, "int64": torch.int64, "int32": torch.int32, "bool": torch.bool}


def examples_of(
    graph: Graph, shapes: Sequence[tuple[int, ...]] | None, path: Path
) -> tuple[torch.Tensor, ...]:
    """Example inputs: seeded noise, or zeros of whole numbers.

    Args:
        graph: whose inputs are wanted.
        shapes: of the inputs, in order, instead of the file's own.
        path: of the file, for messages.

    Raises:
        SourceError: there are no inputs, or the shape of one is not known or another.
        UnsupportedError: a type that is not supported.
    """
    if not graph.inputs:
        raise SourceError(f"{path} has no inputs")
    if shapes is not None and len(shapes) != len(graph.inputs):
        raise SourceError(
            f"{path} has {len(graph.inputs)} inputs",
            got=f"{len(shapes)} shapes",
            allowed=[i.name for i in graph.inputs],
            next_step="give --input once for each of them, in this order",
        )
    generator = torch.Generator().manual_seed(0)
    found = []
    for index, given in enumerate(graph.inputs):
        if given.dtype not in DTYPES:
            raise UnsupportedError(f"input {given.name} has type {given.dtype}", allowed=list(DTYPES))
        shape = _shape(given, None if shapes is None else shapes[index])
        if min(shape, default=1) < 1:
            raise SourceError(f"input {given.name} has no elements", got=shape, allowed="sizes of 1 or more")
        if math.prod(shape) > MAX_ELEMENTS:
            raise SourceError(
                f"input {given.name} is too large", got=shape, allowed=f"{MAX_ELEMENTS} elements"
            )
        dtype = DTYPES[given.dtype]
        normal = torch.randn(shape, generator=generator)
        found.append(normal if dtype.is_floating_point else torch.zeros(shape, dtype=dtype))
    return tuple(found)


def _shape(given: Input, wanted: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape asked for, else the file's, with a batch of one where the first size is open."""
    own = given.shape
    if wanted is not None:
        fits = own is None or (
            len(own) == len(wanted) and all(o in (None, w) for o, w in zip(own, wanted, strict=True))
        )
        if not fits:
            raise SourceError(f"input {given.name} has another shape", got=wanted, allowed=own)
        return wanted
    if own is not None:
        sizes = [1 if i == 0 and size is None else size for i, size in enumerate(own)]
        if all(size is not None for size in sizes):
            return tuple(size for size in sizes if size is not None)
    open_sizes = "?" if own is None else ",".join("?" if s is None else str(s) for s in own)
    raise SourceError(
        f"the shape of input {given.name} is open",
        got=open_sizes,
        next_step="give --input with numbers, as 1,3,224,224",
    )
