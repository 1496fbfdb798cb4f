"""ImageNet MobileNetV1 as a float PyTorch network, dequantised from the public 8-bit TFLite files.

The files carry int8-era uint8 weights with one scale per tensor; ``scale * (q - zero_point)`` is a pretrained
float network with batch-norm already folded (Howard et al. 2017).  Needs ``$POCKETPRESS_DATA/mobilenet``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from pocketpress.sources.tflite.read import FileTensor, read_file
from pocketpress.sources.tflite.values import constant


def data_folder() -> Path:
    """``$POCKETPRESS_DATA``, or ``../shared/data``."""
    return Path(os.environ.get("POCKETPRESS_DATA", "../shared/data"))


class SameConv(nn.Module):
    """Convolution with TensorFlow's SAME padding, then ReLU6."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, stride: int, groups: int, size: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.stride, self.groups = stride, groups
        kernel = weight.shape[2]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        self.pads = (total // 2, total - total // 2, total // 2, total - total // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """NCHW in, NCHW out."""
        x = F.pad(x, self.pads)
        return F.relu6(F.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups))


class Layer(NamedTuple):
    """A convolution of the file: weights (out, in / groups, height, width)."""

    weight: torch.Tensor
    bias: torch.Tensor
    stride: int
    depthwise: bool


class MobileNetV1(nn.Module):
    """Input (1, 3, S, S) in [-1, 1]; output 1,001 logits, 0 is background."""

    def __init__(self, path: Path, size: int) -> None:
        super().__init__()
        layers, classifier = _read(path)
        blocks: list[nn.Module] = []
        for weight, bias, stride, depthwise in layers:
            groups = weight.shape[0] if depthwise else 1
            blocks.append(SameConv(weight, bias, stride, groups, size))
            size = -(-size // stride)
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Linear(classifier.weight.shape[1], classifier.weight.shape[0])
        self.classifier.weight = nn.Parameter(classifier.weight.flatten(1))
        self.classifier.bias = nn.Parameter(classifier.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of shape (1, 1001)."""
        return self.classifier(self.features(x).mean((2, 3)))  # type: ignore[no-any-return]


def _read(path: Path) -> tuple[list[Layer], Layer]:
    file = read_file(path)
    found = []
    for op in file.operators:
        if op.op not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            continue
        depthwise = op.op == "DEPTHWISE_CONV_2D"
        weight, bias = (_real(file.tensors[i]) for i in op.inputs[1:3])
        weight = weight.transpose(3, 0, 1, 2) if depthwise else weight.transpose(0, 3, 1, 2)
        stride = int(op.attributes["strideH"])
        found.append(Layer(torch.from_numpy(weight.copy()), torch.from_numpy(bias.copy()), stride, depthwise))
    return found[:-1], found[-1]


def _real(tensor: FileTensor) -> npt.NDArray[np.float32]:
    assert tensor.data is not None
    return constant(tensor, tensor.data, real=True)


def mobilenet_v1_075_192() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """MobileNetV1 0.75 at 192 pixels."""
    path = data_folder() / "mobilenet" / "mobilenet_v1_0.75_192_quant.tflite"
    return MobileNetV1(path, 192).eval(), (torch.zeros(1, 3, 192, 192),)


def mobilenet_v1_025_128() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """MobileNetV1 0.25 at 128 pixels."""
    path = data_folder() / "mobilenet" / "mobilenet_v1_0.25_128_quant.tflite"
    return MobileNetV1(path, 128).eval(), (torch.zeros(1, 3, 128, 128),)
