"""A slice or reshape of a product moves behind the scale, shift or clamp after it.

So these reach the product: Keras crops a transposed convolution before it adds the bias, and splits the heads
of an attention before that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketpress.core.program import Node, Program
from pocketpress.graph.fuse_clamp import is_host
from pocketpress.graph.rewrite import Rewrite, sole_consumer

Values = npt.NDArray[Any]
PRODUCTS = {"conv2d": 1, "conv_transpose2d": 1, "linear": -1}
"""The channel axis of each product's result."""
MOVEMENT = ("slice", "reshape")


def movement_last(program: Program) -> Program:
    """Swap until nothing changes; only behind a product that nothing else reads."""
    while True:
        swapped = _swap_once(program)
        if swapped is None:
            return program
        program = swapped


def _swap_once(program: Program) -> Program | None:
    producers = program.producers()
    for node in program.nodes:
        before = producers.get(node.inputs[0]) if node.op in MOVEMENT else None
        if before is None or not is_host(before) or sole_consumer(program, node.inputs[0]) is None:
            continue
        after = sole_consumer(program, node.outputs[0])
        if after is None:
            continue
        if after.op == "clamp":
            return _swapped(Rewrite(program), node, after, after.inputs[1:])
        product = _product(program, before, producers)
        if product is None:
            continue
        vector = _per_channel(program, node, after, PRODUCTS[product.op])
        if vector is not None:
            rewrite = Rewrite(program)
            return _swapped(rewrite, node, after, (rewrite.constant(after.inputs[1], vector),))
    return None


def _product(program: Program, node: Node, producers: Mapping[str, Node]) -> Node | None:
    """The product whose result ``node`` scales or shifts, or is."""
    while node.op in ("add", "mul") and node.inputs[1] in program.constants and node.inputs[0] in producers:
        node = producers[node.inputs[0]]
    return node if node.op in PRODUCTS else None


def _per_channel(program: Program, node: Node, after: Node, channel: int) -> Values | None:
    """The constant operand of ``after`` as one number per channel of the product, if that is what it is."""
    if after.op not in ("add", "mul") or after.inputs[1] not in program.constants:
        return None
    given, made = program.type(node.inputs[0]).shape, program.type(node.outputs[0]).shape
    if program.type(after.outputs[0]).shape != made:
        return None
    constant = np.asarray(program.constants[after.inputs[1]])
    axis = channel % len(given)
    shape = tuple(size if i == axis else 1 for i, size in enumerate(given))
    if node.op == "slice":
        aligned = constant.reshape((1,) * (len(made) - constant.ndim) + constant.shape)
        whole = aligned.shape in (shape, (1,) * len(given))
        return aligned if whole else None
    full = np.broadcast_to(constant, made).reshape(given)
    vector = full[tuple(slice(None) if i == axis else slice(0, 1) for i in range(len(given)))]
    return vector.copy() if bool(np.all(full == vector)) else None


def _swapped(rewrite: Rewrite, node: Node, after: Node, operands: tuple[str, ...]) -> Program:
    whole = rewrite.unique(f"{after.outputs[0]}_whole")
    rewrite.types[whole] = rewrite.types[node.inputs[0]]
    first = replace(after, name=whole, inputs=(node.inputs[0], *operands), outputs=(whole,))
    then = replace(node, name=after.name, inputs=(whole,), outputs=after.outputs)
    rewrite.replace_nodes({node.name: (), after.name: (first, then)})
    return rewrite.build()
