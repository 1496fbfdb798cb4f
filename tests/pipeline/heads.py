"""Tiny networks with the heads of detectors, segmenters, super-resolution and warping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 32


def block(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


class Detector(nn.Module):
    """Two scales, anchor-free: distances exp(t) * stride from the cells' centres (FCOS, arXiv:1904.01355).

    Boxes are (x0, y0, x1, y1) in pixels, scores the square root of class score times centreness.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep = nn.Sequential(block(3, 8, 2), block(8, 16, 2)), block(16, 16, 2)
        self.lateral = nn.Conv2d(16, 16, 1)
        self.distance, self.score, self.centre = (nn.Conv2d(16, n, 3, padding=1) for n in (4, 3, 1))

    def decode(self, features: Tensor, stride: int) -> Tensor:
        height, width = features.shape[2:]
        ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        centres = (torch.stack([xs, ys]).float() + 0.5) * stride
        distance = torch.exp(self.distance(features).clamp(max=4)) * stride
        boxes = torch.cat([centres[None] - distance[:, :2], centres[None] + distance[:, 2:]], 1)
        scores = torch.sqrt(torch.sigmoid(self.score(features)) * torch.sigmoid(self.centre(features)))
        return torch.cat([boxes, scores], 1).flatten(2)

    def forward(self, image: Tensor) -> Tensor:
        fine = self.stem(image)
        coarse = self.deep(fine)
        fine = self.lateral(fine) + F.interpolate(coarse, scale_factor=2.0, mode="nearest")
        return torch.cat([self.decode(fine, 4), self.decode(coarse, 8)], 2).transpose(1, 2)


