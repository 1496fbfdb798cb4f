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
        targets: stacked targets, or None without labels; those of steps one after the other.
        digest: SHA-256 of the samples as they reach the network.
        sequences: a sample is a sequence, for a network with state.
        per_step: every step is judged by itself: there is a target for each, or none at all.
    """

    def __init__(self, data: Dataset, limit: int | None, seed: int) -> None:
        self._data, self._limit, self._seed = data, limit, seed
        self._kept: list[Feed] | None = []
        self._bytes, self._count = 0, 0
        self.sequences = bool(data.signature.states)
        self._steps: list[int] = []
        targets: list[Array] = []
        self.digest = digest(self._first_pass(targets))
        complete = bool(targets) and len(targets) == self._count
        each = complete and all(
            t.ndim > 0 and len(t) == n for t, n in zip(targets, self._steps, strict=False)
        )
        self.per_step = self.sequences and (each or not complete)
        join = np.concatenate if self.per_step else np.stack
        self.targets: Array | None = join(targets) if complete else None

    def _first_pass(self, targets: list[Array]) -> Iterator[Sample]:
        for sample in self._data.samples(self._limit, self._seed):
            self._count += 1
            if self.sequences:
                self._steps.append(len(next(iter(sample.inputs.values()))))
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

    @property
    def rows(self) -> int:
        """Number of what the metric judges: samples, or their steps."""
        return sum(self._steps) if self.per_step else self._count

    def holding(self, steps: int) -> int:
        """How many of the first sequences have so many steps together, at least two where there are."""
        ends = np.cumsum(self._steps)
        return min(self._count, max(2, int(np.searchsorted(ends, steps, side="right"))))

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
