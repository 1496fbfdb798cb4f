"""A set of samples as the network takes them, read lazily from one source.

A source (`folder`, `npz`, `parquet`, `callable`) is a `Reader` of raw samples; `Dataset` chooses which ones
are read, preprocesses images, and checks that every array fits the signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from pocketpress.core.errors import DataError
from pocketpress.core.program.ir import Array
from pocketpress.core.signature import Preprocessing, Signature
from pocketpress.data.fit import fit_array, fit_target
from pocketpress.data.preprocessing import apply, as_image, place, to_pixels

MAX_COUNTED = 1_000_000
"""Samples of an iterator that `len` counts before it gives up."""


@dataclass(frozen=True)
class Sample:
    """One sample: an array with batch axis per input name, and the target without one.

    For a network with state a sample is a sequence: every array has one more axis in front, the steps, and
    there are none for the states.
    """

    inputs: dict[str, Array]
    target: Array | None = None


@dataclass(frozen=True)
class RawSample:
    """One sample as it is stored.

    Attributes:
        where: file, row or index, for messages.
        inputs: one array, or one per input name; no preprocessing applied.
        target: label or target array, or None.
        is_image: ``inputs`` is one uint8 image (H, W, C).
    """

    where: str
    inputs: Array | Mapping[str, Array]
    target: Array | None = None
    is_image: bool = False


class Reader(Protocol):
    """A source of raw samples that can be read several times."""

    @property
    def labelled(self) -> bool:
        """Whether samples have targets."""

    @property
    def size(self) -> int | None:
        """Number of samples, or None when only reading would tell."""

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Names left alone, with reasons."""

    def read(self, indices: Sequence[int] | None) -> Iterator[RawSample]:
        """Samples at ascending ``indices``, or all."""


@runtime_checkable
class Classes(Protocol):
    """What a reader has as well where the source names its classes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names by label."""


@dataclass(frozen=True)
class Dataset:
    """Samples that fit a signature.

    Attributes:
        reference: as the user named it.
        kind: "folder", "npz", "parquet" or "callable".
        signature: of the network the samples are for.
        preprocessing: applied to images; None when the source holds finished inputs.
        reader: where raw samples come from.
        pixels: samples are the uint8 pixels before normalisation.
    """

    reference: str
    kind: str
    signature: Signature
    preprocessing: Preprocessing | None
    reader: Reader
    pixels: bool = False

    @property
    def labelled(self) -> bool:
        """Whether samples have targets."""
        return self.reader.labelled

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by label; empty where the source names none."""
        return self.reader.classes if isinstance(self.reader, Classes) else ()

    @property
    def size(self) -> int | None:
        """Number of samples, or None for an iterator of unknown length."""
        return self.reader.size

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Files left alone, with reasons."""
        return self.reader.skipped

    def __len__(self) -> int:
        """Number of samples; an iterator of unknown length is read once, up to `MAX_COUNTED` samples."""
        if self.size is not None:
            return self.size
        for count, _ in enumerate(self.reader.read(None), 1):
            if count > MAX_COUNTED:
                raise DataError(f"{self.reference} does not end", got=f"more than {MAX_COUNTED} samples")
        return count

    def samples(self, limit: int | None = None, seed: int = 0) -> Iterator[Sample]:
        """Read samples one by one, in stored order.

        Args:
            limit: how many at most; a smaller number than there are chooses at random without repeats
                (the first ones, for an iterator of unknown length).
            seed: of that choice.

        Raises:
            DataError: a sample is unreadable, does not fit the signature or holds NaN; or there is none.
        """
        if limit is not None and limit < 1:
            raise DataError("sample limit must be positive", got=limit, allowed="1 or more")
        empty = True
        for number, raw in enumerate(self.reader.read(self._chosen(limit, seed))):
            if limit is not None and number >= limit:
                break
            empty = False
            yield self._sample(raw)
            if limit is not None and number + 1 == limit:
                break
        if empty:
            raise DataError(f"{self.reference} has no samples", allowed="at least 1")

    def raw_pixels(self) -> Dataset:
        """The same samples as uint8 pixels 0..255, for an artifact that takes raw pixels."""
        return replace(self, pixels=True)

    def _chosen(self, limit: int | None, seed: int) -> list[int] | None:
        if limit is None or self.size is None or limit >= self.size:
            return None
        chosen = np.random.default_rng(seed).choice(self.size, size=limit, replace=False)
        return sorted(int(i) for i in chosen)

    def _sample(self, raw: RawSample) -> Sample:
        given = raw.inputs
        specs = self.signature.given
        if not isinstance(given, Mapping):
            if len(specs) != 1:
                raise DataError(
                    f"{raw.where}: one array for a network of {len(specs)} inputs",
                    allowed=f"one array per input: {', '.join(s.name for s in specs)}",
                )
            given = {specs[0].name: given}
        read = self._sequence if self.signature.states else self._input
        inputs = {spec.name: read(index, given.get(spec.name), raw) for index, spec in enumerate(specs)}
        lengths = {name: len(value) for name, value in inputs.items()} if self.signature.states else {}
        if len(set(lengths.values())) > 1:
            raise DataError(f"{raw.where}: inputs of different numbers of steps", got=lengths)
        return Sample(inputs, None if raw.target is None else fit_target(raw.target, raw.where))

    def _sequence(self, index: int, value: Array | None, raw: RawSample) -> Array:
        """All steps of one input, stacked along a new first axis."""
        steps = None if value is None else np.asarray(value)
        if steps is not None and (steps.ndim == 0 or len(steps) == 0):
            raise DataError(f"{raw.where}: a sequence without steps", allowed="(steps, ...)")
        if steps is None:
            return self._input(index, None, raw)
        where = [replace(raw, where=f"{raw.where} step {number}") for number in range(len(steps))]
        return np.stack([self._input(index, *pair) for pair in zip(steps, where, strict=True)])

    def _input(self, index: int, value: Array | None, raw: RawSample) -> Array:
        spec, prep = self.signature.given[index], self.preprocessing
        if value is None:
            raise DataError(f"{raw.where}: input {spec.name} is missing", allowed=spec.name)
        image = value if raw.is_image else as_image(value, spec, prep)
        if image is not None and prep is not None:
            if self.pixels:
                return fit_array(place(image, prep), spec, raw.where, keep_dtype=True)
            return fit_array(apply(image, prep, where=raw.where), spec, raw.where)
        if self.pixels:
            return fit_array(to_pixels(value, prep, raw.where), spec, raw.where, keep_dtype=True)
        return fit_array(value, spec, raw.where, step=bool(self.signature.states))


def digest(samples: Iterable[Sample]) -> str:
    """SHA-256 over names, shapes, dtypes and bytes of samples."""
    state = hashlib.sha256()
    for sample in samples:
        named = [*sorted(sample.inputs.items()), ("", sample.target)]
        for name, array in named:
            if array is not None:
                state.update(f"{name}|{array.shape}|{array.dtype.str}|".encode())
                state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()
