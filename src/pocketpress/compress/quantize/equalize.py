"""Equalisation: every channel uses the whole range of its tensor.

Cross-layer equalisation (Nagel et al. 2019, arXiv:1906.04721, section 4.1) rescales channels by ``s[c]`` so
that the weights on both sides get equal ranges, eq. (11): ``s = sqrt(r1 * r2) / r2``.  With one weight scale
per output channel the writers need no help any more; what a per-tensor activation scale loses is the
resolution of its small channels.  So the activations are equalised too, from the peaks that calibration saw
(SmoothQuant, Xiao et al. 2022, arXiv:2211.10438, eq. (4)): ``s[c] = peak[c]^a / w[c]^(1 - a)``, where
``w[c]`` is the largest weight that reads channel c, relative to the row it is in.  ``a = 1`` gives all
channels the same range, and lets each clip what exceeds its own observed peak; ``a = 1/2`` is between.

A ceiling (ReLU6) is not homogeneous: there ``s[c] = (peak[c] / largest peak)^a``, so a channel that reaches
the ceiling keeps it, and the others meet it at ``6 * s[c] >= peak[c]``, beyond anything that was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pocketpress.compress.quantize.channels import ChannelGroup, channel_groups
from pocketpress.compress.quantize.observe import TensorStats
from pocketpress.compress.quantize.tied import tied_weights
from pocketpress.core.program import Node, Program
from pocketpress.core.program.ir import Array

Real = npt.NDArray[np.float64]
SMALLEST = 1 / 32
"""A channel is magnified at most so much: what calibration hardly saw must not clip at once."""
MARGIN = 1.2
"""Room above a channel's observed peak, for what calibration did not see."""


@dataclass(frozen=True)
class EqualizationPlan:
    """One vector per group: channel c of its tensors is divided by ``scales[c]``."""

    scales: tuple[tuple[ChannelGroup, Real], ...]


def plan_equalization(
    program: Program, stats: Mapping[str, TensorStats], exponent: float
) -> EqualizationPlan:
    """Decide the scales from activation peaks and weights.

    Args:
        program: float, simplified.
        stats: of every tensor of every group, with channel peaks.
        exponent: ``a``, 0 to 1.
    """
    found = []
    for group in _free_groups(program):
        peak = _peaks(group, stats)
        if peak is None:
            continue
        found.append((group, _scales(program, group, peak, exponent)))
    return EqualizationPlan(tuple(found))


def plan_cross_layer(program: Program) -> EqualizationPlan:
    """The weights-only form, eq. (11); groups with a ceiling are left alone."""
    nodes = {node.name: node for node in program.nodes}
    found = []
    for group in _free_groups(program):
        if group.ceiling is not None:
            continue
        first = np.max([_out_range(program, nodes[n]) for n in group.writers], axis=0)
        second = np.max([_in_range(program, nodes[n], relative=False) for n in group.readers], axis=0)
        usable = (first > 0) & (second > 0)
        scale = np.where(usable, np.sqrt(first * second) / np.where(usable, second, 1), 1.0)
        found.append((group, scale))
    return EqualizationPlan(tuple(found))


def _free_groups(program: Program) -> list[ChannelGroup]:
    """All but those that would give equal weights scales of their own: they are stored once."""
    groups = channel_groups(program)
    tied = tied_weights(program, {name for group in groups for name in (*group.writers, *group.readers)})
    return [group for group in groups if not tied.keys() & {*group.writers, *group.readers}]


def _peaks(group: ChannelGroup, stats: Mapping[str, TensorStats]) -> Real | None:
    """Peaks relative to the tensor's largest, the largest over the group's tensors; shape (channels,)."""
    found = []
    for name in group.tensors:
        seen = stats.get(name)
        peak = None if seen is None or seen.channel_axis != group.axis else seen.channel_peak
        if peak is not None and len(peak) == group.channels and peak.max() > 0:
            found.append(peak / peak.max())
    return np.clip(MARGIN * np.max(found, axis=0), SMALLEST, 1.0) if found else None


def _scales(program: Program, group: ChannelGroup, peak: Real, exponent: float) -> Real:
    if exponent == 1.0 or group.ceiling is not None:
        return np.asarray(peak**exponent)
    nodes = {node.name: node for node in program.nodes}
    weight = np.max([_in_range(program, nodes[n], relative=True) for n in group.readers], axis=0)
    weight = np.maximum(weight / max(float(weight.max()), 1e-30), SMALLEST)
    scale = peak**exponent / weight ** (1 - exponent)
    return np.asarray(scale / scale.max())


def _out_range(program: Program, node: Node) -> Real:
    weight = np.abs(program.constants[node.inputs[1]].astype(np.float64))
    axis = 1 if node.op == "conv_transpose2d" else 0
    return np.asarray(np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1).max(axis=1))


def _in_range(program: Program, node: Node, *, relative: bool) -> Real:
    """Largest weight that reads each input channel, shape (input channels,)."""
    weight = np.abs(program.constants[node.inputs[1]].astype(np.float64))
    if node.op == "conv_transpose2d":
        weight = np.moveaxis(weight, 1, 0)
    if relative:
        rows = weight.reshape(len(weight), -1).max(axis=1)
        weight = weight / np.maximum(rows, 1e-30).reshape((-1,) + (1,) * (weight.ndim - 1))
    per_row = weight.reshape(weight.shape[0], weight.shape[1], -1).max(axis=2)
    groups = int(node.attrs.get("groups", 1)) if node.op == "conv2d" else 1
    return np.asarray(per_row.reshape(groups, -1, per_row.shape[1]).max(axis=1).reshape(-1))


def apply_equalization(program: Program, plan: EqualizationPlan) -> Program:
    """Move the scales into the weights; the float function stays (see above about ceilings)."""
    constants: dict[str, Array] = dict(program.constants)
    nodes = {node.name: node for node in program.nodes}
    for group, scale in plan.scales:
        for name in group.writers:
            _divide_outputs(constants, nodes[name], scale)
        for name in group.readers:
            _multiply_inputs(constants, nodes[name], scale)
    return replace(program, constants=constants)


def _divide_outputs(constants: dict[str, Array], node: Node, scale: Real) -> None:
    weight = constants[node.inputs[1]]
    along = [1] * weight.ndim
    along[1 if node.op == "conv_transpose2d" else 0] = -1
    constants[node.inputs[1]] = (weight / scale.reshape(along)).astype(np.float32)
    if len(node.inputs) > 2:
        constants[node.inputs[2]] = (constants[node.inputs[2]] / scale).astype(np.float32)


def _multiply_inputs(constants: dict[str, Array], node: Node, scale: Real) -> None:
    weight = constants[node.inputs[1]]
    if node.op == "conv_transpose2d":
        constants[node.inputs[1]] = (weight * scale.reshape(-1, 1, 1, 1)).astype(np.float32)
        return
    groups = int(node.attrs["groups"]) if node.op == "conv2d" else 1
    per_group = scale.reshape(groups, 1, -1)
    rows = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
    constants[node.inputs[1]] = (rows * per_group[..., None]).reshape(weight.shape).astype(np.float32)
