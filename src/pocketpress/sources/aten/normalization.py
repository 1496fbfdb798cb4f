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


def native_layer_norm(b: Bound) -> tuple[str, None, None]:
    """The decomposed form, which returns a triple."""
    return layer_norm(b), None, None


HANDLERS = {
    "aten::batch_norm": batch_norm,
    "aten::_native_batch_norm_legit_no_training": native_batch_norm,
    "aten::layer_norm": layer_norm,
    "aten::native_layer_norm": native_layer_norm,
}
