"""What each operator of a float program is in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

from pocketpress.targets.pytorch_mobile import recurrent

Attrs = Mapping[str, Any]
Operator = Callable[[list[torch.Tensor], Attrs], torch.Tensor]


def _clamped(out: torch.Tensor, attrs: Attrs) -> torch.Tensor:
    clamp = attrs["clamp"]
    if clamp is None or clamp == (None, None):
        return out
    return torch.relu(out) if clamp == (0.0, None) else torch.clamp(out, clamp[0], clamp[1])


def _padded(x: torch.Tensor, attrs: Attrs, value: float = 0.0) -> tuple[torch.Tensor, tuple[int, int]]:
    """The input and what the operator itself must still pad: (rows, columns), alike on both sides."""
    top, left, bottom, right = attrs["pads"]
    if (top, left) == (bottom, right):
        return x, (top, left)
    return F.pad(x, (left, right, top, bottom), value=value), (0, 0)


def conv2d(inputs: list[torch.Tensor], a: Attrs) -> torch.Tensor:
    """Convolution."""
    x, padding = _padded(inputs[0], a)
    bias = inputs[2] if len(inputs) > 2 else None
    stride, dilation = tuple(a["stride"]), tuple(a["dilation"])
    return _clamped(F.conv2d(x, inputs[1], bias, stride, padding, dilation, a["groups"]), a)


def conv_transpose2d(inputs: list[torch.Tensor], a: Attrs) -> torch.Tensor:
    """Transposed convolution; ``pads`` are cut from the full result."""
    top, left, bottom, right = a["pads"]
    grow_h, grow_w = a["output_padding"]
    x, weight = inputs[:2]
    bias = inputs[2] if len(inputs) > 2 else None
    if (top, left) == (bottom, right):
        grow, stride = (grow_h, grow_w), tuple(a["stride"])
        return _clamped(
            F.conv_transpose2d(x, weight, bias, stride, (top, left), grow, a["groups"]),
            a,
        )
    out = F.conv_transpose2d(x, weight, stride=tuple(a["stride"]), groups=a["groups"])
    out = F.pad(out, (-left, grow_w - right, -top, grow_h - bottom))
    return _clamped(out if bias is None else out + bias.reshape(1, -1, 1, 1), a)


def linear(inputs: list[torch.Tensor], a: Attrs) -> torch.Tensor:
    """Fully connected layer."""
    return _clamped(F.linear(*inputs), a)


def max_pool2d(inputs: list[torch.Tensor], a: Attrs) -> torch.Tensor:
    """Maximum over windows; torch allows padding up to half the kernel, more is padded before."""
    kernel = tuple(a["kernel"])
    x, padding = _padded(inputs[0], a, float("-inf"))
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]), value=float("-inf"))
        padding = (0, 0)
    stride, dilation = tuple(a["stride"]), tuple(a["dilation"])
    return F.max_pool2d(x, kernel, stride=stride, padding=padding, dilation=dilation)


def avg_pool2d(inputs: list[torch.Tensor], a: Attrs) -> torch.Tensor:
    """Mean over windows; with uneven padding that is not counted, the sum over the share of real elements."""
    kernel, stride, counted = tuple(a["kernel"]), tuple(a["stride"]), bool(a["count_include_pad"])
    x, padding = _padded(inputs[0], a)
    out = F.avg_pool2d(x, kernel, stride=stride, padding=padding, count_include_pad=counted)
    if counted or x is inputs[0]:
        return out
    ones, _ = _padded(torch.ones_like(inputs[0]), a)
    return out / F.avg_pool2d(ones, kernel, stride=stride)


def layer_norm(inputs: list[torch.Tensor], a: Attrs) -> torch.Tensor:
    """Normalise over the trailing axes."""
    x, weight, bias = inputs
    return F.layer_norm(x, list(weight.shape), weight, bias, a["eps"])


def slice_(inputs: list[torch.Tensor], a: Attrs) -> torch.Tensor:
    """Strided window, axis by axis."""
    out = inputs[0]
    windows = zip(a["starts"], a["sizes"], a["steps"], strict=True)
    for axis, (start, size, step) in enumerate(windows):
        if size != out.shape[axis]:
            out = torch.ops.aten.slice.Tensor(out, axis, start, start + (size - 1) * step + 1, step)
    return out


def pad(inputs: list[torch.Tensor], a: Attrs) -> torch.Tensor:
    """Constant padding; torch lists the last axis first."""
    pairs = list(zip(a["before"], a["after"], strict=True))
    widths = [width for pair in reversed(pairs) for width in pair]
    return F.pad(inputs[0], widths, value=float(a["value"]))


def resize_nearest(inputs: list[torch.Tensor], a: Attrs) -> torch.Tensor:
    """``out[i] = in[floor(i * in/out)]`` by two index selections, exact for every pair of sizes."""
    out = inputs[0]
    for axis, new in zip((2, 3), a["size"], strict=True):
        old = out.shape[axis]
        if new != old:
            out = torch.index_select(out, axis, torch.tensor([i * old // new for i in range(new)]))
    return out


def resize_bilinear(inputs: list[torch.Tensor], a: Attrs) -> torch.Tensor:
    """Bilinear resize."""
    size, corners = tuple(a["size"]), bool(a["align_corners"])
    return F.interpolate(inputs[0], size=size, mode="bilinear", align_corners=corners)


def mean(inputs: list[torch.Tensor], a: Attrs) -> torch.Tensor:
    """Mean over axes."""
    return inputs[0].mean(dim=tuple(a["axes"]), keepdim=bool(a["keepdims"]))


def _unary(function: Callable[..., torch.Tensor], *names: str) -> Operator:
    return lambda inputs, attrs: function(inputs[0], *(attrs[name] for name in names))


def _binary(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Operator:
    def operator(inputs: list[torch.Tensor], attrs: Attrs) -> torch.Tensor:
        out = function(inputs[0], inputs[1])
        return _clamped(out, attrs) if "clamp" in attrs else out

    return operator


OPERATORS: dict[str, Operator] = {
    "conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "linear": linear,
    "matmul": _binary(torch.matmul),
    "add": _binary(torch.add),
    "sub": _binary(torch.sub),
    "mul": _binary(torch.mul),
    "div": _binary(torch.div),
    "minimum": _binary(torch.minimum),
    "maximum": _binary(torch.maximum),
    "pow": _unary(torch.pow, "exponent"),
    "power": _binary(torch.pow),
    "clamp": _unary(torch.clamp, "low", "high"),
    "sigmoid": _unary(torch.sigmoid),
    "tanh": _unary(torch.tanh),
    "hardswish": _unary(F.hardswish),
    "hardsigmoid": _unary(F.hardsigmoid),
    "leaky_relu": _unary(F.leaky_relu, "slope"),
    "elu": _unary(F.elu, "alpha"),
    "gelu": lambda inputs, attrs: F.gelu(inputs[0], approximate=attrs["approximate"]),
    "exp": _unary(torch.exp),
    "log": _unary(torch.log),
    "sqrt": _unary(torch.sqrt),
    "rsqrt": _unary(torch.rsqrt),
    "abs": _unary(torch.abs),
    "neg": _unary(torch.neg),
    "step": lambda inputs, _: torch.gt(inputs[0], 0).float(),
    "floor": _unary(torch.floor),
    "round": _unary(torch.round),
    "sin": _unary(torch.sin),
    "cos": _unary(torch.cos),
    "prelu": lambda inputs, _: F.prelu(inputs[0], inputs[1]),
    "embedding": lambda inputs, _: F.embedding(inputs[0], inputs[1]),
    "cast": lambda inputs, _: inputs[0].float(),
    "whole": lambda inputs, _: inputs[0].to(torch.int32),
    "argmax": lambda inputs, attrs: torch.argmax(inputs[0], attrs["axis"], bool(attrs["keepdims"])).float(),
    "gru": recurrent.gru,
    "lstm": recurrent.lstm,
    "rnn": recurrent.rnn,
    "max_pool2d": max_pool2d,
    "avg_pool2d": avg_pool2d,
    "mean": mean,
    "softmax": _unary(torch.softmax, "axis"),
    "layer_norm": layer_norm,
    "concat": lambda inputs, attrs: torch.cat(inputs, attrs["axis"]),
    "reshape": lambda inputs, attrs: inputs[0].reshape(tuple(attrs["shape"])),
    "permute": lambda inputs, attrs: inputs[0].permute(tuple(attrs["axes"])),
    "slice": slice_,
    "pad": pad,
    "resize_nearest": resize_nearest,
    "resize_bilinear": resize_bilinear,
}
