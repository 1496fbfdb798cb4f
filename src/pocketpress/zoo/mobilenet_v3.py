"""MobileNetV3: inverted residuals with squeeze-and-excitation and hard-swish, found by search.

Howard et al. 2019, "Searching for MobileNetV3", arXiv:1905.02244, Tables 1 and 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from pocketpress.zoo.layers import Classifier, conv_norm, fewer_strides, rounded

STEM = 16


class Row(NamedTuple):
    """A row: kernel, expanded and output channels, squeeze-and-excitation, hard-swish (or ReLU), stride."""

    kernel: int
    expanded: int
    outputs: int
    excited: bool
    swish: bool
    stride: int


LARGE: Sequence[Row] = (
    Row(3, 16, 16, False, False, 1),
    Row(3, 64, 24, False, False, 2),
    Row(3, 72, 24, False, False, 1),
    Row(5, 72, 40, True, False, 2),
    Row(5, 120, 40, True, False, 1),
    Row(5, 120, 40, True, False, 1),
    Row(3, 240, 80, False, True, 2),
    Row(3, 200, 80, False, True, 1),
    Row(3, 184, 80, False, True, 1),
    Row(3, 184, 80, False, True, 1),
    Row(3, 480, 112, True, True, 1),
    Row(3, 672, 112, True, True, 1),
    Row(5, 672, 160, True, True, 2),
    Row(5, 960, 160, True, True, 1),
    Row(5, 960, 160, True, True, 1),
)
SMALL: Sequence[Row] = (
    Row(3, 16, 16, True, False, 2),
    Row(3, 72, 24, False, False, 2),
    Row(3, 88, 24, False, False, 1),
    Row(5, 96, 40, True, True, 2),
    Row(5, 240, 40, True, True, 1),
    Row(5, 240, 40, True, True, 1),
    Row(5, 120, 48, True, True, 1),
    Row(5, 144, 48, True, True, 1),
    Row(5, 288, 96, True, True, 2),
    Row(5, 576, 96, True, True, 1),
    Row(5, 576, 96, True, True, 1),
)


class Excitation(nn.Module):
    """Squeeze-and-excitation (Hu et al. 2018, arXiv:1709.01507) with a hard sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = rounded(channels / 4)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Each channel times a factor from 0 to 1; shape (N, channels, H, W)."""
        y: Tensor = x * self.weigh(x)
        return y


class Block(nn.Module):
    """Expand, filter, weigh the channels, project; add the input if it fits."""

    def __init__(self, inputs: int, row: Row, width: float, stride: int) -> None:
        super().__init__()
        expanded, outputs = rounded(row.expanded, width), rounded(row.outputs, width)
        activation = nn.Hardswish if row.swish else nn.ReLU
        layers = [] if expanded == inputs else [*conv_norm(inputs, expanded, 1), activation()]
        layers += [*conv_norm(expanded, expanded, row.kernel, stride, expanded), activation()]
        layers += [Excitation(expanded)] if row.excited else []
        self.block = nn.Sequential(*layers, *conv_norm(expanded, outputs, 1))
        self.adds_input = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y: Tensor = self.block(x)
        return x + y if self.adds_input else y


def of_rows(rows: Sequence[Row], last: int, width: float, size: int, classes: int) -> nn.Module:
    """A network; ``last`` is the width of the layer before the classes."""
    stem_stride, *strides = fewer_strides((2, *(row.stride for row in rows)), size)
    channels = rounded(STEM, width)
    layers: list[nn.Module] = [*conv_norm(3, channels, 3, stem_stride), nn.Hardswish()]
    for row, stride in zip(rows, strides, strict=True):
        layers.append(Block(channels, row, width, stride))
        channels = rounded(row.outputs, width)
    wide, last = 6 * channels, rounded(last, width)
    network = Classifier(nn.Sequential(*layers, *conv_norm(channels, wide, 1), nn.Hardswish()), wide, classes)
    network.classifier = nn.Sequential(nn.Linear(wide, last), nn.Hardswish(), nn.Linear(last, classes))
    return network


def large(width: float, size: int, classes: int) -> nn.Module:
    """MobileNetV3-Large, Table 1."""
    return of_rows(LARGE, 1280, width, size, classes)


def small(width: float, size: int, classes: int) -> nn.Module:
    """MobileNetV3-Small, Table 2."""
    return of_rows(SMALL, 1024, width, size, classes)
