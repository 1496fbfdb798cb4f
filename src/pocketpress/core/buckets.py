"""Several lengths of one network: an artifact each, and a session that takes the shortest that fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType

import numpy as np

from pocketpress.core.errors import ArtifactError
from pocketpress.core.session import Session
from pocketpress.core.signature import TensorSpec
from pocketpress.core.target import Array

MASK = "attention_mask"


class BucketSession:
    """Call with inputs of any length up to the longest; get outputs of that length.

    Inputs are padded with zeros to the shortest artifact that holds them, their mask with zeros too, so the
    network does not look at what was added; outputs lose it again.  Which axes are the length is what differs
    between the artifacts.

    Args:
        sessions: of artifacts of one network, of at least two lengths, without state.
        mask: name of the input that is 1 where an input counts and 0 elsewhere; made if it is not given.

    Raises:
        ArtifactError: they are not of one network, of one length, or take no such mask.
    """

    def __init__(self, sessions: Iterable[Session], mask: str = MASK) -> None:
        held = list(sessions)
        if len(held) < 2:
            raise ArtifactError(
                "buckets need artifacts of several lengths", got=len(held), allowed="2 or more"
            )
        self.mask = mask
        self.axes = _axes([s.signature.inputs for s in held])
        self.cropped = _axes([s.signature.outputs for s in held])
        if mask not in self.axes or not self.axes[mask]:
            raise ArtifactError(
                "no input of the artifacts is the mask",
                got=mask,
                allowed=[n for n, axes in self.axes.items() if axes],
            )
        self.sessions = dict(sorted((self._length(s), s) for s in held))
        if len(self.sessions) != len(held):
            raise ArtifactError(
                "two artifacts have the same length", got=sorted(self._length(s) for s in held)
            )

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths of the artifacts, ascending."""
        return tuple(self.sessions)

    def __call__(self, **named: Array) -> dict[str, Array]:
        """Run one inference.

        Raises:
            ArtifactError: inputs of several lengths, longer than the longest artifact, or as `Session` says.
        """
        length = self._given_length(named)
        bucket = next((size for size in self.sessions if size >= length), None)
        if bucket is None:
            raise ArtifactError("the input is too long", got=length, allowed=f"at most {max(self.sessions)}")
        session = self.sessions[bucket]
        padded = {
            name: _padded(np.asarray(value), self.axes.get(name, ()), bucket) for name, value in named.items()
        }
        if self.mask not in padded:
            spec = next(s for s in session.signature.inputs if s.name == self.mask)
            padded[self.mask] = _ones(spec, self.axes[self.mask], length)
        results = session(**padded)
        return {name: _cropped(value, self.cropped[name], length) for name, value in results.items()}

    def close(self) -> None:
        """Release the runtimes."""
        for session in self.sessions.values():
            session.close()

    def __enter__(self) -> BucketSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _length(self, session: Session) -> int:
        spec = next(s for s in session.signature.inputs if s.name == self.mask)
        return spec.shape[self.axes[self.mask][0]]

    def _given_length(self, named: Mapping[str, Array]) -> int:
        found = {
            np.shape(value)[axis]
            for name, value in named.items()
            for axis in self.axes.get(name, ())
            if np.ndim(value) > axis
        }
        if len(found) != 1:
            raise ArtifactError("the inputs are not of one length", got=sorted(found) or "none that has one")
        return int(found.pop())


def _axes(sides: list[tuple[TensorSpec, ...]]) -> dict[str, tuple[int, ...]]:
    """The axes of every tensor that differ between artifacts."""
    first = sides[0]
    found: dict[str, set[int]] = {spec.name: set() for spec in first}
    for other in sides[1:]:
        alike = [(s.name, len(s.shape), s.dtype) for s in first] == [
            (s.name, len(s.shape), s.dtype) for s in other
        ]
        if not alike:
            raise ArtifactError(
                "the artifacts are not of one network",
                got=f"{[s.name for s in first]} and {[s.name for s in other]}",
            )
        for a, b in zip(first, other, strict=True):
            found[a.name] |= {i for i, (m, n) in enumerate(zip(a.shape, b.shape, strict=True)) if m != n}
    return {name: tuple(sorted(axes)) for name, axes in found.items()}


def _padded(value: Array, axes: tuple[int, ...], size: int) -> Array:
    widths = [(0, size - value.shape[a] if a in axes else 0) for a in range(value.ndim)]
    return np.pad(value, widths) if axes and len(value.shape) > max(axes) else value


def _cropped(value: Array, axes: tuple[int, ...], size: int) -> Array:
    return value[tuple(slice(size) if a in axes else slice(None) for a in range(value.ndim))]


def _ones(spec: TensorSpec, axes: tuple[int, ...], length: int) -> Array:
    made = np.zeros(spec.shape, "float32" if spec.scale is not None else spec.dtype)
    made[tuple(slice(length) if a in axes else slice(None) for a in range(made.ndim))] = 1
    return made
