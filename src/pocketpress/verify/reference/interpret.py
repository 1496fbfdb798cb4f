"""Run a program node by node.

Integer tensors stay integers: products are accumulated exactly, requantised by a float32 multiplier,
rounded half to even and saturated.  Float tensors are computed by torch in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from pocketpress.core.errors import InternalError
from pocketpress.core.program.ir import Array, Node, Program
from pocketpress.core.program.ops import OPS
from pocketpress.verify.reference import (
    elementwise,
    floats,
    movement,
    products,
    recurrent,
    reductions,
    tables,
)
from pocketpress.verify.reference.context import Context

Kernel = Callable[[Context], Array]

INTEGER: dict[str, Kernel] = {
    "quantize": elementwise.quantize,
    "dequantize": elementwise.dequantize,
    "requantize": elementwise.requantize,
    "conv2d": products.conv2d,
    "conv_transpose2d": products.conv_transpose2d,
    "linear": products.linear,
    "matmul": products.matmul,
    "add": elementwise.add,
    "sub": elementwise.sub,
    "mul": elementwise.mul,
    "clamp": elementwise.clamp,
    "mean": reductions.mean,
    **movement.KERNELS,
    **{name: tables.lookup for name in tables.FUNCTIONS},
}


def interpret(
    program: Program, feeds: Mapping[str, Array], *, keep: Iterable[str] | None = None
) -> dict[str, Array]:
    """Compute a program exactly.

    Args:
        program: float, float16-weight or quantised.
        feeds: one array per program input, in the input's stored dtype.
        keep: names of the tensors to return; the program's outputs by default.

    Returns:
        Stored values (integers for quantised tensors) by tensor name.
    """
    wanted = set(program.outputs if keep is None else keep)
    values: dict[str, Array] = {name: np.asarray(feeds[name]) for name in program.inputs}
    last_use = _last_use(program)
    kept = {name: values[name] for name in wanted & set(values)}
    for position, node in enumerate(program.nodes):
        inputs = [program.constants[n] if n in program.constants else values[n] for n in node.inputs]
        out = interpret_node(program, node, inputs)
        values[node.outputs[0]] = out
        if node.outputs[0] in wanted:
            kept[node.outputs[0]] = out
        for name in node.inputs:
            if last_use.get(name) == position:
                values.pop(name, None)
    return kept


def interpret_node(program: Program, node: Node, inputs: list[Any]) -> Array:
    """Compute one node on given stored values; the basis of layer-local parity."""
    context = Context(program, node, inputs)
    if node.op in recurrent.RECURRENT:
        return recurrent.scan(context, interpret)
    integer = context.out_type.is_quantized or context.in_type(0).is_quantized
    kernel = INTEGER.get(node.op) if integer else floats.KERNELS.get(node.op)
    if kernel is None:
        raise InternalError(
            f"no {'integer' if integer else 'float'} reference for operator", got=node.op, allowed=sorted(OPS)
        )
    out = kernel(context)
    if tuple(out.shape) != context.out_type.shape:
        raise InternalError(
            f"{node.op} {node.name}: computed shape differs from its type",
            got=out.shape,
            allowed=context.out_type.shape,
        )
    return np.asarray(out, dtype=context.out_type.dtype, order="C")


def _last_use(program: Program) -> dict[str, int]:
    return {name: i for i, node in enumerate(program.nodes) for name in node.inputs}
