"""What the networks of the zoo are made of."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

SMALL, SMALLEST = 96, 48
"""Images of fewer pixels a side lose one stride, and two."""


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution that keeps the size (but for its stride), and its batch-norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


def rounded(channels: float, width: float = 1.0) -> int:
    """Channels times width, a multiple of 8 that is at least 90 % of it (as in the MobileNetV2 paper)."""
    wanted = channels * width
    nearest = max(8, int(wanted + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * wanted else nearest


def fewer_strides(strides: Sequence[int], size: int) -> list[int]:
    """Strides of a network for 224 pixels as an image of ``size`` pixels wants them.

    The published networks see 96 pixels and more, and leave 3x3 values and more of a channel.  Below that
    the first stride becomes 1, below 48 pixels the first two: 32 pixels end as 4x4 and not as 1x1.
    """
    dropped = (size < SMALL) + (size < SMALLEST)
    found = []
    for stride in strides:
        drop = stride > 1 and dropped > 0
        found.append(1 if drop else stride)
        dropped -= drop
    return found


class Classifier(nn.Module):
    """Features, their average over the image, and one linear layer."""

    def __init__(self, features: nn.Sequential, channels: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier: nn.Module = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) to class scores (N, classes)."""
        scores: Tensor = self.classifier(self.pool(self.features(x)).flatten(1))
        return scores
