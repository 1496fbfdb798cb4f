"""Bias absorption: what a channel never goes below moves into the layers that read it.

Nagel et al. 2019 (arXiv:1906.04721, section 4.2.1, eqs. (13)-(16)): for a channel with ``y >= c >= 0``
always, ``relu(W x + b) = relu(W x + b - c) + c``, and the reader's bias takes ``W2 c``. The range of the
activation shrinks by c. The paper derives c from batch-norm (three standard deviations below the mean);
here it is the smallest value that calibration saw, less a tenth of the channel's range. Zero padding would
see the moved zero, so every reader must read without padding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pocketpress.compress.quantize.channels import ChannelGroup, channel_groups
from pocketpress.compress.quantize.observe import TensorStats
from pocketpress.core.program import Node, Program
from pocketpress.core.program.ir import Array

Real = npt.NDArray[np.float64]
MARGIN = 0.1


@dataclass(frozen=True)
class AbsorptionPlan:
    """Per group the constant that leaves each channel, shape (channels,)."""

    shifts: tuple[tuple[ChannelGroup, Real], ...]


def plan_absorption(program: Program, stats: Mapping[str, TensorStats]) -> AbsorptionPlan:
    """Find channels that stay well above zero.

    Args:
        program: float, simplified.
        stats: of the groups' tensors, with channel floors and peaks.
    """
    nodes = {node.name: node for node in program.nodes}
    found = []
    for group in channel_groups(program):
        if not _usable(nodes, group) or group.tensors[0] not in stats:
            continue
        seen = stats[group.tensors[0]]
        if seen.channel_floor is None or seen.channel_peak is None or seen.channel_axis != group.axis:
            continue
        shift = np.maximum(seen.channel_floor - MARGIN * (seen.channel_peak - seen.channel_floor), 0.0)
        if shift.max() > 0:
            found.append((group, shift))
    return AbsorptionPlan(tuple(found))


def _usable(nodes: Mapping[str, Node], group: ChannelGroup) -> bool:
    """One tensor, written with a bias, read by products with a bias that neither pad nor clamp above."""
    if len(group.tensors) != 1 or len(group.writers) != 1 or group.ceiling is not None:
        return False
    readers = [nodes[name] for name in group.readers]
    plain = all(
        len(node.inputs) > 2 and node.op in ("conv2d", "linear") and not any(node.attrs.get("pads", ()))
        for node in readers
    )
    return plain and len(nodes[group.writers[0]].inputs) > 2


def apply_absorption(program: Program, plan: AbsorptionPlan) -> Program:
    """Move the constants; the float function stays wherever activations stay above them."""
    constants: dict[str, Array] = dict(program.constants)
    nodes = {node.name: node for node in program.nodes}
    for group, shift in plan.shifts:
        writer = nodes[group.writers[0]]
        bias = constants[writer.inputs[2]]
        constants[writer.inputs[2]] = (bias - shift).astype(np.float32)
        for name in group.readers:
            node = nodes[name]
            moved = _through(node, constants[node.inputs[1]], shift)
            constants[node.inputs[2]] = (constants[node.inputs[2]] + moved).astype(np.float32)
    return replace(program, constants=constants)


def _through(node: Node, weight: Array, shift: Real) -> Real:
    """What the constants add to each output channel of a reader."""
    taps = weight.reshape(weight.shape[0], weight.shape[1], -1).sum(axis=2, dtype=np.float64)
    groups = int(node.attrs["groups"]) if node.op == "conv2d" else 1
    per_group = taps.reshape(groups, -1, taps.shape[1])
    return np.asarray(np.einsum("goi,gi->go", per_group, shift.reshape(groups, -1)).reshape(-1))
