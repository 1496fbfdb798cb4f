"""MobileViT: MobileNetV2 blocks, with transformers that look across patches of the image.

Mehta and Rastegari 2022, "MobileViT: Light-weight, General-purpose, and Mobile-friendly Vision Transformer",
arXiv:2110.02178, Figure 1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pocketpress.zoo.layers import Classifier, conv_norm, fewer_strides

PATCH, HEADS, DEPTHS = 2, 4, (2, 4, 3)


class Widths(NamedTuple):
    """Channels of the stages, width of the three transformers, last channels, expansion of the blocks."""

    channels: tuple[int, int, int, int, int, int]
    hidden: tuple[int, int, int]
    last: int
    expansion: int


XXS = Widths((16, 16, 24, 48, 64, 80), (64, 80, 96), 320, 2)
XS = Widths((16, 32, 48, 64, 80, 96), (96, 120, 144), 384, 4)
S = Widths((16, 32, 64, 96, 128, 160), (144, 192, 240), 640, 4)


class Residual(nn.Module):
    """The inverted residual of MobileNetV2 with SiLU."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.block = nn.Sequential(
            *conv_norm(inputs, hidden, 1), nn.SiLU(),
            *conv_norm(hidden, hidden, 3, stride, hidden), nn.SiLU(),
            *conv_norm(hidden, outputs, 1),
        )  # fmt: skip
        self.adds_input = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y: Tensor = self.block(x)
        return x + y if self.adds_input else y


class Layer(nn.Module):
    """A transformer layer, normalised first."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.mlp = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.SiLU(), nn.Linear(2 * hidden, hidden))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, L, hidden), kept."""
        count, length, hidden = x.shape
        q, k, v = (
            part.reshape(count, length, HEADS, hidden // HEADS).transpose(1, 2)
            for part in self.qkv(self.first(x)).chunk(3, dim=-1)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).reshape(count, length, hidden))
        y: Tensor = x + self.mlp(self.second(x))
        return y


class PatchTransformer(nn.Module):
    """Local features by convolution, global ones by attention: a pixel sees its likes in all patches."""

    def __init__(self, channels: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.local = nn.Sequential(
            *conv_norm(channels, channels, 3), nn.SiLU(), nn.Conv2d(channels, hidden, 1, bias=False)
        )
        self.layers = nn.Sequential(*(Layer(hidden) for _ in range(depth)), nn.LayerNorm(hidden))
        self.project = nn.Sequential(*conv_norm(hidden, channels, 1), nn.SiLU())
        self.fuse = nn.Sequential(*conv_norm(2 * channels, channels, 3), nn.SiLU())

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, channels, H, W), kept; H and W are even."""
        y = self.local(x)
        count, hidden, height, width = y.shape
        rows, columns = height // PATCH, width // PATCH
        y = y.reshape(count * hidden * rows, PATCH, columns, PATCH).transpose(1, 2)
        y = y.reshape(count, hidden, rows * columns, PATCH * PATCH).permute(0, 3, 2, 1)
        y = self.layers(y.reshape(count * PATCH * PATCH, rows * columns, hidden))
        y = y.reshape(count, PATCH * PATCH, rows * columns, hidden).permute(0, 3, 2, 1)
        y = y.reshape(count * hidden * rows, columns, PATCH, PATCH).transpose(1, 2)
        y = self.project(y.reshape(count, hidden, height, width))
        fused: Tensor = self.fuse(torch.cat((x, y), dim=1))
        return fused


def of_widths(widths: Widths, size: int, classes: int) -> nn.Module:
    """A network; its sizes are three networks of their own, so that there is no width to choose."""
    strides = fewer_strides((2, 1, 2, 2, 2, 2), size)
    stem, *channels = widths.channels
    layers: list[nn.Module] = [*conv_norm(3, stem, 3, strides[0]), nn.SiLU()]
    layers.append(Residual(stem, channels[0], strides[1], widths.expansion))
    layers.append(Residual(channels[0], channels[1], strides[2], widths.expansion))
    layers += [Residual(channels[1], channels[1], 1, widths.expansion) for _ in range(2)]
    for i in range(3):
        layers.append(Residual(channels[i + 1], channels[i + 2], strides[i + 3], widths.expansion))
        layers.append(PatchTransformer(channels[i + 2], widths.hidden[i], DEPTHS[i]))
    layers += [*conv_norm(channels[-1], widths.last, 1), nn.SiLU()]
    return Classifier(nn.Sequential(*layers), widths.last, classes)


def xxs(width: float, size: int, classes: int) -> nn.Module:
    """MobileViT-XXS."""
    return of_widths(XXS, size, classes)


def xs(width: float, size: int, classes: int) -> nn.Module:
    """MobileViT-XS."""
    return of_widths(XS, size, classes)


def s(width: float, size: int, classes: int) -> nn.Module:
    """MobileViT-S."""
    return of_widths(S, size, classes)
