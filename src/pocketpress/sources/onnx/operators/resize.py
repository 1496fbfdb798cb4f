"""Resizing: torch's where it computes the same, else a product with a constant matrix for every axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.sources.onnx.operators.sampling import CROP, MODES, ROUNDINGS, WHERE, Axis, Sampling
from pocketpress.sources.steps.call import Call, Operator

POLICIES = {"stretch": None, "not_larger": min, "not_smaller": max}


def _resize(call: Call) -> Tensor:
    axes, sampling = _axes(call), _sampling(call)
    call.bounded([axis.after for axis in axes])
    if sampling.where in ("align_corners", CROP) and not all(axis.is_exact for axis in axes):
        scales = [axis.scale for axis in axes]  # the standard's tests and ONNX Runtime disagree on these
        raise call.refuse("scales", scales, f"whole sizes with {sampling.where}")
    if all(axis.is_same for axis in axes):
        return call.x
    plain = len(axes) in (3, 4) and all(axis.is_same for axis in axes[:2])
    if plain and all(axis.is_exact for axis in axes):
        found = _by_torch(call.x, axes[2:], sampling)
        if found is not None:
            return found
    return _by_products(call, axes, sampling)


def _sampling(call: Call) -> Sampling:
    """What the attributes say."""
    mode, antialias = _one_of(call, "mode", "nearest", MODES), bool(call.attribute("antialias", 0))
    excludes = bool(call.attribute("exclude_outside", 0))  # the narrow triangle has nothing to leave out
    return Sampling(
        mode,
        _one_of(call, "coordinate_transformation_mode", "half_pixel", WHERE),
        _one_of(call, "nearest_mode", "round_prefer_floor", ROUNDINGS),
        float(call.attribute("cubic_coeff_a", -0.75)),
        excludes and (mode == "cubic" or antialias),
        antialias,
    )


def _one_of(call: Call, name: str, default: str, allowed: Sequence[str]) -> str:
    value = call.attribute(name, default)
    if value not in allowed:
        raise call.refuse(name, value, list(allowed))
    return str(value)


def _axes(call: Call) -> list[Axis]:
    """Every axis of the input, from sizes or factors of all or of some axes."""
    shape = list(call.x.shape)
    chosen = call.attribute("axes")
    chosen = list(range(len(shape))) if chosen is None else [int(axis) % len(shape) for axis in chosen]
    sizes, scales = call.ints(3, "sizes"), call.array(2, "scales")
    given = sizes if sizes is not None else [] if scales is None else scales.reshape(-1).tolist()
    if len(given) != len(chosen):
        raise call.refuse("sizes or scales", list(given), f"{len(chosen)} numbers")
    if any(not math.isfinite(value) or value <= 0 for value in given):
        raise call.refuse("sizes or scales", list(given), "positive numbers")
    regions = _regions(call, len(chosen))
    found = [Axis(size, size, 1.0) for size in shape]
    for axis, value, region in zip(chosen, given, regions, strict=True):
        before = shape[axis]
        share = region[1] - region[0]
        after = int(value) if sizes is not None else math.floor(before * share * float(value))
        scale = after / before if sizes is not None or region != (0.0, 1.0) else float(value)
        found[axis] = Axis(before, after, scale, region)
    return found if sizes is None else _kept_in_shape(call, found, chosen)


def _regions(call: Call, count: int) -> list[tuple[float, float]]:
    """The part of every chosen axis that is resized."""
    if call.attribute("coordinate_transformation_mode") != CROP:
        return [(0.0, 1.0)] * count
    region = call.array(1, "roi")
    if region is None or region.size != 2 * count:
        raise call.refuse("roi", None if region is None else region.size, f"{2 * count} numbers")
    flat = [float(end) for end in region.reshape(-1)]
    return list(zip(flat[:count], flat[count:], strict=True))


def _kept_in_shape(call: Call, axes: list[Axis], chosen: Sequence[int]) -> list[Axis]:
    """Sizes as limits of one factor for all chosen axes, where the file asks for it."""
    policy = _one_of(call, "keep_aspect_ratio_policy", "stretch", list(POLICIES))
    pick = POLICIES[policy]
    if pick is None:
        return axes
    scale = pick(axes[axis].scale for axis in chosen)
    kept = {axis: math.floor(axes[axis].before * scale + 0.5) for axis in chosen}
    return [
        replace(axis, after=kept[position], scale=scale) if position in kept else axis
        for position, axis in enumerate(axes)
    ]


def _by_torch(x: Tensor, axes: Sequence[Axis], sampling: Sampling) -> Tensor | None:
    """F.interpolate, which programs have as an operator; None where it computes something else."""
    line = len(axes) == 1
    image, spatial = (x.unsqueeze(2), [Axis(1, 1, 1.0), *axes]) if line else (x, axes)
    after = [axis.after for axis in spatial]
    narrowed = sampling.antialias and any(axis.after < axis.before for axis in spatial)
    if sampling.mode == "nearest" and _is_torch_nearest(spatial, sampling):
        found = F.interpolate(image, size=after, mode="nearest")
    elif sampling.mode == "linear" and _is_torch_linear(spatial, sampling.where) and not narrowed:
        corners = sampling.where == "align_corners"
        found = F.interpolate(image, size=after, mode="bilinear", align_corners=corners)
    else:
        return None
    return found.squeeze(2) if line else found


def _is_torch_linear(axes: Sequence[Axis], where: str) -> bool:
    if where == "pytorch_half_pixel":
        return all(axis.after > 1 or axis.before == 1 for axis in axes)
    return where in ("half_pixel", "half_pixel_symmetric", "align_corners")


def _is_torch_nearest(axes: Sequence[Axis], sampling: Sampling) -> bool:
    """Whether every place rounds to ``floor(i * before / after)``, and none lies outside."""
    return all(
        bool((sampling.nearest(axis) == np.arange(axis.after) * axis.before // axis.after).all())
        and not sampling.outside(axis).any()
        for axis in axes
    )


def _by_products(call: Call, axes: Sequence[Axis], sampling: Sampling) -> Tensor:
    """Axis after axis, the last first."""
    x = call.x
    for position in reversed(range(len(axes))):
        axis = axes[position]
        if axis.is_same:
            continue
        call.bounded([axis.after, axis.before])
        matrix = torch.from_numpy(sampling.matrix(axis))
        last = position == len(axes) - 1
        x = (
            F.linear(x, matrix)
            if last
            else F.linear(x.transpose(position, -1), matrix).transpose(position, -1)
        )
    value = float(call.attribute("extrapolation_value", 0.0))
    outside = np.zeros([axis.after for axis in axes], bool)
    for position, axis in enumerate(axes):
        outside |= sampling.outside(axis).reshape([-1 if i == position else 1 for i in range(len(axes))])
    return x + torch.from_numpy(outside.astype(np.float32) * value) if value and outside.any() else x


TABLE: dict[str, Operator] = {"Resize": _resize}
