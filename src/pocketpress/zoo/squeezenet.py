"""SqueezeNet 1.1: squeeze by 1x1 convolutions, expand by 1x1 and 3x3 ones; no linear layer, no batch-norm.

Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
arXiv:1602.07360; version 1.1 of its authors' repository computes 2.4 times less.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pocketpress.zoo.layers import fewer_strides

FIRES = ((16, 64), (16, 64), None, (32, 128), (32, 128), None, (48, 192), (48, 192), (64, 256), (64, 256))
"""Squeezed channels and half of the expanded ones; None pools."""


class Fire(nn.Module):
    """Squeeze, then expand by two kinds of convolution side by side."""

    def __init__(self, inputs: int, squeezed: int, half: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(nn.Conv2d(inputs, squeezed, 1), nn.ReLU())
        self.one = nn.Sequential(nn.Conv2d(squeezed, half, 1), nn.ReLU())
        self.three = nn.Sequential(nn.Conv2d(squeezed, half, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, inputs, H, W) to (N, 2 half, H, W)."""
        y = self.squeeze(x)
        return torch.cat((self.one(y), self.three(y)), dim=1)


class SqueezeNet(nn.Module):
    """The network; the classes are channels of its last convolution."""

    def __init__(self, width: float, size: int, classes: int) -> None:
        super().__init__()
        stem_stride, *strides = fewer_strides((2, 2, 2, 2), size)
        channels = max(1, round(64 * width))
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, stem_stride, 1), nn.ReLU()]
        for fire in (None, *FIRES):
            if fire is None:
                stride = strides.pop(0)
                layers += [nn.MaxPool2d(3, stride, 1)] if stride > 1 else []
                continue
            squeezed, half = (max(1, round(number * width)) for number in fire)
            layers.append(Fire(channels, squeezed, half))
            channels = 2 * half
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Conv2d(channels, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))

    def forward(self, x: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) to class scores (N, classes)."""
        scores: Tensor = self.classifier(self.features(x)).flatten(1)
        return scores


def build(width: float, size: int, classes: int) -> nn.Module:
    """The network, with the same padding everywhere."""
    return SqueezeNet(width, size, classes)
