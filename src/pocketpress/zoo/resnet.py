"""Residual networks for small images: three stages of 16, 32 and 64 channels.

He et al. 2015, "Deep Residual Learning for Image Recognition", arXiv:1512.03385, section 4.2, with
projection shortcuts.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from pocketpress.zoo.layers import Classifier, conv_norm

CHANNELS = (16, 32, 64)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: the input, or a strided 1x1 convolution of it if shapes change."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            *conv_norm(inputs, outputs, 3, stride), nn.ReLU(), *conv_norm(outputs, outputs, 3)
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv_norm(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y: Tensor = functional.relu(self.block(x) + self.shortcut(x))
        return y


class ResNet(Classifier):
    """Three stages with `blocks` blocks each: 1, 3 and 9 for ResNet-8, -20 and -56."""

    def __init__(self, blocks: int, classes: int = 10, stages: Sequence[int] = CHANNELS) -> None:
        channels = stages[0]
        layers: list[nn.Module] = [*conv_norm(3, channels, 3), nn.ReLU()]
        for number, outputs in enumerate(stages):
            for repeat in range(blocks):
                layers.append(BasicBlock(channels, outputs, 2 if number and repeat == 0 else 1))
                channels = outputs
        super().__init__(nn.Sequential(*layers), channels, classes)


def _of_blocks(blocks: int, width: float, classes: int) -> nn.Module:
    return ResNet(blocks, classes, [max(1, round(channels * width)) for channels in CHANNELS])


def resnet8(width: float, size: int, classes: int) -> nn.Module:
    """One block a stage."""
    return _of_blocks(1, width, classes)


def resnet20(width: float, size: int, classes: int) -> nn.Module:
    """Three blocks a stage."""
    return _of_blocks(3, width, classes)


def resnet56(width: float, size: int, classes: int) -> nn.Module:
    """Nine blocks a stage."""
    return _of_blocks(9, width, classes)
