"""Arithmetic and activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pocketpress.sources.aten.bound import Bound


def _binary(op: str) -> Callable[[Bound], str]:
    def handler(b: Bound) -> str:
        left, right = b["self"], b["other"]
        if b.args.get("alpha", 1) != 1:
            right = right * b["alpha"] if not isinstance(right, str) else _scaled(b, right, b["alpha"])
        return emit_binary(b, op, left, right)

    return handler


def _scaled(b: Bound, value: str, factor: float) -> str:
    return b.emit("mul", [value, b.tensor(factor, "alpha")], b.shape(value), last=False, clamp=None)


def emit_binary(b: Bound, op: str, left: Any, right: Any, *, last: bool = True) -> str:
    """Append a binary operator; a constant left operand of add and mul moves to the right."""
    left, right = _promoted(b, left), _promoted(b, right)
    if op in ("add", "mul") and not isinstance(left, str):
        left, right = right, left
    if op == "div" and not isinstance(right, str):
        op, right = "mul", 1.0 / right
    if op == "sub" and not isinstance(right, str):
        op, right = "add", -right
    inputs = [b.tensor(left), b.tensor(right)]
    shape = np.broadcast_shapes(b.shape(inputs[0]), b.shape(inputs[1]))
    attrs = {"clamp": None} if op in ("add", "sub", "mul") else {}
    return b.emit(op, inputs, shape, last=last, **attrs)


def _promoted(b: Bound, value: Any) -> Any:
    """Whole numbers and truth values are real."""
    if isinstance(value, str):
        return b.real(value)
    return value.float() if isinstance(value, torch.Tensor) and not value.is_floating_point() else value


def reciprocal(b: Bound) -> str:
    """aten::reciprocal: what ``number / x`` becomes."""
    return emit_binary(b, "div", 1.0, b["self"])


def nothing(b: Bound) -> None:
    """Checks that torch makes at run time; shapes and dtypes are static here."""


def rsub(b: Bound) -> str:
    """aten::rsub: other - alpha * self."""
    return emit_binary(
        b, "sub", b["other"], _scaled(b, b["self"], b["alpha"]) if b["alpha"] != 1 else b["self"]
    )


def _unary(op: str) -> Callable[[Bound], str]:
    def handler(b: Bound) -> str:
        return b.emit(op, [b.activation()], b.out_shape)

    return handler


def _clamp(low: Any, high: Any) -> Callable[[Bound], str]:
    def handler(b: Bound) -> str:
        lo = b[low] if isinstance(low, str) else low
        hi = b[high] if isinstance(high, str) else high
        if isinstance(lo, torch.Tensor) or isinstance(hi, torch.Tensor):
            raise b.refuse("clamp with tensor limits")
        return b.emit(
            "clamp",
            [b.activation()],
            b.out_shape,
            low=None if lo is None else float(lo),
            high=None if hi is None else float(hi),
        )

    return handler


def silu(b: Bound) -> str:
    """x * sigmoid(x)."""
    x = b.activation()
    gate = b.emit("sigmoid", [x], b.out_shape, last=False)
    return emit_binary(b, "mul", x, gate)


def leaky_relu(b: Bound) -> str:
    """x or slope * x."""
    return b.emit("leaky_relu", [b.activation()], b.out_shape, slope=float(b["negative_slope"]))


def gelu(b: Bound) -> str:
    """Gaussian error linear unit."""
    return b.emit("gelu", [b.activation()], b.out_shape, approximate=str(b["approximate"]))


def prelu(b: Bound) -> str:
    """Learned slope: one number or one per channel."""
    weight = b["weight"]
    channels = b.out_shape[1] if len(b.out_shape) > 1 else 1
    return b.emit(
        "prelu", [b.activation(), b.tensor(weight.reshape(-1).expand(channels), "slope")], b.out_shape
    )


def square(b: Bound) -> str:
    """x * x."""
    return emit_binary(b, "mul", b["self"], b["self"])


def identity(b: Bound) -> str:
    """Nothing at inference."""
    return b.activation("input" if "input" in b.args else "self")


def dropout(b: Bound) -> str:
    """Nothing at inference."""
    if b.args.get("train"):
        raise b.refuse(
            "dropout in training mode", "nn.Dropout, or F.dropout with training=self.training; then .eval()"
        )
    return b.activation("input" if "input" in b.args else "self")  # of the form that works in place


_UNARY = ("sigmoid", "tanh", "hardswish", "hardsigmoid", "exp", "log", "sqrt", "rsqrt", "abs", "neg")

HANDLERS: dict[str, Callable[[Bound], Any]] = {
    **{f"aten::{name}": _unary(name) for name in _UNARY},
    **{f"aten::{name}_": _unary(name) for name in _UNARY},
    "aten::add": _binary("add"),
    "aten::add_": _binary("add"),
    "aten::sub": _binary("sub"),
    "aten::sub_": _binary("sub"),
    "aten::mul": _binary("mul"),
    "aten::mul_": _binary("mul"),
    "aten::subtract": _binary("sub"),
    "aten::multiply": _binary("mul"),
    "aten::true_divide": _binary("div"),
    "aten::rsub": rsub,
    "aten::reciprocal": reciprocal,
    "aten::negative": _unary("neg"),
    "aten::absolute": _unary("abs"),
    "aten::_assert_tensor_metadata": nothing,
    "aten::minimum": _binary("minimum"),
    "aten::maximum": _binary("maximum"),
    "aten::relu": _clamp(0.0, None),
    "aten::relu_": _clamp(0.0, None),
    "aten::relu6": _clamp(0.0, 6.0),
    "aten::relu6_": _clamp(0.0, 6.0),
    "aten::hardtanh": _clamp("min_val", "max_val"),
    "aten::hardtanh_": _clamp("min_val", "max_val"),
    "aten::clamp": _clamp("min", "max"),
    "aten::clamp_": _clamp("min", "max"),
    "aten::clamp_min": _clamp("min", None),
    "aten::clamp_max": _clamp(None, "max"),
    "aten::clip": _clamp("min", "max"),
    "aten::silu": silu,
    "aten::silu_": silu,
    "aten::leaky_relu": leaky_relu,
    "aten::leaky_relu_": leaky_relu,
    "aten::gelu": gelu,
    "aten::prelu": prelu,
    "aten::square": square,
    "aten::dropout": dropout,
    "aten::dropout_": dropout,
    "aten::alpha_dropout": dropout,
    "aten::feature_alpha_dropout": dropout,
    "aten::feature_dropout": dropout,
    "aten::contiguous": identity,
    "aten::clone": identity,
    "aten::detach": identity,
    "aten::alias": identity,
    "aten::lift_fresh_copy": identity,
}
