"""Float operators of the program in torch, with gradients; shapes are the program's (see `simulate`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.compress.learn import recurrent

Attrs = Mapping[str, Any]
Operator = Callable[[list[Tensor], Attrs], Tensor]


def limited(x: Tensor, limits: tuple[float | None, float | None] | None) -> Tensor:
    """Clamp; no limits, no operation."""
    if limits is None or limits == (None, None):
        return x
    return torch.clamp(x, limits[0], limits[1])


def _padded(x: Tensor, pads: tuple[int, int, int, int], value: float = 0.0) -> Tensor:
    top, left, bottom, right = pads
    return F.pad(x, (left, right, top, bottom), value=value) if any(pads) else x


def _conv2d(i: list[Tensor], a: Attrs) -> Tensor:
    top, left, bottom, right = a["pads"]
    bias = i[2] if len(i) > 2 else None
    if (top, left) == (bottom, right):
        return F.conv2d(i[0], i[1], bias, a["stride"], (top, left), a["dilation"], a["groups"])
    return F.conv2d(_padded(i[0], a["pads"]), i[1], bias, a["stride"], 0, a["dilation"], a["groups"])


def _conv_transpose2d(i: list[Tensor], a: Attrs) -> Tensor:
    out = F.conv_transpose2d(i[0], i[1], None, a["stride"], groups=a["groups"])
    (top, left, bottom, right), (grow_h, grow_w) = a["pads"], a["output_padding"]
    out = F.pad(out, (-left, grow_w - right, -top, grow_h - bottom))
    return out + i[2].reshape(1, -1, 1, 1) if len(i) > 2 else out


def _linear(i: list[Tensor], a: Attrs) -> Tensor:
    return F.linear(i[0], i[1], i[2] if len(i) > 2 else None)


def _max_pool2d(i: list[Tensor], a: Attrs) -> Tensor:
    x = _padded(i[0], a["pads"], -torch.inf)
    return F.max_pool2d(x, tuple(a["kernel"]), tuple(a["stride"]), dilation=tuple(a["dilation"]))


def _avg_pool2d(i: list[Tensor], a: Attrs) -> Tensor:
    kernel, stride = tuple(a["kernel"]), tuple(a["stride"])
    total = F.avg_pool2d(_padded(i[0], a["pads"]), kernel, stride)
    if a["count_include_pad"] or not any(a["pads"]):
        return total
    return total / F.avg_pool2d(_padded(torch.ones_like(i[0]), a["pads"]), kernel, stride)


def _slice(i: list[Tensor], a: Attrs) -> Tensor:
    spans = zip(a["starts"], a["sizes"], a["steps"], strict=True)
    return i[0][tuple(slice(b, b + (n - 1) * s + 1, s) for b, n, s in spans)]


def _pad(i: list[Tensor], a: Attrs) -> Tensor:
    widths = [w for pair in zip(reversed(a["before"]), reversed(a["after"]), strict=True) for w in pair]
    return F.pad(i[0], widths, value=float(a["value"]))


def _resize_nearest(i: list[Tensor], a: Attrs) -> Tensor:
    rows, cols = a["size"]
    row = torch.arange(rows, device=i[0].device) * i[0].shape[2] // rows
    col = torch.arange(cols, device=i[0].device) * i[0].shape[3] // cols
    return i[0].index_select(2, row).index_select(3, col)


def _resize_bilinear(i: list[Tensor], a: Attrs) -> Tensor:
    return F.interpolate(i[0], size=tuple(a["size"]), mode="bilinear", align_corners=a["align_corners"])


_UNCLAMPED: dict[str, Operator] = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "linear": _linear,
    "matmul": lambda i, a: torch.matmul(i[0], i[1]),
    "add": lambda i, a: i[0] + i[1],
    "sub": lambda i, a: i[0] - i[1],
    "mul": lambda i, a: i[0] * i[1],
    "div": lambda i, a: i[0] / i[1],
    "minimum": lambda i, a: torch.minimum(i[0], i[1]),
    "maximum": lambda i, a: torch.maximum(i[0], i[1]),
    "pow": lambda i, a: torch.pow(i[0], a["exponent"]),
    "power": lambda i, a: torch.pow(i[0], i[1]),
    "clamp": lambda i, a: limited(i[0], (a["low"], a["high"])),
    "sigmoid": lambda i, a: torch.sigmoid(i[0]),
    "tanh": lambda i, a: torch.tanh(i[0]),
    "hardswish": lambda i, a: F.hardswish(i[0]),
    "hardsigmoid": lambda i, a: F.hardsigmoid(i[0]),
    "leaky_relu": lambda i, a: F.leaky_relu(i[0], a["slope"]),
    "elu": lambda i, a: F.elu(i[0], a["alpha"]),
    "gelu": lambda i, a: F.gelu(i[0], approximate=a["approximate"]),
    "exp": lambda i, a: torch.exp(i[0]),
    "log": lambda i, a: torch.log(i[0]),
    "sqrt": lambda i, a: torch.sqrt(i[0]),
    "rsqrt": lambda i, a: torch.rsqrt(i[0]),
    "abs": lambda i, a: torch.abs(i[0]),
    "neg": lambda i, a: torch.neg(i[0]),
    "step": lambda i, a: torch.gt(i[0], 0).float(),
    "floor": lambda i, a: torch.floor(i[0]),
    "round": lambda i, a: torch.round(i[0]),
    "sin": lambda i, a: torch.sin(i[0]),
    "cos": lambda i, a: torch.cos(i[0]),
    "prelu": lambda i, a: F.prelu(i[0], i[1]),
    **recurrent.OPERATORS,
    "embedding": lambda i, a: F.embedding(i[0], i[1]),
    "cast": lambda i, a: i[0].float(),
    "whole": lambda i, a: i[0].to(torch.int32),
    "argmax": lambda i, a: torch.argmax(i[0], a["axis"], a["keepdims"]).float(),
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "mean": lambda i, a: i[0].mean(dim=tuple(a["axes"]), keepdim=a["keepdims"]),
    "softmax": lambda i, a: torch.softmax(i[0], a["axis"]),
    "layer_norm": lambda i, a: F.layer_norm(i[0], i[1].shape, i[1], i[2], a["eps"]),
    "concat": lambda i, a: torch.cat(i, a["axis"]),
    "reshape": lambda i, a: i[0].reshape(a["shape"]),
    "permute": lambda i, a: i[0].permute(a["axes"]),
    "slice": _slice,
    "pad": _pad,
    "resize_nearest": _resize_nearest,
    "resize_bilinear": _resize_bilinear,
}


def operator(op: str) -> Operator:
    """The operator with its fused clamp."""
    plain = _UNCLAMPED[op]
    return lambda i, a: limited(plain(i, a), a.get("clamp"))
