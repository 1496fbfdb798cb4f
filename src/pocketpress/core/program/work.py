"""What an operator has to do: multiply-accumulates and bytes."""

from __future__ import annotations

from pocketpress.core.program.ir import Node, Program
from pocketpress.core.program.recurrent import RECURRENT, weight_names

FLOAT_BYTES = 4


def multiply_accumulates_of(program: Program, node: Node) -> int:
    """Of one inference, over convolutions and matrix products; 0 for every other operator."""
    out = program.type(node.outputs[0])
    if node.op == "conv2d":
        return out.elements * int(program.type(node.inputs[1]).elements / out.shape[1])
    if node.op == "conv_transpose2d":
        weight = program.type(node.inputs[1])
        return program.type(node.inputs[0]).elements * int(weight.elements / weight.shape[0])
    if node.op in ("linear", "matmul"):
        return out.elements * program.type(node.inputs[0]).shape[-1]
    if node.op in RECURRENT:
        steps = program.type(node.inputs[0]).elements // program.type(node.inputs[0]).shape[-1]
        return steps * sum(program.type(name).elements for name in weight_names(node))
    return 0


def multiply_accumulates(program: Program) -> int:
    """Multiply-accumulates of one inference, over convolutions and matrix products."""
    return sum(multiply_accumulates_of(program, node) for node in program.nodes)


def moved_bytes(program: Program, node: Node) -> int:
    """Bytes read and written in float32, weights included."""
    return FLOAT_BYTES * sum(program.type(name).elements for name in (*node.inputs, *node.outputs))