class Yolo(nn.Module):
    """YOLO: centre (2 sigmoid - 0.5 + cell) * stride, size (2 sigmoid)^2 * anchor, objectness, classes."""

    anchors = ((10.0, 13.0), (33.0, 23.0))

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(block(3, 8, 2), block(8, 16, 2), block(16, 16, 2))
        self.head = nn.Conv2d(16, 2 * (5 + 3), 1)
        cells = torch.arange(SIDE // 8).float()
        grid = torch.stack(torch.meshgrid(cells, cells, indexing="ij")[::-1], -1)
        self.register_buffer("grid", grid.reshape(1, 1, SIDE // 8, SIDE // 8, 2))
        self.register_buffer("sizes", torch.tensor(self.anchors).reshape(1, 2, 1, 1, 2))

    def forward(self, image: Tensor) -> Tensor:
        y = self.head(self.stem(image))
        height, width = y.shape[2:]
        y = torch.sigmoid(y.view(1, 2, 8, height, width).permute(0, 1, 3, 4, 2))
        centre, size, rest = y.split((2, 2, 4), 4)
        centre = (centre * 2 - 0.5 + cast(Tensor, self.grid)) * 8
        size = (size * 2) ** 2 * cast(Tensor, self.sizes)
        return torch.cat([centre, size, rest], 4).view(1, -1, 8)


class CenterNet(nn.Module):
    """Heat map with its local maxima kept by pooling (arXiv:1904.07850), sizes and offsets beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(block(3, 8, 2), block(8, 16, 2))
        self.heat, self.size, self.offset = nn.Conv2d(16, 3, 1), nn.Conv2d(16, 2, 1), nn.Conv2d(16, 2, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.stem(image)
        heat = torch.sigmoid(self.heat(features))
        peaks = F.max_pool2d(heat, 3, stride=1, padding=1)
        size = F.relu(self.size(features))
        return {"heat": heat, "peaks": peaks, "size": size, "offset": self.offset(features)}


class UNet(nn.Module):
    """Transposed convolutions of kernel 2 and 4, skips joined by concatenation (arXiv:1505.04597)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.bottom = block(3, 8), block(8, 16), block(16, 16)
        self.up_second, self.up_first = nn.ConvTranspose2d(16, 16, 2, 2), nn.ConvTranspose2d(16, 8, 4, 2, 1)
        self.join_second, self.join_first, self.mask = block(32, 16), block(16, 8), nn.Conv2d(8, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        first = self.first(image)
        second = self.second(F.max_pool2d(first, 2))
        bottom = self.bottom(F.max_pool2d(second, 2))
        second = self.join_second(torch.cat([self.up_second(bottom), second], 1))
        return cast(Tensor, self.mask(self.join_first(torch.cat([self.up_first(second), first], 1))))


class DeepLab(nn.Module):
    """Atrous pyramid with pooled image features, a decoder with a low-level skip (arXiv:1802.02611)."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = block(3, 8, 2), nn.Sequential(block(8, 16, 2), block(16, 16, 2))
        self.branches = nn.ModuleList(
            [nn.Conv2d(16, 8, 1), block(16, 8, dilation=2), block(16, 8, dilation=4)]
        )
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 8, 1), nn.ReLU6())
        self.project, self.skip = nn.Conv2d(32, 16, 1), nn.Conv2d(8, 4, 1)
        self.classify = nn.Sequential(block(20, 8), nn.Conv2d(8, 3, 1))

    def forward(self, image: Tensor) -> Tensor:
        low = self.low(image)
        high = self.high(low)
        pooled = F.interpolate(self.pooled(high), high.shape[2:], mode="bilinear", align_corners=False)
        joined = self.project(torch.cat([*(branch(high) for branch in self.branches), pooled], 1))
        up = F.interpolate(joined, low.shape[2:], mode="bilinear", align_corners=False)
        found = self.classify(torch.cat([up, self.skip(low)], 1))
        return F.interpolate(found, image.shape[2:], mode="bilinear", align_corners=True)


class SuperResolution(nn.Module):
    """Pixel unshuffle, convolutions, pixel shuffle (arXiv:1609.05158), over a bicubic base."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.PixelUnshuffle(2), block(12, 16), nn.Conv2d(16, 48, 3, padding=1))
        self.up = nn.PixelShuffle(4)

    def forward(self, image: Tensor) -> Tensor:
        base = F.interpolate(image, scale_factor=2.0, mode="bicubic", align_corners=False)
        return cast(Tensor, self.up(self.body(image))) + base


class Warp(nn.Module):
    """A fixed rotation of feature maps by ``grid_sample``."""

    def __init__(self, padding: str = "zeros", align: bool = False, mode: str = "bilinear") -> None:
        super().__init__()
        self.first, self.last = block(3, 6, 2), nn.Conv2d(6, 3, 3, padding=1)
        turn = torch.tensor([[[0.8, -0.5, 0.2], [0.5, 0.8, -0.1]]])
        self.register_buffer("grid", F.affine_grid(turn, [1, 6, SIDE // 2, SIDE // 2], align_corners=align))
        self.padding, self.align, self.mode = padding, align, mode

    def forward(self, image: Tensor) -> Tensor:
        grid = cast(Tensor, self.grid)
        warped = F.grid_sample(self.first(image), grid, self.mode, self.padding, align_corners=self.align)
        return cast(Tensor, self.last(warped))


class Resizes(nn.Module):
    """Resizing that moves pixels, and that weighs them by a product, by size and by factor."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = block(3, 8, 2), nn.Conv2d(24, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image)
        found = [
            F.interpolate(x, (24, 40), mode="nearest"),
            F.interpolate(x, (24, 40), mode="nearest-exact"),
            F.interpolate(x, scale_factor=(1.5, 2.5), mode="bicubic", align_corners=False),
        ]
        return cast(Tensor, self.last(torch.cat(found, 1)))


class Bilinear(nn.Module):
    """Bilinear resizing by a factor, by a size, and with aligned corners."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(block(3, 8, 2), nn.Conv2d(8, 8, 1))
        self.convs = nn.ModuleList([nn.Conv2d(8, 2, 1) for _ in range(3)])

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = self.first(image)
        found = [
            F.interpolate(x, scale_factor=(1.5, 2.5), mode="bilinear", align_corners=False),
            F.interpolate(x, (24, 40), mode="bilinear", align_corners=True),
            F.interpolate(x, (8, 10), mode="bilinear", align_corners=False),
        ]
        return {f"part_{i}": conv(y) for i, (conv, y) in enumerate(zip(self.convs, found, strict=True))}


class ComputedWarp(nn.Module):
    """A spatial transformer (arXiv:1506.02025): the caller gives the grid; zeros around the image."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = block(3, 6, 4), nn.Conv2d(6, 3, 3, padding=1)

    def forward(self, image: Tensor, grid: Tensor) -> Tensor:
        warped = F.grid_sample(self.first(image), grid, "bilinear", "zeros", align_corners=False)
        return cast(Tensor, self.last(warped))


HEADS: dict[str, Callable[[], nn.Module]] = {
    "detector": Detector,
    "yolo": Yolo,
    "center_net": CenterNet,
    "unet": UNet,
    "deeplab": DeepLab,
    "super_resolution": SuperResolution,
    "warp": Warp,
    "warp_border": lambda: Warp("border", True),
    "resizes": Resizes,
    "bilinear": Bilinear,
    "computed_warp": ComputedWarp,
}
INPUTS: dict[str, dict[str, tuple[int, ...]]] = {
    "computed_warp": {"image": (3, SIDE, SIDE), "grid": (SIDE // 4, SIDE // 4, 2)}
}
"""Of a sample, where there is more than the image."""


def made(name: str) -> tuple[nn.Module, tuple[Any, ...]]:
    """Seeded, with the batch statistics of a few random batches, in evaluation mode."""
    torch.manual_seed(0)
    network = HEADS[name]().train()
    shapes = list(INPUTS.get(name, {"image": (3, SIDE, SIDE)}).values())
    for _ in range(8):
        network(*(torch.randn(1, *shape) for shape in shapes))
    return network.eval(), tuple(torch.zeros(1, *shape) for shape in shapes)


def __getattr__(name: str) -> Callable[[], tuple[nn.Module, tuple[Any, ...]]]:
    """``tests.pipeline.heads:detector`` is a factory, and so on."""
    if name not in HEADS:
        raise AttributeError(name)
    return lambda: made(name)
