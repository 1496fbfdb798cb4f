"""Samples of the longest length as samples of a shorter one: those that fit, cut where their mask ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pocketpress.core.errors import DataError
from pocketpress.core.program.ir import Array
from pocketpress.core.signature import Signature
from pocketpress.data.dataset import Dataset, RawSample, Reader


@dataclass(frozen=True)
class Bucket:
    """One of several lengths.

    Attributes:
        length: of the network.
        longest: of the samples.
        axes: per input name, the axes that are the length.
        mask: name of the input that is 0 from where a sample ends.
    """

    length: int
    longest: int
    axes: Mapping[str, tuple[int, ...]]
    mask: str

    def widened(self, signature: Signature) -> Signature:
        """The signature that the samples have."""
        inputs = tuple(
            replace(
                spec,
                shape=tuple(
                    self.longest if a in self.axes.get(spec.name, ()) else d for a, d in enumerate(spec.shape)
                ),
            )
            for spec in signature.inputs
        )
        return replace(signature, inputs=inputs)


@dataclass(frozen=True)
class BucketReader:
    """Samples whose mask is 0 beyond the bucket's length, cut to it; a `Reader`."""

    inner: Reader
    bucket: Bucket
    signature: Signature
    size: None = None

    @property
    def labelled(self) -> bool:
        """Whether samples have targets."""
        return self.inner.labelled

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Names left alone, with reasons."""
        return self.inner.skipped

    def read(self, indices: Sequence[int] | None) -> Iterator[RawSample]:
        """Samples that fit, all of them or those at ``indices`` among them."""
        wanted = None if indices is None else set(indices)
        number = -1
        for raw in self.inner.read(None):
            cut = self._cut(raw)
            if cut is not None:
                number += 1
                if wanted is None or number in wanted:
                    yield cut
        if number < 0:
            raise DataError(
                f"no sample is as short as {self.bucket.length}",
                allowed=f"{self.bucket.mask} that is 0 from there on, for some samples",
                next_step="leave that length out, or give shorter samples too",
            )

    def _cut(self, raw: RawSample) -> RawSample | None:
        if not isinstance(raw.inputs, Mapping) or self.bucket.mask not in raw.inputs:
            raise DataError(f"{raw.where}: the mask is missing", allowed=self.bucket.mask)
        parts = {name: self._split(name, value) for name, value in raw.inputs.items()}
        if any(part.any() for part in parts[self.bucket.mask][1]):
            return None
        return replace(raw, inputs={name: kept for name, (kept, _) in parts.items()})

    def _split(self, name: str, value: Array) -> tuple[Array, list[Array]]:
        """What is kept of an input, and what is cut off."""
        array, gone = np.asarray(value), []
        rank = next((len(s.shape) for s in self.signature.inputs if s.name == name), array.ndim)
        for axis in self.bucket.axes.get(name, ()):
            place = axis - (rank - array.ndim)
            if 0 <= place < array.ndim:
                array, rest = np.split(array, [self.bucket.length], axis=place)
                gone.append(rest)
        return array, gone


def shortened(data: Dataset, signature: Signature, bucket: Bucket) -> Dataset:
    """A data set of the longest length for the network of one bucket."""
    return replace(data, signature=signature, reader=BucketReader(data.reader, bucket, signature))
