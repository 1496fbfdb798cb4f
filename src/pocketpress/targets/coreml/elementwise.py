"""Element-by-element operators."""

from __future__ import annotations

import numpy as np

from pocketpress.core.program import Node
from pocketpress.targets.coreml.emission import Emission, Handler
from pocketpress.targets.coreml.graph import Value

_TINY = float(np.finfo(np.float32).tiny)
"""Added to the argument of logarithms and roots, where Core ML's own default would change results."""

_LEAST_PRELU_RANK = 3


def as_it_is(e: Emission, node: Node) -> Value:
    """Real values of the input: quantise and dequantise happen where tensors are stored and read."""
    return e.x(node)


def _unary(kind: str, **fixed: float) -> Handler:
    def handler(e: Emission, node: Node) -> Value:
        return e.graph.op(kind, e.shape(node), x=e.x(node), **fixed)

    return handler


def _binary(kind: str) -> Handler:
    def handler(e: Emission, node: Node) -> Value:
        return e.graph.op(kind, e.shape(node), x=e.x(node), y=e.x(node, 1))

    return handler


def pow_(e: Emission, node: Node) -> Value:
    """Power with a constant exponent."""
    return e.graph.op("pow", e.shape(node), x=e.x(node), y=float(node.attrs["exponent"]))


def clamp(e: Emission, node: Node) -> Value:
    """Limits in real values."""
    limits = (node.attrs["low"], node.attrs["high"])
    return e.clamped(e.x(node), limits, e.program.type(node.outputs[0]))


def hardswish(e: Emission, node: Node) -> Value:
    """``x * sigmoid_hard(x)``."""
    gate = e.graph.op("sigmoid_hard", e.shape(node), x=e.x(node), alpha=1 / 6, beta=0.5)
    return e.graph.op("mul", e.shape(node), x=e.x(node), y=gate)


def leaky_relu(e: Emission, node: Node) -> Value:
    """``leaky_relu``."""
    return e.graph.op("leaky_relu", e.shape(node), x=e.x(node), alpha=float(node.attrs["slope"]))


def elu(e: Emission, node: Node) -> Value:
    """``elu``."""
    return e.graph.op("elu", e.shape(node), x=e.x(node), alpha=float(node.attrs["alpha"]))


def gelu(e: Emission, node: Node) -> Value:
    """``gelu``, exact or by tanh."""
    mode = "EXACT" if node.attrs["approximate"] == "none" else "TANH_APPROXIMATION"
    return e.graph.op("gelu", e.shape(node), x=e.x(node), mode=mode)


def neg(e: Emission, node: Node) -> Value:
    """``-1 * x``."""
    return e.graph.op("mul", e.shape(node), x=e.x(node), y=-1.0)


def step(e: Emission, node: Node) -> Value:
    """``greater`` than 0, then ``cast``."""
    above = e.graph.op("greater", e.shape(node), "bool", x=e.x(node), y=0.0)
    return e.graph.op("cast", e.shape(node), x=above, dtype="fp32")


def prelu(e: Emission, node: Node) -> Value:
    """``prelu``; without image axes, ``max(x, 0) + slope * min(x, 0)``."""
    x, slope, shape = e.x(node), e.x(node, 1), e.shape(node)
    if len(shape) >= _LEAST_PRELU_RANK:
        if slope.shape == (1,):
            slope = e.graph.constant(np.repeat(e.real_constant(node.inputs[1]), shape[1]))
        return e.graph.op("prelu", shape, x=x, alpha=slope)
    positive = e.graph.op("maximum", shape, x=x, y=0.0)
    negative = e.graph.op("minimum", shape, x=x, y=0.0)
    scaled = e.graph.op("mul", shape, x=negative, y=slope)
    return e.graph.op("add", shape, x=positive, y=scaled)


HANDLERS: dict[str, Handler] = {
    "quantize": as_it_is,
    "dequantize": as_it_is,
    "requantize": as_it_is,
    "add": _binary("add"),
    "sub": _binary("sub"),
    "mul": _binary("mul"),
    "div": _binary("real_div"),
    "minimum": _binary("minimum"),
    "maximum": _binary("maximum"),
    "pow": pow_,
    "power": _binary("pow"),
    "clamp": clamp,
    "sigmoid": _unary("sigmoid"),
    "tanh": _unary("tanh"),
    "hardswish": hardswish,
    "hardsigmoid": _unary("sigmoid_hard", alpha=1 / 6, beta=0.5),
    "leaky_relu": leaky_relu,
    "elu": elu,
    "gelu": gelu,
    "exp": _unary("exp"),
    "log": _unary("log", epsilon=_TINY),
    "sqrt": _unary("sqrt"),
    "rsqrt": _unary("rsqrt", epsilon=_TINY),
    "abs": _unary("abs"),
    "neg": neg,
    "step": step,
    "floor": _unary("floor"),
    "round": _unary("round"),
    "sin": _unary("sin"),
    "cos": _unary("cos"),
    "prelu": prelu,
}
