"""Outputs of many samples, in memory and in the cache."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pocketpress.core.program.ir import Array
from pocketpress.pipeline.cache import Cache

Outputs = list[dict[str, Array]]


def pack(outputs: Outputs) -> bytes:
    """One stacked array per output name."""
    stream = io.BytesIO()
    np.savez(stream, **{name: np.stack([o[name] for o in outputs]) for name in outputs[0]})  # type: ignore[arg-type]
    return stream.getvalue()


def unpack(path: Path) -> Outputs:
    """Read `pack`'s bytes back."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    count = len(next(iter(arrays.values())))
    return [{name: value[i] for name, value in arrays.items()} for i in range(count)]


def cached(cache: Cache, key: str, compute: Callable[[], Outputs]) -> Outputs:
    """Outputs from the cache, or computed and stored."""
    hit = cache.get(key)
    if hit is not None:
        return unpack(hit / "outputs.npz")
    outputs = compute()
    cache.put(key, {"outputs.npz": pack(outputs)})
    return outputs
