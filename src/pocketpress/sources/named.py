"""Names of a file's own, carried through the export of the network that was made of it."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

ANNOTATION = "pocketpress_node"
"""Key under which exported operators know their node (`torch.fx.traceback.annotate`)."""


def with_parameters(function: Callable[..., Any], names: Sequence[str]) -> Callable[..., Any]:
    """The function with named parameters: exported programs call their inputs so."""

    def forward(*inputs: Tensor, **named: Tensor) -> Any:
        return function(*inputs, *named.values())

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    forward.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in plain_names(names)])  # type: ignore[attr-defined]
    return forward


def plain_names(names: Sequence[str]) -> list[str]:
    """Names of the file as parameters may be called, each once."""
    plain = [re.sub(r"\W", "_", name, flags=re.ASCII) or "input" for name in names]
    plain = [f"input_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name for name in plain]
    return [name if name not in plain[:i] else f"{name}_{i}" for i, name in enumerate(plain)]
