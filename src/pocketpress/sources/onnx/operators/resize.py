"""Resizing of images: torch's where it computes the same, else two products with constant matrices.

Places, weights and rounding are those of the ONNX operator specification (Resize-19).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.sources.steps.call import Call, Operator

MODES = ("nearest", "linear", "cubic")
WHERE = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil", "simple")
"""``simple`` is not in the specification: before operator set 11, floor, and ceil where an axis shrinks."""
Places = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Axis:
    """Sizes of one axis and the factor between them, as the file gives it."""

    before: int
    after: int
    scale: float

    @property
    def is_exact(self) -> bool:
        """Whether the factor is the ratio of the sizes, which is what torch computes with."""
        return math.isclose(self.after / self.before, self.scale)

    def places(self, where: str) -> Places:
        """Where every new element lies among the old ones."""
        x = np.arange(self.after, dtype=np.float64)
        if where == "asymmetric":
            return x / self.scale
        if where == "align_corners":
            return x * ((self.before - 1) / max(1, self.after - 1))
        if where == "tf_half_pixel_for_nn":
            return (x + 0.5) / self.scale
        if where == "pytorch_half_pixel" and self.after == 1:
            return x * 0
        return (x + 0.5) / self.scale - 0.5


def _resize(call: Call) -> Tensor:
    axes = _axes(call)
    spatial = axes[2:]
    if len(axes) not in (3, 4) or any(axis.before != axis.after for axis in axes[:2]):
        raise call.refuse("sizes", [axis.after for axis in axes], "spatial axes of (N, C, W) or (N, C, H, W)")
    call.bounded([axis.after for axis in axes])
    mode, where = call.attribute("mode", "nearest"), _where(call)
    if mode not in MODES:
        raise call.refuse("mode", mode, MODES)
    if where == "align_corners" and not all(axis.is_exact for axis in spatial):
        scales = [axis.scale for axis in spatial]  # the standard's tests and ONNX Runtime disagree on these
        raise call.refuse("scales", scales, "whole sizes with align_corners")
    if call.attribute("antialias", 0) and any(axis.after < axis.before for axis in spatial):
        raise call.refuse("antialias", 1, 0)
    if len(spatial) == 1:
        image, spatial = call.x.unsqueeze(2), [_Axis(1, 1, 1.0), *spatial]
        return _resized(call, image, spatial, mode, where).squeeze(2)
    return _resized(call, call.x, spatial, mode, where)


def _where(call: Call) -> str:
    where: str = call.attribute("coordinate_transformation_mode", "half_pixel")
    if where not in WHERE:
        raise call.refuse("coordinate_transformation_mode", where, WHERE)
    return where


def _axes(call: Call) -> list[_Axis]:
    """Every axis of the input, from sizes or factors of all or of some axes."""
    shape = list(call.x.shape)
    chosen = call.attribute("axes")
    chosen = list(range(len(shape))) if chosen is None else [int(axis) % len(shape) for axis in chosen]
    sizes, scales = call.ints(3, "sizes"), call.array(2, "scales")
    if call.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise call.refuse("keep_aspect_ratio_policy", call.attribute("keep_aspect_ratio_policy"), "stretch")
    given = sizes if sizes is not None else [] if scales is None else scales.reshape(-1)
    if len(given) != len(chosen):
        raise call.refuse("sizes or scales", list(given), f"{len(chosen)} numbers")
    found = [_Axis(size, size, 1.0) for size in shape]
    for axis, value in zip(chosen, given, strict=True):
        before = shape[axis]
        if not math.isfinite(value) or value <= 0:
            raise call.refuse("sizes or scales", list(given), "positive numbers")
        after = int(value) if sizes is not None else math.floor(before * float(value))
        found[axis] = _Axis(before, after, after / before if sizes is not None else float(value))
    return found


def _resized(call: Call, x: Tensor, axes: Sequence[_Axis], mode: str, where: str) -> Tensor:
    after = [axis.after for axis in axes]
    if after == [axis.before for axis in axes] and all(axis.is_exact for axis in axes):
        return x
    if all(axis.is_exact for axis in axes):
        if mode == "nearest" and _is_torch_nearest(call, axes, where):
            return F.interpolate(x, size=after, mode="nearest")
        if mode == "linear" and _is_torch_linear(axes, where):
            return F.interpolate(x, size=after, mode="bilinear", align_corners=where == "align_corners")
    rows, columns = (_matrix(call, axis, mode, where) for axis in axes)
    if axes[1].before != axes[1].after or not axes[1].is_exact:
        x = F.linear(x, columns)
    if axes[0].before != axes[0].after or not axes[0].is_exact:
        x = F.linear(x.transpose(2, 3), rows).transpose(2, 3)
    return x


def _is_torch_linear(axes: Sequence[_Axis], where: str) -> bool:
    if where == "pytorch_half_pixel":
        return all(axis.after > 1 or axis.before == 1 for axis in axes)
    return where in ("half_pixel", "align_corners")


def _is_torch_nearest(call: Call, axes: Sequence[_Axis], where: str) -> bool:
    """Whether every place rounds to ``floor(i * before / after)``."""
    rounding = _rounding(call)
    return all(
        bool((_nearest(axis, where, rounding) == np.arange(axis.after) * axis.before // axis.after).all())
        for axis in axes
    )


def _rounding(call: Call) -> str:
    rounding: str = call.attribute("nearest_mode", "round_prefer_floor")
    if rounding not in ROUNDINGS:
        raise call.refuse("nearest_mode", rounding, ROUNDINGS)
    return rounding


def _nearest(axis: _Axis, where: str, rounding: str) -> npt.NDArray[np.int64]:
    """The old element that every new one is."""
    places = axis.places(where)
    if rounding == "simple":
        rounding = "ceil" if axis.scale < 1 else "floor"
    rounded = {
        "round_prefer_floor": np.ceil(places - 0.5),
        "round_prefer_ceil": np.floor(places + 0.5),
        "floor": np.floor(places),
        "ceil": np.ceil(places),
    }[rounding]
    return np.clip(rounded, 0, axis.before - 1).astype(np.int64)


def _matrix(call: Call, axis: _Axis, mode: str, where: str) -> Tensor:
    """(after, before): the share of every old element in every new one."""
    call.bounded([axis.after, axis.before])
    if mode == "nearest":
        return _shares(axis, [(_nearest(axis, where, _rounding(call)), np.ones(axis.after))])
    places = axis.places(where)
    first = np.floor(places)
    part = places - first
    if mode == "linear":
        return _shares(axis, [(first, 1 - part), (first + 1, part)])
    a = float(call.attribute("cubic_coeff_a", -0.75))
    taps = [(first + tap, _cubic(np.abs(part - tap), a)) for tap in (-1, 0, 1, 2)]
    if not call.attribute("exclude_outside", 0):
        return _shares(axis, taps)
    inside = [(i, np.where((i >= 0) & (i < axis.before), share, 0.0)) for i, share in taps]
    total = sum(share for _, share in inside)
    return _shares(axis, [(i, share / total) for i, share in inside])


def _cubic(distance: Places, a: float) -> Places:
    """Keys' kernel (IEEE Trans. ASSP 29, 1981), whose slope at 1 is ``a``."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance <= 1, near, far)


def _shares(axis: _Axis, taps: Sequence[tuple[npt.NDArray[np.generic], Places]]) -> Tensor:
    """What lies outside is the element at the border."""
    matrix = np.zeros((axis.after, axis.before))
    for index, share in taps:
        old = np.clip(index.astype(np.int64), 0, axis.before - 1)
        np.add.at(matrix, (np.arange(axis.after), old), share)
    return torch.from_numpy(matrix.astype(np.float32))


TABLE: dict[str, Operator] = {"Resize": _resize}
