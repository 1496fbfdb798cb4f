"""ShuffleNetV2: half of the channels pass each block untouched, then both halves are shuffled.

Ma et al. 2018, "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design",
arXiv:1807.11164, Table 5.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pocketpress.zoo.layers import Classifier, conv_norm, fewer_strides

STEM, REPEATS = 24, (4, 8, 4)
CHANNELS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
"""By width: of the three stages, and of the last convolution."""


def shuffled(x: Tensor) -> Tensor:
    """Channels of the two halves in turn: (N, C, H, W), of rank 4 throughout as runtimes like it."""
    count, channels, height, width = x.shape
    halves = x.reshape(count, 2, channels // 2, height * width).transpose(1, 2)
    return halves.reshape(count, channels, height, width)


class Unit(nn.Module):
    """A block of Figure 3 (c), or (d) where the image gets smaller."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.splits = stride == 1 and inputs == outputs
        own = half if self.splits else inputs
        self.branch = nn.Sequential(
            *conv_norm(own, half, 1), nn.ReLU(),
            *conv_norm(half, half, 3, stride, half),
            *conv_norm(half, half, 1), nn.ReLU(),
        )  # fmt: skip
        self.other: nn.Module = nn.Identity()
        if not self.splits:
            self.other = nn.Sequential(
                *conv_norm(inputs, inputs, 3, stride, inputs), *conv_norm(inputs, half, 1), nn.ReLU()
            )

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        kept, changed = x.chunk(2, dim=1) if self.splits else (x, x)
        return shuffled(torch.cat((self.other(kept), self.branch(changed)), dim=1))


def build(width: float, size: int, classes: int) -> nn.Module:
    """The network; its width is one of `CHANNELS`."""
    stem_stride, pool_stride, *strides = fewer_strides((2, 2, 2, 2, 2), size)
    *stages, last = CHANNELS[width]
    layers: list[nn.Module] = [*conv_norm(3, STEM, 3, stem_stride), nn.ReLU()]
    if pool_stride > 1:
        layers.append(nn.MaxPool2d(3, pool_stride, 1))
    channels = STEM
    for outputs, repeats, stride in zip(stages, REPEATS, strides, strict=True):
        for repeat in range(repeats):
            layers.append(Unit(channels, outputs, stride if repeat == 0 else 1))
            channels = outputs
    layers += [*conv_norm(channels, last, 1), nn.ReLU()]
    return Classifier(nn.Sequential(*layers), last, classes)
