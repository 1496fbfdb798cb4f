"""A Keras file as a live torch network with example inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pocketpress.core.errors import SourceError, UnsupportedError
from pocketpress.sources.keras.backend import import_keras
from pocketpress.sources.keras.build import build
from pocketpress.sources.keras.look_up import take_indices
from pocketpress.sources.keras.network import KerasNetwork
from pocketpress.sources.keras.read import read_keras

DTYPES = {
    "float32": torch.float32,
    "int64": torch.int64,
    "int32": torch.int32,
    "bool": torch.bool,
}
Shapes = Sequence[tuple[int, ...]]


def load_keras(path: Path, shapes: Shapes | None = None) -> tuple[KerasNetwork, tuple[torch.Tensor, ...]]:
    """Read a file.

    Args:
        path: of the file.
        shapes: of the inputs, in the model's order, instead of the file's own; batch included.

    Raises:
        SourceError: the file is malformed, or the shape of an input is not known.
        UnsupportedError: a layer or a type that is not supported.
        MissingExtraError: Keras is not installed.
    """
    keras = import_keras()
    model = build(read_keras(path), str(path))
    take_indices(model)
    with keras.device("cpu"):
        examples = _examples(model, shapes, path)
        return KerasNetwork(model).eval(), examples


def _examples(model: Any, shapes: Shapes | None, path: Path) -> tuple[torch.Tensor, ...]:
    if shapes is not None and len(shapes) != len(model.inputs):
        raise SourceError(
            f"{path} has {len(model.inputs)} inputs",
            got=f"{len(shapes)} shapes",
            allowed=[str(tensor.name) for tensor in model.inputs],
            next_step="give --input once for each of them, in this order",
        )
    generator = torch.Generator().manual_seed(0)
    found = []
    for index, given in enumerate(model.inputs):
        shape = _shape(given, None if shapes is None else shapes[index])
        if given.dtype not in DTYPES:
            raise UnsupportedError(f"input {given.name} has type {given.dtype}", allowed=list(DTYPES))
        dtype = DTYPES[given.dtype]
        normal = torch.randn(shape, generator=generator)
        found.append(normal if dtype.is_floating_point else torch.zeros(shape, dtype=dtype))
    return tuple(found)


def _shape(given: Any, wanted: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape asked for, else the file's, with a batch of one where the first size is open."""
    own = tuple(given.shape)
    if wanted is not None:
        if len(own) != len(wanted) or any(o not in (None, w) for o, w in zip(own, wanted, strict=True)):
            raise SourceError(f"input {given.name} has another shape", got=wanted, allowed=_written(own))
        return wanted
    sizes = [1 if i == 0 and size is None else size for i, size in enumerate(own)]
    if all(size is not None for size in sizes):
        return tuple(int(size) for size in sizes if size is not None)
    raise SourceError(
        f"the shape of input {given.name} is open",
        got=_written(own),
        next_step="give --input with numbers, as 1,224,224,3",
    )


def _written(shape: tuple[int | None, ...]) -> str:
    return ",".join("?" if size is None else str(size) for size in shape)
