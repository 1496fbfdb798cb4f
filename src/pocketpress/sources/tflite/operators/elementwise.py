"""Element by element: activations, arithmetic, comparisons."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.sources.steps.call import Call, Operator
from pocketpress.sources.tflite.operators.activation import activated
from pocketpress.sources.tflite.operators.layout import TO_NCHW, TO_NHWC

DTYPES = {
    0: torch.float32, 1: torch.float16, 2: torch.int32, 3: torch.uint8, 4: torch.int64, 6: torch.bool,
    7: torch.int16, 9: torch.int8, 10: torch.float64,
}  # fmt: skip
"""TensorType of the schema in torch."""


def unary(function: Callable[[Tensor], Tensor]) -> Operator:
    """An operator without options."""
    return lambda call: function(call.x)


def binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """Two inputs that broadcast, and a fused activation."""

    def run(call: Call) -> Tensor:
        call.bounded(np.broadcast_shapes(call.x.shape, call.input(1).shape))
        return activated(call, function(call.x, call.input(1)))

    return run


def _divide(a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _cast(call: Call) -> Tensor:
    kind = int(call.attribute("outDataType", 0))
    if kind not in DTYPES:
        raise call.refuse("target type", kind, sorted(DTYPES))
    return call.x.to(DTYPES[kind])


def _gelu(call: Call) -> Tensor:
    return F.gelu(call.x, approximate="tanh" if call.attribute("approximate") else "none")


def _prelu(call: Call) -> Tensor:
    x, slope = call.x, call.input(1)
    if slope.numel() == 1:
        return F.prelu(x, slope.reshape(1)) if x.ndim > 1 else F.relu(x) - slope * F.relu(-x)
    if x.ndim == 4 and slope.numel() == slope.shape[-1] == x.shape[-1]:
        return F.prelu(x.permute(TO_NCHW), slope.reshape(-1)).permute(TO_NHWC)
    return F.relu(x) - slope * F.relu(-x)


def _power(call: Call) -> Tensor:
    exponent = call.known.get(1)
    if exponent is not None and exponent.size == 1 and call.x.is_floating_point():
        return torch.pow(call.x, float(exponent.reshape(-1)[0]))
    return torch.pow(call.x, call.input(1))


def _select(call: Call) -> Tensor:
    condition, a = call.x, call.input(1)
    if condition.ndim == 1 and a.ndim > 1 and call.op == "SELECT":
        condition = condition.reshape(-1, *[1] * (a.ndim - 1))
    call.bounded(np.broadcast_shapes(condition.shape, a.shape, call.input(2).shape))
    return torch.where(condition, a, call.input(2))


def _squared_difference(a: Tensor, b: Tensor) -> Tensor:
    difference = a - b
    return difference * difference


def _floor_divide(a: Tensor, b: Tensor) -> Tensor:
    return torch.div(a, b, rounding_mode="floor")


def _add_all(call: Call) -> Tensor:
    terms = [v for v in call.inputs if v is not None]
    call.bounded(np.broadcast_shapes(*(v.shape for v in terms)))
    return functools.reduce(torch.add, terms)


TABLE: dict[str, Operator] = {
    "ABS": unary(torch.abs),
    "ADD": binary(torch.add),
    "ADD_N": _add_all,
    "CAST": _cast,
    "CEIL": unary(torch.ceil),
    "COS": unary(torch.cos),
    "DEQUANTIZE": unary(lambda x: x.float()),  # already real where it had a scale; else half precision
    "DIV": binary(_divide),
    "ELU": unary(F.elu),
    "EQUAL": binary(torch.eq),
    "EXP": unary(torch.exp),
    "FAKE_QUANT": unary(lambda x: x),
    "FLOOR": unary(torch.floor),
    "FLOOR_DIV": binary(_floor_divide),
    "FLOOR_MOD": binary(torch.remainder),
    "GELU": _gelu,
    "GREATER": binary(torch.gt),
    "GREATER_EQUAL": binary(torch.ge),
    "HARD_SWISH": unary(F.hardswish),
    "LEAKY_RELU": lambda call: F.leaky_relu(call.x, float(call.attribute("alpha"))),
    "LESS": binary(torch.lt),
    "LESS_EQUAL": binary(torch.le),
    "LOG": unary(torch.log),
    "LOGICAL_AND": binary(torch.logical_and),
    "LOGICAL_NOT": unary(torch.logical_not),
    "LOGICAL_OR": binary(torch.logical_or),
    "LOGISTIC": unary(torch.sigmoid),
    "MAXIMUM": binary(torch.maximum),
    "MINIMUM": binary(torch.minimum),
    "MUL": binary(torch.mul),
    "NEG": unary(torch.neg),
    "NOT_EQUAL": binary(torch.ne),
    "POW": _power,
    "PRELU": _prelu,
    "QUANTIZE": unary(lambda x: x),
    "RELU": unary(F.relu),
    "RELU6": unary(F.relu6),
    "RELU_0_TO_1": unary(lambda x: torch.clamp(x, 0.0, 1.0)),
    "RELU_N1_TO_1": unary(lambda x: torch.clamp(x, -1.0, 1.0)),
    "ROUND": unary(torch.round),
    "RSQRT": unary(torch.rsqrt),
    "SELECT": _select,
    "SELECT_V2": _select,
    "SIGN": unary(torch.sign),
    "SIN": unary(torch.sin),
    "SQRT": unary(torch.sqrt),
    "SQUARE": unary(torch.square),
    "SQUARED_DIFFERENCE": binary(_squared_difference),
    "SUB": binary(torch.sub),
    "TANH": unary(torch.tanh),
    "ZEROS_LIKE": unary(torch.zeros_like),
}
