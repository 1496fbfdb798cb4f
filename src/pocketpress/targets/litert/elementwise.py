"""Arithmetic element by element, activations, and the float islands in place of inexact int8 kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pocketpress.core.program import Node, TensorType
from pocketpress.targets.litert import activation
from pocketpress.targets.litert.emission import Emission

RELU: int = schema.ActivationFunctionType.RELU
RELU6: int = schema.ActivationFunctionType.RELU6
_POW_STRETCHES = 4
"""Axes of what POW broadcasts."""


def _binary(code: str, options: Callable[..., Any] | None) -> Callable[[Emission, Node], None]:
    def emit(e: Emission, node: Node) -> None:
        written, fused, rest = activation.finish(e, node, node.attrs.get("clamp"))
        chosen = None if options is None else options(fusedActivationFunction=fused)
        e.graph.operator(code, e.inputs(node), [written], chosen)
        activation.clamp_after(e, node, written, rest)

    return emit


def _unary(code: str) -> Callable[[Emission, Node, int, int], None]:
    def emit(e: Emission, node: Node, source: int, out: int) -> None:
        e.graph.operator(code, [source], [out])

    return emit


def _leaky_relu(e: Emission, node: Node, source: int, out: int) -> None:
    options = schema.LeakyReluOptionsT(alpha=float(node.attrs["slope"]))
    e.graph.operator("LEAKY_RELU", [source], [out], options)


def _gelu(e: Emission, node: Node, source: int, out: int) -> None:
    options = schema.GeluOptionsT(approximate=node.attrs["approximate"] == "tanh")
    e.graph.operator("GELU", [source], [out], options)


def _hardsigmoid(e: Emission, node: Node, source: int, out: int) -> None:
    """``relu6(x + 3) * (1/6)``."""
    like = e.graph.type(source)
    shifted = e.step(
        "ADD",
        [source, e.number(3.0)],
        "relu6",
        like,
        schema.AddOptionsT(fusedActivationFunction=RELU6),
    )
    e.graph.operator("MUL", [shifted, e.number(1 / 6)], [out], schema.MulOptionsT())


def _elu(e: Emission, node: Node, source: int, out: int) -> None:
    """ELU; another alpha is a leaky ReLU behind it, which scales just the negative part."""
    alpha = float(node.attrs["alpha"])
    if alpha == 1.0:
        e.graph.operator("ELU", [source], [out])
        return
    curve = e.step("ELU", [source], "elu", e.graph.type(source))
    e.graph.operator("LEAKY_RELU", [curve], [out], schema.LeakyReluOptionsT(alpha=alpha))


def _step(e: Emission, node: Node, source: int, out: int) -> None:
    """GREATER than 0, then CAST: a product that is limited to 1 would overflow in half precision."""
    truth = TensorType(e.graph.type(source).shape, "bool")
    above = e.step("GREATER", [source, e.number(0.0)], "above", truth)
    e.graph.operator("CAST", [above], [out])


def _pow(e: Emission, node: Node, source: int, out: int) -> None:
    """SQUARE, SQRT, RSQRT and small products where they are the power, else POW."""
    exponent, like = float(node.attrs["exponent"]), e.graph.type(source)
    single = {2.0: "SQUARE", 0.5: "SQRT", -0.5: "RSQRT"}.get(exponent)
    if single is not None:
        e.graph.operator(single, [source], [out])
    elif exponent == 3.0:
        square = e.step("SQUARE", [source], "square", like)
        e.graph.operator("MUL", [square, source], [out], schema.MulOptionsT())
    elif exponent == -1.0:
        e.graph.operator("DIV", [e.number(1.0), source], [out], schema.DivOptionsT())
    else:
        e.graph.operator("POW", [source, e.number(exponent)], [out])


def _power(e: Emission, node: Node) -> None:
    """POW of two tensors; its kernel stretches operands of at most four axes, so others come stretched."""
    out = e.program.type(node.outputs[0]).shape
    inputs = e.inputs(node)
    if len(out) > _POW_STRETCHES:
        shape = e.graph.constant(f"shape_{out}", np.asarray(out, np.int32))
        inputs = [
            source
            if e.graph.type(source).shape == out
            else e.step("BROADCAST_TO", [source, shape], f"stretched_{index}", TensorType(out))
            for index, source in enumerate(inputs)
        ]
    e.graph.operator("POW", inputs, [e.out(node)])


def _prelu(e: Emission, node: Node) -> None:
    """PRELU; the channel is the last axis of an image, axis 1 of anything else."""
    rank = len(e.in_type(node).shape)
    slope = e.value(node.inputs[1]).reshape(-1)
    shape = (1, 1, -1) if rank == 4 else (-1, *[1] * (rank - 2))
    constant = e.constant(f"{node.inputs[1]}:slope", np.ascontiguousarray(slope.reshape(shape)))
    e.graph.operator("PRELU", [e.index(node.inputs[0]), constant], [e.out(node)])


FLOAT_UNARY: dict[str, Callable[[Emission, Node, int, int], None]] = {
    "sigmoid": _unary("LOGISTIC"),
    "tanh": _unary("TANH"),
    "hardswish": _unary("HARD_SWISH"),
    "hardsigmoid": _hardsigmoid,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "gelu": _gelu,
    "exp": _unary("EXP"),
    "log": _unary("LOG"),
    "sqrt": _unary("SQRT"),
    "rsqrt": _unary("RSQRT"),
    "abs": _unary("ABS"),
    "neg": _unary("NEG"),
    "step": _step,
    "floor": _unary("FLOOR"),
    "round": _unary("ROUND"),
    "sin": _unary("SIN"),
    "cos": _unary("COS"),
    "pow": _pow,
}


def has_integer_kernel(node: Node) -> bool:
    """Whether XNNPACK's int8 kernel has the reference's 256 entries: it fills a table from the real function.

    Its ``LEAKY_RELU`` multiplies by slopes of 8 bits instead, ``ELU`` knows alpha 1 only, and LiteRT's own
    ``HARD_SWISH`` multiplies in fixed point: one entry in a few hundred differs by one.
    """
    return node.op in ("sigmoid", "tanh") or (node.op == "elu" and float(node.attrs["alpha"]) == 1.0)


def unary(e: Emission, node: Node) -> None:
    """A function of one tensor; in int8 without an exact kernel between DEQUANTIZE and QUANTIZE."""
    emit, source, out = FLOAT_UNARY[node.op], e.index(node.inputs[0]), e.out(node)
    type_ = e.in_type(node)
    if type_.quant is None or has_integer_kernel(node):
        emit(e, node, source, out)
        return
    real = TensorType(type_.shape)
    wide = e.step("DEQUANTIZE", [source], "real", real)
    result = e.scratch("result", real)
    emit(e, node, wide, result)
    e.graph.operator("QUANTIZE", [result], [out])


EMITTERS: dict[str, Callable[[Emission, Node], None]] = {
    "add": _binary("ADD", schema.AddOptionsT),
    "sub": _binary("SUB", schema.SubOptionsT),
    "mul": _binary("MUL", schema.MulOptionsT),
    "div": _binary("DIV", schema.DivOptionsT),
    "minimum": _binary("MINIMUM", None),
    "maximum": _binary("MAXIMUM", None),
    "power": _power,
    "prelu": _prelu,
    **dict.fromkeys(FLOAT_UNARY, unary),
}
