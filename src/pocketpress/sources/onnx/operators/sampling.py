"""One axis of a Resize: where new elements lie among the old ones, and how much of each they take.

Places, weights and rounding are those of the ONNX operator specification (Resize-19).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MODES = ("nearest", "linear", "cubic")
CROP = "tf_crop_and_resize"
WHERE = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
    "tf_half_pixel_for_nn", CROP,
)  # fmt: skip
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil", "simple")
"""``simple`` is not in the specification: before operator set 11, floor, and ceil where an axis shrinks."""
Places = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Axis:
    """Sizes of one axis, the factor between them as the file gives it, and the part that is resized.

    ``region`` is (first, last) as shares of the axis.
    """

    before: int
    after: int
    scale: float
    region: tuple[float, float] = (0.0, 1.0)

    @property
    def is_exact(self) -> bool:
        """Whether the factor is the ratio of the sizes, which is what torch computes with."""
        return math.isclose(self.after / self.before, self.scale)

    @property
    def is_same(self) -> bool:
        """Whether nothing changes."""
        return self.after == self.before and self.is_exact and self.region == (0.0, 1.0)

    def places(self, where: str) -> Places:
        """Where every new element lies among the old ones."""
        x = np.arange(self.after, dtype=np.float64)
        if where == "asymmetric":
            return x / self.scale
        if where == "align_corners":
            return x * ((self.before - 1) / max(1, self.after - 1))
        if where == CROP:
            return self._cropped(x)
        if where == "tf_half_pixel_for_nn":
            return (x + 0.5) / self.scale
        if where == "pytorch_half_pixel" and self.after == 1:
            return x * 0
        shift = 0.0
        if where == "half_pixel_symmetric":  # the middles lie on each other, whatever is cut off the end
            shift = self.before / 2 * (1 - self.after / (self.scale * self.before))
        return shift + (x + 0.5) / self.scale - 0.5

    def _cropped(self, x: Places) -> Places:
        """From the first element of the region to its last; a single one lies in the middle."""
        first, last = (end * (self.before - 1) for end in self.region)
        if self.after == 1:
            return x * 0 + (first + last) / 2
        return first + x * ((last - first) / (self.after - 1))


@dataclass(frozen=True)
class Sampling:
    """How elements are made.

    Attributes:
        mode: of `MODES`.
        where: of `WHERE`.
        rounding: of `ROUNDINGS`, for nearest.
        coefficient: of the cubic kernel.
        exclude_outside: elements outside count nothing; else they are those at the border.
        antialias: kernels are as wide as what becomes one element.
    """

    mode: str
    where: str
    rounding: str = "round_prefer_floor"
    coefficient: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False

    def nearest(self, axis: Axis) -> Indices:
        """The old element that every new one is."""
        places = axis.places(self.where)
        rounding = self.rounding
        if rounding == "simple":
            rounding = "ceil" if axis.scale < 1 else "floor"
        rounded = {
            "round_prefer_floor": np.ceil(places - 0.5),
            "round_prefer_ceil": np.floor(places + 0.5),
            "floor": np.floor(places),
            "ceil": np.ceil(places),
        }[rounding]
        return np.clip(rounded, 0, axis.before - 1).astype(np.int64)

    def outside(self, axis: Axis) -> npt.NDArray[np.bool_]:
        """New elements that lie beyond the old ones, which only those of a region do."""
        places = axis.places(self.where)
        return (self.where == CROP) & ((places < 0) | (places > axis.before - 1))

    def matrix(self, axis: Axis) -> npt.NDArray[np.float32]:
        """(after, before): the share of every old element in every new one; nothing in those outside."""
        if self.mode == "nearest":
            found = _shares(axis, [(self.nearest(axis), np.ones(axis.after))])
        else:
            found = _shares(axis, self._taps(axis))
        found[self.outside(axis)] = 0
        return found.astype(np.float32)

    def _taps(self, axis: Axis) -> list[tuple[Indices, Places]]:
        """Neighbours of every new element, from left to right, and their shares."""
        places = axis.places(self.where)
        first = np.floor(places)
        narrow = min(axis.scale, 1.0) if self.antialias else 1.0
        reach = math.ceil((1 if self.mode == "linear" else 2) / narrow)
        taps = []
        for tap in range(1 - reach, reach + 1):
            index = (first + tap).astype(np.int64)
            share = self._kernel(np.abs(index - places) * narrow)
            if self.exclude_outside:
                share = np.where((index >= 0) & (index < axis.before), share, 0.0)
            taps.append((index, share))
        total = sum(share for _, share in taps)
        return [(index, share / total) for index, share in taps]

    def _kernel(self, distance: Places) -> Places:
        """The triangle, or Keys' kernel (IEEE Trans. ASSP 29, 1981), whose slope at 1 is ``coefficient``."""
        if self.mode == "linear":
            return np.clip(1 - distance, 0, None)
        a = self.coefficient
        near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
        far = ((distance - 5) * distance + 8) * distance * a - 4 * a
        return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def _shares(axis: Axis, taps: Sequence[tuple[Indices, Places]]) -> Places:
    """What lies outside is the element at the border."""
    matrix = np.zeros((axis.after, axis.before))
    for index, share in taps:
        np.add.at(matrix, (np.arange(axis.after), np.clip(index, 0, axis.before - 1)), share)
    return matrix
