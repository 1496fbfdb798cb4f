"""Read a quantised TFLite MobileNetV1 as float convolutions, to start from pretrained features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from apps.photo.network import PhotoEncoder
from torch import Tensor, nn


def _dequantise(interpreter: Any, details: dict[int, Any], index: int) -> Tensor:
    """A constant tensor in real values: scale * (q - zero point)."""
    scale, zero_point = details[index]["quantization"]
    real = (interpreter.get_tensor(index).astype(np.float64) - zero_point) * scale
    return torch.from_numpy(real.astype(np.float32))


def read_convolutions(path: Path) -> list[tuple[Tensor, Tensor]]:
    """Weights (OIHW) and biases of a TFLite file's convolutions, in the order of execution."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    found = []
    for op in interpreter._get_ops_details():
        if op["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            weight = _dequantise(interpreter, details, op["inputs"][1])
            order = (0, 3, 1, 2) if op["op_name"] == "CONV_2D" else (3, 0, 1, 2)
            found.append(
                (weight.permute(order).contiguous(), _dequantise(interpreter, details, op["inputs"][2]))
            )
    return found


@torch.no_grad()
def start_from(network: PhotoEncoder, path: Path, samples: Tensor) -> None:
    """Copy pretrained convolutions, and set the batch-norms so that the encoder computes their features.

    The pretrained network wants pixels in [-1, 1]; that scaling is merged into the first convolution. Each
    batch-norm takes the mean and variance of its input on `samples`, and an affine part that undoes them
    and adds the bias.

    Args:
        network: Changed in place, left in evaluation mode.
        path: A TFLite MobileNetV1 of width 0.25.
        samples: Thumbnails of shape (N, 3, H, W) in [0, 1].
    """
    weights = read_convolutions(path)
    first, bias = weights[0]
    weights[0] = (first * 2, bias - first.sum(dim=(1, 2, 3)))
    network.eval()
    values, remaining = samples, iter(weights)
    for layer in network.features:
        if isinstance(layer, nn.Conv2d):
            weight, bias = next(remaining)
            layer.weight.copy_(weight)
            values = layer(values)
        elif isinstance(layer, nn.BatchNorm2d):
            variance, mean = torch.var_mean(values, dim=(0, 2, 3), correction=0)
            assert layer.running_mean is not None and layer.running_var is not None
            layer.running_mean.copy_(mean)
            layer.running_var.copy_(variance)
            layer.weight.copy_(torch.sqrt(variance + layer.eps))
            layer.bias.copy_(bias + mean)
            values = layer(values)
        else:
            values = layer(values)
