"""Whole numbers: token indices and masks that the caller gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pocketpress.sources.aten.bound import Bound

WHOLE_DTYPES = ("int32", "int64")


def embedding(b: Bound) -> str:
    """aten::embedding: rows of a constant float table."""
    table, index = b["weight"], b["indices"]
    if not isinstance(table, torch.Tensor):
        raise b.refuse("embedding in a table that is computed at run time", "make the table a parameter")
    if b.builder.type(index).dtype not in WHOLE_DTYPES:
        raise b.refuse(f"embedding of {b.builder.type(index).dtype} indices", "make them int64")
    return b.emit("embedding", [index, b.tensor(table, "table")], b.out_shape, dtype="float32")


HANDLERS: dict[str, Callable[[Bound], Any]] = {"aten::embedding": embedding}
