"""Permutes of many axes as permutes of few: axes of size one and axes that stay together are no axes.

Windows of an image (``view(1, H/4, 4, W/4, 4, C).permute(0, 1, 3, 2, 4, 5)``) have six axes, of which a
batch of one and the channels need none of their own.  Core ML takes five, and fewer are faster everywhere.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

from pocketpress.core.program import Node, Program, TensorType
from pocketpress.graph.rewrite import Rewrite

MOST = 5
"""Axes that every runtime takes."""


def lower_rank(program: Program) -> Program:
    """Replace every permute of more than `MOST` axes by a reshape, a permute of fewer, and a reshape."""
    rewrite = Rewrite(program)
    changes: dict[str, tuple[Node, ...]] = {}
    for node in program.nodes:
        if node.op != "permute" or len(node.attrs["axes"]) <= MOST:
            continue
        type_, out = program.type(node.inputs[0]), program.type(node.outputs[0])
        shape, axes = joined(type_.shape, tuple(node.attrs["axes"]))
        moved = tuple(shape[a] for a in axes)
        first = _tensor(rewrite, f"{node.name}_joined", replace(type_, shape=shape))
        second = _tensor(rewrite, f"{node.name}_moved", replace(out, shape=moved))
        changes[node.name] = (
            Node("reshape", first, node.inputs, (first,), {"shape": shape}, node.source),
            Node("permute", second, (first,), (second,), {"axes": axes}, node.source),
            Node("reshape", node.name, (second,), node.outputs, {"shape": out.shape}, node.source),
        )
    rewrite.replace_nodes(changes)
    return rewrite.build() if changes else program


def _tensor(rewrite: Rewrite, stem: str, type_: TensorType) -> str:
    name = rewrite.unique(stem)
    rewrite.types[name] = type_
    return name


def joined(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The least shape, and the permutation of it, that move the same elements in the same way."""
    order = [a for a in axes if shape[a] != 1]
    position = {a: i for i, a in enumerate(sorted(order))}
    blocks = [[a] for a in order[:1]]
    for before, axis in itertools.pairwise(order):
        if position[axis] == position[before] + 1:
            blocks[-1].append(axis)
        else:
            blocks.append([axis])
    blocks = blocks or [[0]]
    given = sorted(blocks)
    sizes = tuple(math.prod(shape[a] for a in block) for block in given)
    return sizes, tuple(given.index(block) for block in blocks)
