"""Where a training stands: one safetensors file, its numbers as JSON in the header; nothing in it is code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pocketpress.core.errors import ArtifactError
from pocketpress.core.files import write_atomically

FACTS = "pocketpress"
MAX_BYTES = 8 << 30


@dataclass(frozen=True)
class Stand:
    """Tensors by name, and plain values."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


def write(path: Path, stand: Stand) -> None:
    """Write a file of tensors under another name, then rename it.

    Raises:
        DeviceError: the disk refuses.
    """
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in stand.tensors.items()}
    content = save(tensors, metadata={FACTS: json.dumps(dict(stand.facts))})
    write_atomically(path, content, parents=True, next_step="check the free space")


def read(path: Path, fingerprint: str) -> Stand:
    """Read what `write` wrote, with ``fingerprint`` among its facts.

    Raises:
        ArtifactError: it is damaged, or of another training.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("too large")
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})[FACTS])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if not isinstance(facts, dict):
            raise ValueError("no facts")
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise ArtifactError(
            "cannot read the checkpoint", got=path, next_step="delete it, or leave --resume out"
        ) from error
    if facts.get("fingerprint") != fingerprint:
        raise ArtifactError(
            "the checkpoint is of another command, network or data",
            got=path,
            next_step="repeat the command it was written by, or leave --resume out",
        )
    return Stand(tensors, facts)
