"""Training samples in memory, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pocketpress.core.errors import DataError


@dataclass(frozen=True)
class Examples:
    """Inputs and targets, stacked.

    Attributes:
        inputs: one tensor per network input, (N, ...); uint8 pixels stay so until a batch is made.
        targets: (N, ...), or None without labels.
        table: (C, 256) real values of pixel levels, for a first input of uint8 pixels (N, C, H, W) or
            (N, H, W, C).
        channels_last: pixels are (N, H, W, C).
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor | None = None
    table: Tensor | None = None
    channels_last: bool = False

    def __post_init__(self) -> None:
        lengths = {len(i) for i in self.inputs} | (set() if self.targets is None else {len(self.targets)})
        if len(lengths) != 1:
            raise DataError("fine-tuning inputs and labels differ in number", got=sorted(lengths))
        if lengths == {0}:
            raise DataError("there are no fine-tuning samples", allowed="at least 2")

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.inputs[0])

    def batch(self, rows: Tensor, augmentation: Augmentation | None = None) -> tuple[Tensor, ...]:
        """Inputs of some samples as the network takes them, (B, ...) float32 (integers stay)."""
        first, *others = (i[rows] for i in self.inputs)
        if augmentation is not None:
            first = augmentation.apply(first)
        if self.table is not None:
            first = self._real(first)
        return (first, *others)

    def labels(self, rows: Tensor) -> Tensor | None:
        """Targets of some samples."""
        return None if self.targets is None else self.targets[rows]

    def _real(self, pixels: Tensor) -> Tensor:
        assert self.table is not None
        if self.channels_last:
            picked = [self.table[c][pixels[..., c].long()] for c in range(len(self.table))]
            return torch.stack(picked, dim=-1)
        return torch.stack([self.table[c][pixels[:, c].long()] for c in range(len(self.table))], dim=1)


@dataclass
class Augmentation:
    """Random crops of the image padded by reflection, and mirroring, for images (B, C, H, W).

    A crop moves the image by at most `padding` pixels, an eighth of its side; it keeps a label that does
    not depend on the exact place.  Mirroring keeps it only where left and right mean the same, which
    `mirror_is_safe` asks the float network.
    """

    generator: torch.Generator
    padding: int
    mirror: bool

    def apply(self, images: Tensor) -> Tensor:
        """One random crop (and mirroring) per image; same shape and dtype."""
        count, _, height, width = images.shape
        rows, columns = self._spans(count, height), self._spans(count, width)
        if self.mirror:
            turned = torch.rand(count, 1, generator=self.generator) < 0.5
            columns = torch.where(turned, columns.flip(1), columns)
        pixels = functional.pad(images.float(), (self.padding,) * 4, mode="reflect").to(images.dtype)
        which = torch.arange(count)[:, None, None]
        picked = pixels.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]]
        return picked.permute(0, 3, 1, 2).contiguous()

    def _spans(self, count: int, size: int) -> Tensor:
        starts = torch.randint(2 * self.padding + 1, (count, 1), generator=self.generator)
        return starts + torch.arange(size)


def padding_of(images: Tensor) -> int:
    """Pixels of padding for a crop: an eighth of the shorter side, at least one."""
    return max(1, min(images.shape[-2:]) // 8)


def batches(count: int, size: int, limit: int | None, generator: torch.Generator) -> Iterator[Tensor]:
    """Row numbers of one epoch, shuffled; the last batch is left out when it is short of two samples."""
    order = torch.randperm(count, generator=generator)[: limit or count]
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        if len(rows) > 1:
            yield rows


def batch_count(count: int, size: int, limit: int | None) -> int:
    """How many batches `batches` yields."""
    used = min(count, limit or count)
    return used // size + (used % size > 1)
