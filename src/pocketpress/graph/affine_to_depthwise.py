"""A scale (and shift) per channel that nothing absorbs becomes a 1x1 depthwise convolution.

In int8 a multiplication by a constant vector would quantise the vector with one scale for all channels; a
depthwise weight has a scale of its own per channel, so the factor survives exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pocketpress.core.program import Node, Program
from pocketpress.graph.rewrite import Rewrite, sole_consumer

Vector = npt.NDArray[Any]


def affine_to_depthwise(program: Program) -> Program:
    """Rewrite ``x * a[c]`` and ``x * a[c] + b[c]`` on images."""
    rewrite = Rewrite(program)
    for node in program.nodes:
        vector = _channel_vector(program, node, "mul")
        if vector is None:
            continue
        after = sole_consumer(program, node.outputs[0])
        shift = _channel_vector(program, after, "add") if after is not None else None
        last = after if after is not None and shift is not None else node
        bias = np.zeros_like(vector) if shift is None else shift
        merged = _depthwise(rewrite, node, last, vector, bias)
        rewrite.replace_nodes({last.name: (merged,), **({node.name: ()} if last is not node else {})})
    return rewrite.build()


def _channel_vector(program: Program, node: Node | None, op: str) -> Vector | None:
    if node is None or node.op != op or node.inputs[1] not in program.constants:
        return None
    if node.inputs[0] in program.constants or (node.attrs["clamp"] is not None and op == "mul"):
        return None
    shape = program.type(node.outputs[0]).shape
    value = program.constants[node.inputs[1]]
    if len(shape) != 4 or program.type(node.inputs[0]).shape != shape:
        return None
    aligned = value.reshape((1,) * (4 - value.ndim) + value.shape)
    if aligned.shape != (1, shape[1], 1, 1) or shape[1] == 1:
        return None
    return np.broadcast_to(aligned.reshape(-1), (shape[1],)).astype(np.float32)


def _depthwise(rewrite: Rewrite, first: Node, last: Node, vector: Vector, bias: Vector) -> Node:
    weight = rewrite.constant(f"{first.name}_scale", vector.reshape(-1, 1, 1, 1).copy())
    shift = rewrite.constant(f"{first.name}_shift", bias.copy())
    attrs = {
        "stride": (1, 1),
        "pads": (0, 0, 0, 0),
        "dilation": (1, 1),
        "groups": int(vector.size),
        "clamp": last.attrs["clamp"],
    }
    return Node("conv2d", last.name, (first.inputs[0], weight, shift), last.outputs, attrs, first.source)
