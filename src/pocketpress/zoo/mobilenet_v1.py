"""MobileNetV1: a depthwise and a pointwise convolution, thirteen times.

Howard et al. 2017, "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
arXiv:1704.04861, Table 1.
"""

from __future__ import annotations

from torch import nn

from pocketpress.zoo.layers import Classifier, conv_norm, fewer_strides

STEM = 32
CHANNELS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)


def build(width: float, size: int, classes: int) -> nn.Module:
    """The network; the paper's width multiplier is not rounded to multiples of 8."""
    stem_stride, *strides = fewer_strides((2, *STRIDES), size)
    channels = max(1, int(STEM * width))
    layers: list[nn.Module] = [*conv_norm(3, channels, 3, stem_stride), nn.ReLU6()]
    for wanted, stride in zip(CHANNELS, strides, strict=True):
        outputs = max(1, int(wanted * width))
        layers += [*conv_norm(channels, channels, 3, stride, channels), nn.ReLU6()]
        layers += [*conv_norm(channels, outputs, 1), nn.ReLU6()]
        channels = outputs
    return Classifier(nn.Sequential(*layers), channels, classes)
