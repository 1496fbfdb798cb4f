"""What a network returns: PyTorch learns where its tensors are, and fields and keys name the outputs."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree

from pocketpress.core.errors import SourceError


def make_known(value: Any) -> None:
    """Let an export look into the dataclasses and mappings that a network returned.

    Raises:
        SourceError: another object, in which nothing says where the tensors are.
    """
    kind = type(value)
    if kind not in pytree.SUPPORTED_NODES and not pytree.is_namedtuple(value):
        if dataclasses.is_dataclass(value):
            _register(kind, _fields_of)
        elif isinstance(value, Mapping):
            _register(kind, lambda mapping: dict(mapping.items()))
        elif not isinstance(value, _LEAVES) and value is not None:
            raise SourceError(
                f"the network returns a {kind.__name__}",
                allowed="tensors, and tuples, lists, mappings and dataclasses of them",
                next_step="return its tensors as a tuple or a dict",
            )
    if isinstance(value, _LEAVES) or value is None:
        return
    for part in _parts(value):
        make_known(part)


_LEAVES = (torch.Tensor, int, float, str, complex, torch.dtype, torch.device)


def _parts(value: Any) -> list[Any]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return list(_fields_of(value).values())
    return list(value.values()) if isinstance(value, Mapping) else list(value)


def _fields_of(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _register(kind: type, content: Any) -> None:
    def flatten(value: Any) -> tuple[list[Any], list[Any]]:
        found = content(value)
        return list(found.values()), list(found)

    pytree.register_pytree_node(
        kind,
        flatten,
        lambda values, keys: dict(zip(keys, values, strict=True)),  # nobody calls the network for its object
        serialized_type_name=f"{kind.__module__}.{kind.__qualname__}",
    )


def names_of(exported: torch.export.ExportedProgram) -> list[str] | None:
    """Names that the network itself gives to the tensors it returns; None where it gives none."""
    spec = exported.call_spec.out_spec
    if spec is None or spec.type in (None, tuple, list) or any(not c.is_leaf() for c in spec.children()):
        return None
    keys = getattr(spec.context, "_fields", spec.context)
    if spec.type is collections.defaultdict:
        keys = spec.context[1]
    if not isinstance(keys, (list, tuple)) or not all(isinstance(key, str) for key in keys):
        return None
    outputs = [o.arg for o in exported.graph_signature.output_specs if o.kind.name == "USER_OUTPUT"]
    if len(outputs) != len(keys):
        return None
    tensors = [hasattr(output, "name") and not hasattr(output, "value") for output in outputs]
    return [str(key) for key, is_tensor in zip(keys, tensors, strict=True) if is_tensor]
