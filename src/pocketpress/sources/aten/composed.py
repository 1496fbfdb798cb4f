"""Activations and functions that are arithmetic of others, in forms that do not overflow."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pocketpress.sources.aten.bound import Bound, axis_of
from pocketpress.sources.aten.elementwise import emit_binary
from pocketpress.sources.aten.shapes import emit_slice

LEAST_THRESHOLD = 10.0
"""Of softplus: from there on log(1 + exp(x)) is x, to 5 parts in a million."""


def _sign_free(b: Bound, x: str) -> str:
    """log(1 + exp(-|x|)), which is between 0 and log 2."""
    shape = b.shape(x)
    size = b.emit("abs", [x], shape, last=False)
    small = b.emit("exp", [emit_binary(b, "mul", size, -1.0, last=False)], shape, last=False)
    return b.emit("log", [emit_binary(b, "add", small, 1.0, last=False)], shape, last=False)


def _log_one_plus_exp(b: Bound, x: str, *, last: bool = True) -> str:
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))."""
    positive = b.emit("clamp", [x], b.shape(x), last=False, low=0.0, high=None)
    return emit_binary(b, "add", positive, _sign_free(b, x), last=last)


def softplus(b: Bound) -> str:
    """log(1 + exp(beta x)) / beta."""
    beta, threshold = float(b["beta"]), float(b["threshold"])
    if threshold < LEAST_THRESHOLD:
        raise b.refuse(f"softplus with threshold {threshold:g}", f"use at least {LEAST_THRESHOLD:g}")
    if beta == 1:
        return _log_one_plus_exp(b, b.activation())
    scaled = emit_binary(b, "mul", b.activation(), beta, last=False)
    return emit_binary(b, "mul", _log_one_plus_exp(b, scaled, last=False), 1 / beta)


def mish(b: Bound) -> str:
    """x * tanh(log(1 + exp(x))) (Misra 2019)."""
    x = b.activation()
    gate = b.emit("tanh", [_log_one_plus_exp(b, x, last=False)], b.out_shape, last=False)
    return emit_binary(b, "mul", x, gate)


def log_sigmoid(b: Bound) -> str:
    """log(sigmoid(x)) = min(x, 0) - log(1 + exp(-|x|))."""
    x = b.activation()
    negative = b.emit("clamp", [x], b.out_shape, last=False, low=None, high=0.0)
    return emit_binary(b, "sub", negative, _sign_free(b, x))


def elu(b: Bound) -> str:
    """aten::elu, whose scale of the result makes it SELU."""
    if b["input_scale"] != 1:
        raise b.refuse("elu with a scale of its input", "use nn.CELU")
    alpha, scale = float(b["alpha"]), float(b["scale"])
    x = b.emit("elu", [b.activation()], b.out_shape, last=scale == 1, alpha=alpha)
    return x if scale == 1 else emit_binary(b, "mul", x, scale)


def selu(b: Bound) -> str:
    """scale * elu(x, alpha) (Klambauer et al. 2017)."""
    x = b.emit("elu", [b.activation()], b.out_shape, last=False, alpha=1.6732632423543772)
    return emit_binary(b, "mul", x, 1.0507009873554805)


def celu(b: Bound) -> str:
    """alpha * elu(x / alpha) (Barron 2017)."""
    alpha = float(b["alpha"])
    if alpha == 1:
        return b.emit("elu", [b.activation()], b.out_shape, alpha=1.0)
    scaled = emit_binary(b, "mul", b.activation(), 1 / alpha, last=False)
    return emit_binary(b, "mul", b.emit("elu", [scaled], b.out_shape, last=False, alpha=1.0), alpha)


def softshrink(b: Bound) -> str:
    """What lies outside of [-lambda, lambda]."""
    x, limit = b.activation(), float(b["lambd"])
    inner = b.emit("clamp", [x], b.out_shape, last=False, low=-limit, high=limit)
    return emit_binary(b, "sub", x, inner)


def glu(b: Bound) -> str:
    """The first half times the sigmoid of the second (Dauphin et al. 2017)."""
    x = b.activation()
    axis = axis_of(int(b["dim"]), len(b.shape(x)))
    half = b.shape(x)[axis] // 2
    value = emit_slice(b, x, axis, 0, half, last=False)
    gate = b.emit("sigmoid", [emit_slice(b, x, axis, half, half, last=False)], b.out_shape, last=False)
    return emit_binary(b, "mul", value, gate)


def logit(b: Bound) -> str:
    """log(x / (1 - x))."""
    x = b.activation()
    if b["eps"] is not None:
        low = float(b["eps"])
        x = b.emit("clamp", [x], b.out_shape, last=False, low=low, high=1 - low)
    rest = emit_binary(b, "sub", 1.0, x, last=False)
    logs = [b.emit("log", [value], b.out_shape, last=False) for value in (x, rest)]
    return emit_binary(b, "sub", *logs)


def _log_to_base(base: float) -> Callable[[Bound], str]:
    def handler(b: Bound) -> str:
        natural = b.emit("log", [b.activation()], b.out_shape, last=False)
        return emit_binary(b, "mul", natural, 1 / math.log(base))

    return handler


def log1p(b: Bound) -> str:
    """log(1 + x)."""
    return b.emit("log", [emit_binary(b, "add", b.activation(), 1.0, last=False)], b.out_shape)


def expm1(b: Bound) -> str:
    """exp(x) - 1."""
    return emit_binary(b, "add", b.emit("exp", [b.activation()], b.out_shape, last=False), -1.0)


def exp2(b: Bound) -> str:
    """2 ** x."""
    return b.emit("exp", [emit_binary(b, "mul", b.activation(), math.log(2), last=False)], b.out_shape)


def rrelu(b: Bound) -> str:
    """aten::rrelu, whose slope is the mean of its limits at inference."""
    if b["training"]:
        raise b.refuse("rrelu in training mode", "call .eval() on the network")
    slope = (float(b["lower"]) + float(b["upper"])) / 2
    return b.emit("leaky_relu", [b.activation()], b.out_shape, slope=slope)


def addcmul(b: Bound) -> str:
    """self + value * first * second."""
    product = emit_binary(b, "mul", b["tensor1"], b["tensor2"], last=False)
    if b["value"] != 1:
        product = emit_binary(b, "mul", product, float(b["value"]), last=False)
    return emit_binary(b, "add", b["self"], product)


def lerp(b: Bound) -> str:
    """start + weight * (end - start)."""
    way = emit_binary(b, "sub", b["end"], b["self"], last=False)
    return emit_binary(b, "add", b["self"], emit_binary(b, "mul", way, b["weight"], last=False))


HANDLERS: dict[str, Callable[[Bound], Any]] = {
    "aten::softplus": softplus,
    "aten::mish": mish,
    "aten::mish_": mish,
    "aten::log_sigmoid": log_sigmoid,
    "aten::elu": elu,
    "aten::elu_": elu,
    "aten::selu": selu,
    "aten::selu_": selu,
    "aten::celu": celu,
    "aten::celu_": celu,
    "aten::softshrink": softshrink,
    "aten::rrelu": rrelu,
    "aten::rrelu_": rrelu,
    "aten::glu": glu,
    "aten::logit": logit,
    "aten::log2": _log_to_base(2),
    "aten::log10": _log_to_base(10),
    "aten::log1p": log1p,
    "aten::expm1": expm1,
    "aten::exp2": exp2,
    "aten::addcmul": addcmul,
    "aten::lerp": lerp,
}
