"""A permute before the flattening in front of a linear layer moves into the layer's weight."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pocketpress.core.program import Node, Program
from pocketpress.graph.axis_order import Axes, inverse
from pocketpress.graph.rewrite import Rewrite


def permute_into_linear(program: Program) -> Program:
    """``linear(flatten(permute(x)))`` becomes ``linear(flatten(x))``, the weight's columns in x's order."""
    producers, readers = program.producers(), program.consumers()
    rewrite = Rewrite(program)
    for flatten in program.nodes:
        permute = producers.get(flatten.inputs[0]) if flatten.op == "reshape" else None
        if permute is None or permute.op != "permute" or flatten.outputs[0] in program.outputs:
            continue
        layers = readers.get(flatten.outputs[0], [])
        axes: Axes = tuple(permute.attrs["axes"])
        if axes[0] != 0 or not _flattens(program, flatten) or not all(_is_layer(program, n) for n in layers):
            continue
        rewrite.replace_nodes({flatten.name: (replace(flatten, inputs=permute.inputs),)})
        shape = program.type(permute.outputs[0]).shape
        for layer in layers:
            rewrite.replace_nodes({layer.name: (_reordered(rewrite, layer, shape, axes),)})
    return rewrite.build()


def _flattens(program: Program, node: Node) -> bool:
    """Whether a reshape joins all axes but the first."""
    given, made = program.type(node.inputs[0]).shape, program.type(node.outputs[0]).shape
    return len(made) == 2 and made[0] == given[0]


def _is_layer(program: Program, node: Node) -> bool:
    return node.op == "linear" and node.inputs[1] in program.constants


def _reordered(rewrite: Rewrite, layer: Node, shape: tuple[int, ...], axes: Axes) -> Node:
    weight = rewrite.constants[layer.inputs[1]]
    unfolded = weight.reshape(weight.shape[0], *shape[1:])
    moved = np.ascontiguousarray(np.transpose(unfolded, inverse(axes))).reshape(weight.shape)
    return replace(
        layer, inputs=(layer.inputs[0], rewrite.constant(layer.inputs[1], moved), *layer.inputs[2:])
    )
