"""Normalisation layers: batch-norm becomes two constants per channel, the rest keep their operator."""

from __future__ import annotations

from typing import Any

import torch

from pocketpress.sources.aten.bound import Bound
from pocketpress.sources.aten.elementwise import emit_binary


def batch_norm(b: Bound) -> str:
    """x * a[c] + b[c] with a = weight / sqrt(var + eps), b = bias - mean * a (Ioffe and Szegedy 2015)."""
    if b.args.get("training"):
        raise b.refuse("batch-norm in training mode", "call .eval() on the network")
    mean, var = b["running_mean"].double(), b["running_var"].double()
    weight = torch.ones_like(mean) if b["weight"] is None else b["weight"].double()
    bias = torch.zeros_like(mean) if b["bias"] is None else b["bias"].double()
    factor = weight / torch.sqrt(var + b["eps"])
    shift = bias - mean * factor
    x = b.activation("input")
    shape = (1, -1, *([1] * (len(b.shape(x)) - 2)))
    scaled = emit_binary(b, "mul", x, factor.float().reshape(shape), last=False)
    return emit_binary(b, "add", scaled, shift.float().reshape(shape))


def native_batch_norm(b: Bound) -> tuple[str, None, None]:
    """The decomposed form, which returns a triple."""
    return batch_norm(b), None, None


def layer_norm(b: Bound) -> str:
    """aten::layer_norm."""
    x = b.activation("input")
    normalized = tuple(b["normalized_shape"])
    weight: Any = torch.ones(normalized) if b["weight"] is None else b["weight"]
    bias: Any = torch.zeros(normalized) if b["bias"] is None else b["bias"]
    rank = len(b.shape(x))
    axes = tuple(range(rank - len(normalized), rank))
    inputs = [x, b.tensor(weight, "weight"), b.tensor(bias, "bias")]
    return b.emit("layer_norm", inputs, b.shape(x), axes=axes, eps=float(b["eps"]))


def group_norm(b: Bound) -> str:
    """Groups of channels, each normalised over all its numbers (Wu and He 2018)."""
    x = b.activation("input")
    n, channels = b.shape(x)[:2]
    each = b.builder.type(x).elements // (n * int(b["num_groups"]))
    y = _standardised(b, x, (n, int(b["num_groups"]), each), float(b["eps"]))
    return _affine(b, y, channels)


def instance_norm(b: Bound) -> str:
    """Every channel normalised over its image (Ulyanov et al. 2016); with running statistics, batch-norm."""
    x = b.activation("input")
    if not b["use_input_stats"]:
        return batch_norm(b)
    n, channels = b.shape(x)[:2]
    each = b.builder.type(x).elements // (n * channels)
    return _affine(b, _standardised(b, x, (n, channels, each), float(b["eps"])), channels)


def _standardised(b: Bound, x: str, rows: tuple[int, ...], eps: float) -> str:
    """Mean 0 and variance 1 over the last axis of ``rows``, in the shape of ``x``.

    One operator, as in pieces the variance would be rounded to 8 bits.
    """
    flat = b.emit("reshape", [x], rows, last=False, shape=rows)
    ones, zeros = torch.ones(rows[-1]), torch.zeros(rows[-1])
    inputs = [flat, b.tensor(ones, "ones"), b.tensor(zeros, "zeros")]
    axes = (len(rows) - 1,)
    y = b.emit("layer_norm", inputs, rows, last=False, axes=axes, eps=eps)
    shape = b.shape(x)
    return b.emit("reshape", [y], shape, last=b["weight"] is None and b["bias"] is None, shape=shape)


def _affine(b: Bound, x: str, channels: int) -> str:
    """A factor and a shift per channel, as far as the layer has them."""
    shape = (1, channels, *([1] * (len(b.shape(x)) - 2)))
    if b["weight"] is not None:
        x = emit_binary(b, "mul", x, b["weight"].reshape(shape), last=b["bias"] is None)
    return x if b["bias"] is None else emit_binary(b, "add", x, b["bias"].reshape(shape))


def rms_norm(b: Bound) -> str:
    """x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019)."""
    x = b.activation("input")
    shape = b.shape(x)
    axes = tuple(range(len(shape) - len(b["normalized_shape"]), len(shape)))
    kept = tuple(1 if i in axes else d for i, d in enumerate(shape))
    eps = torch.finfo(torch.float32).eps if b["eps"] is None else float(b["eps"])
    square = emit_binary(b, "mul", x, x, last=False)
    average = b.emit("mean", [square], kept, last=False, axes=axes, keepdims=True)
    safe = emit_binary(b, "add", average, eps, last=False)
    factor = b.emit("rsqrt", [safe], kept, last=False)
    y = emit_binary(b, "mul", x, factor, last=b["weight"] is None)
    return y if b["weight"] is None else emit_binary(b, "mul", y, b["weight"])


def native_layer_norm(b: Bound) -> tuple[str, None, None]:
    """The decomposed form, which returns a triple."""
    return layer_norm(b), None, None


HANDLERS = {
    "aten::batch_norm": batch_norm,
    "aten::_native_batch_norm_legit_no_training": native_batch_norm,
    "aten::layer_norm": layer_norm,
    "aten::native_layer_norm": native_layer_norm,
    "aten::group_norm": group_norm,
    "aten::instance_norm": instance_norm,
    "aten::rms_norm": rms_norm,
}
