"""Element by element: activations, arithmetic, comparisons."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.sources.steps.call import Call, Operator

DTYPES = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32, 7: torch.int64,
    9: torch.bool, 10: torch.float16, 11: torch.float64, 16: torch.bfloat16,
}  # fmt: skip
"""TensorProto.DataType in torch."""


def unary(function: Callable[[Tensor], Tensor]) -> Operator:
    """An operator without attributes."""
    return lambda call: function(call.x)


def variadic(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """Any number of inputs, from the left."""
    return lambda call: functools.reduce(function, (v for v in call.inputs if v is not None))


def binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """Two inputs that broadcast."""
    return lambda call: function(call.x, call.input(1))


def _divide(a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _modulo(call: Call) -> Tensor:
    if call.attribute("fmod", 0):
        return torch.fmod(call.x, call.input(1))
    return torch.remainder(call.x, call.input(1))


def _clip(call: Call) -> Tensor:
    low, high = call.number(1, "min"), call.number(2, "max")
    if low is None and high is None:
        return call.x
    return torch.clamp(call.x, low, high)


def _cast(call: Call) -> Tensor:
    kind = int(call.attribute("to"))
    if kind not in DTYPES:
        raise call.refuse("target type", kind, sorted(DTYPES))
    return call.x.to(DTYPES[kind])


def _hard_sigmoid(call: Call) -> Tensor:
    alpha, beta = call.attribute("alpha", 0.2), call.attribute("beta", 0.5)
    if math.isclose(alpha, 1 / 6, rel_tol=1e-4) and beta == 0.5:
        return F.hardsigmoid(call.x)
    return torch.clamp(call.x * alpha + beta, 0, 1)


def _dropout(call: Call) -> Tensor:
    training = call.array(2, "training_mode")
    if training is not None and bool(training):
        raise call.refuse("training_mode", True, "False: export the network in evaluation mode")
    return call.x


def _gelu(call: Call) -> Tensor:
    return F.gelu(call.x, approximate=call.attribute("approximate", "none"))


def _selu(call: Call) -> Tensor:
    alpha = float(call.attribute("alpha", 1.6732632423543772))
    gamma = float(call.attribute("gamma", 1.0507009873554805))
    return F.elu(call.x, alpha) * gamma


def _swish(call: Call) -> Tensor:
    alpha = call.attribute("alpha", 1.0)
    return F.silu(call.x) if alpha == 1 else call.x * torch.sigmoid(call.x * alpha)


def _power(call: Call) -> Tensor:
    """Of the base's type; of whole numbers to real ones it is the whole part, as ONNX Runtime computes it."""
    base, exponent = call.x, call.input(1)
    if base.is_floating_point() or not exponent.is_floating_point():
        return torch.pow(base, exponent).to(base.dtype)
    known = call.known.get(1)
    if known is not None and bool((known == np.round(known)).all()):
        return torch.pow(base, exponent.to(base.dtype))
    return torch.pow(base.double(), exponent.double()).to(base.dtype)


def _prelu(call: Call) -> Tensor:
    return torch.clamp(call.x, min=0) + call.input(1) * torch.clamp(call.x, max=0)


def _mean(call: Call) -> Tensor:
    values = [v for v in call.inputs if v is not None]
    return functools.reduce(torch.add, values) / len(values)


TABLE: dict[str, Operator] = {
    "Abs": unary(torch.abs),
    "Add": binary(torch.add),
    "And": binary(torch.logical_and),
    "Cast": _cast,
    "Ceil": unary(torch.ceil),
    "CastLike": lambda call: call.x.to(call.input(1).dtype),
    "Celu": lambda call: F.celu(call.x, call.attribute("alpha", 1.0)),
    "Clip": _clip,
    "Cos": unary(torch.cos),
    "Div": binary(_divide),
    "Dropout": _dropout,
    "Elu": lambda call: F.elu(call.x, call.attribute("alpha", 1.0)),
    "Equal": binary(torch.eq),
    "Erf": unary(torch.erf),
    "Exp": unary(torch.exp),
    "Floor": unary(torch.floor),
    "Gelu": _gelu,
    "Greater": binary(torch.gt),
    "GreaterOrEqual": binary(torch.ge),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": unary(F.hardswish),
    "Identity": unary(lambda x: x),
    "LeakyRelu": lambda call: F.leaky_relu(call.x, call.attribute("alpha", 0.01)),
    "Less": binary(torch.lt),
    "LessOrEqual": binary(torch.le),
    "Log": unary(torch.log),
    "Max": variadic(torch.maximum),
    "Mean": _mean,
    "Min": variadic(torch.minimum),
    "Mish": unary(F.mish),
    "Mod": _modulo,
    "Mul": binary(torch.mul),
    "Neg": unary(torch.neg),
    "Not": unary(torch.logical_not),
    "Or": binary(torch.logical_or),
    "PRelu": _prelu,
    "Pow": _power,
    "Reciprocal": unary(torch.reciprocal),
    "Relu": unary(F.relu),
    "Round": unary(torch.round),
    "Selu": _selu,
    "Sigmoid": unary(torch.sigmoid),
    "Sign": unary(torch.sign),
    "Sin": unary(torch.sin),
    "Softplus": unary(F.softplus),
    "Softsign": unary(F.softsign),
    "Sqrt": unary(torch.sqrt),
    "Sub": binary(torch.sub),
    "Sum": variadic(torch.add),
    "Swish": _swish,
    "Tanh": unary(torch.tanh),
    "ThresholdedRelu": lambda call: F.threshold(call.x, call.attribute("alpha", 1.0), 0.0),
    "Where": lambda call: torch.where(call.x, call.input(1), call.input(2)),
    "Xor": binary(torch.logical_xor),
}
