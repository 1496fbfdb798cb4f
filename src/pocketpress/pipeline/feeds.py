"""Evaluation inputs: kept in memory when small, read again from the data set when large."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from pocketpress.core.program.ir import Array
from pocketpress.data import Dataset, Sample, digest

MAX_KEPT_BYTES = 256 << 20
Feed = dict[str, Array]


class Feeds:
    """Real-valued inputs of every evaluation sample, in order, any number of times.

    Attributes:
        targets: stacked targets, or None without labels.
        digest: SHA-256 of the samples as they reach the network.
    """

    def __init__(self, data: Dataset, limit: int | None, seed: int) -> None:
        self._data, self._limit, self._seed = data, limit, seed
        self._kept: list[Feed] | None = []
        self._bytes, self._count = 0, 0
        targets: list[Array] = []
        self.digest = digest(self._first_pass(targets))
        self.targets = np.stack(targets) if targets and len(targets) == self._count else None

    def _first_pass(self, targets: list[Array]) -> Iterator[Sample]:
        for sample in self._data.samples(self._limit, self._seed):
            self._count += 1
            if sample.target is not None:
                targets.append(sample.target)
            self._keep(_real(sample))
            yield sample

    def _keep(self, feed: Feed) -> None:
        self._bytes += sum(value.nbytes for value in feed.values())
        if self._bytes > MAX_KEPT_BYTES:
            self._kept = None
        if self._kept is not None:
            self._kept.append(feed)

    def __len__(self) -> int:
        """Number of samples."""
        return self._count

    def __iter__(self) -> Iterator[Feed]:
        """Read from the start."""
        if self._kept is not None:
            return iter(self._kept)
        return (_real(sample) for sample in self._data.samples(self._limit, self._seed))

    def first(self, count: int) -> list[Feed]:
        """The first ``count`` inputs."""
        return list(islice(self, count))


def _real(sample: Sample) -> Feed:
    """Pixels become float32; everything else stays."""
    return {k: v.astype(np.float32) if v.dtype.kind == "u" else v for k, v in sample.inputs.items()}
