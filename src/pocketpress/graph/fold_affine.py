"""Batch-norm folding: a constant scale and shift per channel after a product moves into its weights.

For ``y = (W x + b) * a + c`` with one ``a`` and ``c`` per output channel: ``W' = a W``, ``b' = a b + c``
(Jacob et al. 2018, section 3.2).  Sources write batch-norm as ``mul`` and ``add`` with constants, as Keras
does by itself, so one pass covers both.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pocketpress.core.program import Node, Program
from pocketpress.graph.rewrite import Rewrite

PRODUCTS = {"conv2d": 0, "conv_transpose2d": 1, "linear": 0}


def fold_affine(program: Program) -> Program:
    """Fold until nothing changes."""
    while True:
        folded = _fold_once(program)
        if folded is None:
            return program
        program = folded


def _fold_once(program: Program) -> Program | None:
    rewrite = Rewrite(program)
    producers, readers = program.producers(), program.consumers()
    taken: set[str] = set()
    for node in program.nodes:
        if node.op not in ("mul", "add") or len(node.inputs) != 2:
            continue
        product = producers.get(node.inputs[0])
        if product is None or product.op not in PRODUCTS or product.name in taken:
            continue
        vector = _per_channel(program, product, node)
        single = len(readers[product.outputs[0]]) == 1 and product.outputs[0] not in program.outputs
        if vector is None or not single or product.attrs["clamp"] is not None:
            continue
        taken |= {product.name, node.name}
        _fold(rewrite, product, node, vector)
    return rewrite.build() if taken else None


def _per_channel(program: Program, product: Node, node: Node) -> npt.NDArray[np.float64] | None:
    """The constant operand as one number per output channel, or None when it varies otherwise."""
    if node.inputs[1] not in program.constants:
        return None
    value = np.asarray(program.constants[node.inputs[1]], dtype=np.float64)
    shape = program.type(node.outputs[0]).shape
    if shape != program.type(product.outputs[0]).shape:
        return None
    axis = len(shape) - 1 if product.op == "linear" else 1
    aligned = value.reshape((1,) * (len(shape) - value.ndim) + value.shape)
    if any(d != 1 for i, d in enumerate(aligned.shape) if i != axis):
        return None
    return np.broadcast_to(aligned.reshape(-1), (shape[axis],)).copy()


def _fold(rewrite: Rewrite, product: Node, node: Node, vector: npt.NDArray[np.float64]) -> None:
    weight = rewrite.constants[product.inputs[1]].astype(np.float64)
    bias = (
        rewrite.constants[product.inputs[2]].astype(np.float64)
        if len(product.inputs) > 2
        else np.zeros(vector.size)
    )
    if node.op == "mul":
        weight, bias = _scaled_weight(product, weight, vector), bias * vector
    else:
        bias = bias + vector
    inputs = (
        product.inputs[0],
        rewrite.constant(product.inputs[1], weight.astype(np.float32)),
        rewrite.constant(f"{product.name}_bias", bias.astype(np.float32)),
    )
    merged = Node(product.op, node.name, inputs, node.outputs, product.attrs, product.source)
    rewrite.replace_nodes({product.name: (), node.name: (merged,)})


def _scaled_weight(
    product: Node, weight: npt.NDArray[np.float64], vector: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    if product.op == "conv_transpose2d":
        groups = int(product.attrs["groups"])
        per_group = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
        scaled = per_group * vector.reshape(groups, 1, -1, 1, 1)
        return scaled.reshape(weight.shape)
    return weight * vector.reshape(-1, *([1] * (weight.ndim - 1)))
