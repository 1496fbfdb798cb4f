"""Float operators, by torch in float32.  Stored weights are decoded first: float16, integers, palettes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pocketpress.core.errors import DataError
from pocketpress.core.program.decode import decode
from pocketpress.core.program.ir import Array, TensorType
from pocketpress.verify.reference import dynamic, movement
from pocketpress.verify.reference.context import Context


def _tensor(value: Array, type_: TensorType) -> torch.Tensor:
    encoded = type_.dtype == "float16" or type_.quant is not None or type_.palette is not None
    return torch.from_numpy(np.asarray(decode(value, type_) if encoded else value, order="C"))


def _inputs(c: Context) -> list[torch.Tensor]:
    return [_tensor(value, c.in_type(i)) for i, value in enumerate(c.inputs)]


def _clamped(c: Context, out: torch.Tensor) -> Array:
    clamp = c.node.attrs.get("clamp")
    if clamp is not None:
        out = _limited(out, *clamp)
    return np.asarray(out.numpy())


def _limited(x: torch.Tensor, low: float | None, high: float | None) -> torch.Tensor:
    return x if low is None and high is None else torch.clamp(x, low, high)


def _padded(c: Context, x: torch.Tensor) -> torch.Tensor:
    top, left, bottom, right = c.attr("pads")
    return F.pad(x, (left, right, top, bottom))


def conv2d(c: Context) -> Array:
    """2-D convolution."""
    x, weight, *bias = _inputs(c)
    out = F.conv2d(
        _padded(c, x),
        weight,
        bias[0] if bias else None,
        stride=tuple(c.attr("stride")),
        dilation=tuple(c.attr("dilation")),
        groups=c.attr("groups"),
    )
    return _clamped(c, out)


def conv_transpose2d(c: Context) -> Array:
    """Transposed convolution; ``pads`` are cut from the full result."""
    x, weight, *bias = _inputs(c)
    out = F.conv_transpose2d(x, weight, stride=tuple(c.attr("stride")), groups=c.attr("groups"))
    top, left, bottom, right = c.attr("pads")
    grow_h, grow_w = c.attr("output_padding")
    out = F.pad(out, (-left, grow_w - right, -top, grow_h - bottom))
    if bias:
        out = out + bias[0].reshape(1, -1, 1, 1)
    return _clamped(c, out)


def linear(c: Context) -> Array:
    """Fully connected layer over the last axis."""
    return _clamped(c, F.linear(*_inputs(c)))


def embedding(c: Context) -> Array:
    """Rows of a table.

    Raises:
        DataError: an index that is no row; no runtime is asked what it makes of one.
    """
    index, table = c.inputs[0], decode(c.inputs[1], c.in_type(1))
    wrong = index[(index < 0) | (index >= len(table))]
    if wrong.size:
        raise DataError(
            f"{c.node.inputs[0]} is no row of the table of {c.node.name}",
            got=int(wrong[0]),
            allowed=f"0 to {len(table) - 1}",
        )
    return np.asarray(table[index])


def cast(c: Context) -> Array:
    """Whole numbers as float32."""
    return np.asarray(c.inputs[0].astype(np.float32))


def whole(c: Context) -> Array:
    """Float32 numbers that are whole, as int32."""
    return np.asarray(c.inputs[0].astype(np.int32))


def argmax(c: Context) -> Array:
    """Place of the largest number; NumPy takes the first of equal ones."""
    places = np.argmax(c.inputs[0], axis=c.attr("axis"), keepdims=bool(c.attr("keepdims")))
    return np.asarray(places, np.float32)


def avg_pool2d(c: Context) -> Array:
    """Mean over windows."""
    top, left, bottom, right = c.attr("pads")
    x, kernel, stride = _inputs(c)[0], tuple(c.attr("kernel")), tuple(c.attr("stride"))
    total = F.avg_pool2d(_padded(c, x), kernel, stride=stride)
    if c.attr("count_include_pad") or not any((top, left, bottom, right)):
        return np.asarray(total.numpy())
    share = F.avg_pool2d(_padded(c, torch.ones_like(x)), kernel, stride=stride)
    return np.asarray((total / share).numpy())


def layer_norm(c: Context) -> Array:
    """Normalise over trailing axes, then scale and shift."""
    x, weight, bias = _inputs(c)
    return np.asarray(F.layer_norm(x, weight.shape, weight, bias, c.attr("eps")).numpy())


def resize_bilinear(c: Context) -> Array:
    """Bilinear resize."""
    x = _inputs(c)[0]
    size, corners = tuple(c.attr("size")), c.attr("align_corners")
    return np.asarray(F.interpolate(x, size=size, mode="bilinear", align_corners=corners).numpy())


def prelu(c: Context) -> Array:
    """Leaky ReLU with a learned slope per channel."""
    return np.asarray(F.prelu(*_inputs(c)).numpy())


def _unary(function: Callable[..., torch.Tensor]) -> Callable[[Context], Array]:
    def kernel(c: Context) -> Array:
        return np.asarray(function(_inputs(c)[0], c.node.attrs).numpy())

    return kernel


def _binary(function: Callable[..., torch.Tensor]) -> Callable[[Context], Array]:
    def kernel(c: Context) -> Array:
        return _clamped(c, function(*_inputs(c)))

    return kernel


def _mean(x: torch.Tensor, a: Any) -> torch.Tensor:
    return x.mean(dim=tuple(a["axes"]), keepdim=a["keepdims"])


KERNELS: dict[str, Callable[[Context], Array]] = {
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
    "pow": _unary(lambda x, a: torch.pow(x, a["exponent"])),
    "power": _binary(torch.pow),
    "clamp": _unary(lambda x, a: _limited(x, a["low"], a["high"])),
    "sigmoid": _unary(lambda x, a: torch.sigmoid(x)),
    "tanh": _unary(lambda x, a: torch.tanh(x)),
    "hardswish": _unary(lambda x, a: F.hardswish(x)),
    "hardsigmoid": _unary(lambda x, a: F.hardsigmoid(x)),
    "leaky_relu": _unary(lambda x, a: F.leaky_relu(x, a["slope"])),
    "elu": _unary(lambda x, a: F.elu(x, a["alpha"])),
    "gelu": _unary(lambda x, a: F.gelu(x, approximate=a["approximate"])),
    "exp": _unary(lambda x, a: torch.exp(x)),
    "log": _unary(lambda x, a: torch.log(x)),
    "sqrt": _unary(lambda x, a: torch.sqrt(x)),
    "rsqrt": _unary(lambda x, a: torch.rsqrt(x)),
    "abs": _unary(lambda x, a: torch.abs(x)),
    "neg": _unary(lambda x, a: torch.neg(x)),
    "step": _unary(lambda x, a: torch.gt(x, 0).float()),
    "floor": _unary(lambda x, a: torch.floor(x)),
    "round": _unary(lambda x, a: torch.round(x)),
    "sin": _unary(lambda x, a: torch.sin(x)),
    "cos": _unary(lambda x, a: torch.cos(x)),
    "prelu": prelu,
    "embedding": embedding,
    "cast": cast,
    "whole": whole,
    "argmax": argmax,
    "avg_pool2d": avg_pool2d,
    "mean": _unary(_mean),
    "softmax": _unary(lambda x, a: torch.softmax(x, a["axis"])),
    "layer_norm": layer_norm,
    "resize_bilinear": resize_bilinear,
    **movement.KERNELS,
    **dynamic.KERNELS,
}
