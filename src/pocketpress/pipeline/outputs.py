"""Outputs of many samples, in memory and in the cache."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pocketpress.core.program.ir import Array
from pocketpress.pipeline.cache import Cache

Outputs = list[dict[str, Array]]
LENGTHS = "#steps"


def pack(outputs: Outputs) -> bytes:
    """One array per output name: stacked, or of sequences of several lengths one after the other."""
    stream = io.BytesIO()
    alike = all(o[name].shape == outputs[0][name].shape for o in outputs for name in o)
    join = np.stack if alike else np.concatenate
    arrays = {name: join([o[name] for o in outputs]) for name in outputs[0]}
    if not alike:
        arrays[LENGTHS] = np.asarray([len(next(iter(o.values()))) for o in outputs])
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def unpack(path: Path) -> Outputs:
    """Read `pack`'s bytes back."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if LENGTHS in arrays:
        ends = np.cumsum(arrays.pop(LENGTHS))[:-1]
        parts = {name: np.split(value, ends) for name, value in arrays.items()}
        return [{name: part[i] for name, part in parts.items()} for i in range(len(ends) + 1)]
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
