"""16-bit activations: which operators LiteRT computes well in integers, and float islands for the others.

Its fast 16x8 kernels (CONV_2D, FULLY_CONNECTED with an int32 bias) add up in int32, which the weights must
not overflow.  On the reference kernels that take over elsewhere an operator costs ten to a hundred times its
float form.  An island computes in float32 on the decoded 8-bit weights: nearer to the real numbers, never
further.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pocketpress.core.program import Node, Program, TensorType
from pocketpress.core.program.decode import real_constant
from pocketpress.core.program.ir import Array
from pocketpress.core.target import Skipped

_SLOW = frozenset({"conv_transpose2d", "matmul", "mul", "mean"})
_PRODUCTS = frozenset({"conv2d", "conv_transpose2d", "linear"})
_LARGEST_SUM = 2**31 - 1
_LARGEST_ACTIVATION = 2**15
_REFERENCE_KERNEL = "computed in float between int16: LiteRT has a slow reference kernel only"
_OVERFLOW = "computed in float between int16: its sums could overflow int32"


def with_float_islands(program: Program) -> tuple[Program, tuple[Skipped, ...]]:
    """Replace int16 operators without a good kernel by dequantize, the float operator, quantize."""
    types, constants = dict(program.types), dict(program.constants)
    nodes: list[Node] = []
    skipped: list[Skipped] = []
    for node in program.nodes:
        reason = _why_island(program, node)
        if reason is None:
            nodes.append(node)
            continue
        skipped.append(Skipped(f"{node.op} {node.name}", reason))
        nodes += _island(program, node, types, constants)
    return replace(program, types=types, constants=constants, nodes=tuple(nodes)), tuple(skipped)


def _why_island(program: Program, node: Node) -> str | None:
    if program.type(node.outputs[0]).dtype != "int16":
        return None
    if node.op in _SLOW or (node.op == "conv2d" and node.attrs["groups"] > 1):
        return _REFERENCE_KERNEL
    if node.op in ("conv2d", "linear") and _may_overflow(program, node):
        return _OVERFLOW
    return None


def _may_overflow(program: Program, node: Node) -> bool:
    weight = np.abs(program.constants[node.inputs[1]].astype(np.int64))
    sums = weight.reshape(len(weight), -1).sum(axis=1) * _LARGEST_ACTIVATION
    if len(node.inputs) > 2:
        sums = sums + np.abs(program.constants[node.inputs[2]].astype(np.int64))
    return bool(sums.max() > _LARGEST_SUM)


def _island(
    program: Program, node: Node, types: dict[str, TensorType], constants: dict[str, Array]
) -> list[Node]:
    before: list[Node] = []
    inputs: list[str] = []
    for name in node.inputs:
        type_ = program.type(name)
        wide = f"{name}/real"
        if node.op in _PRODUCTS and name == node.inputs[1]:
            inputs.append(name)
            continue
        inputs.append(wide)
        if wide in types:
            continue
        types[wide] = TensorType(type_.shape)
        if name in program.constants:
            constants[wide] = real_constant(program, name)
        else:
            before.append(Node("dequantize", f"{name}/widen", (name,), (wide,)))
    out = node.outputs[0]
    result = f"{out}/island"
    types[result] = TensorType(program.type(out).shape)
    middle = replace(node, inputs=tuple(inputs), outputs=(result,))
    return [*before, middle, Node("quantize", f"{node.name}/narrow", (result,), (out,))]
