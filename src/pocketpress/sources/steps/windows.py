"""Paddings of sliding windows, as files write them."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

Sides = list[tuple[int, int]]
"""(begin, end) of every spatial axis."""


def same_side(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """TensorFlow's SAME padding of one axis: ceil(size / stride) windows, the odd element at the end."""
    total = max(0, (math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
    return total // 2, total - total // 2


def padded(x: Tensor, sides: Sides, value: float = 0.0) -> Tensor:
    """Pad the spatial axes of (N, C, ...)."""
    flat = [amount for side in reversed(sides) for amount in side]
    return F.pad(x, flat, value=value) if any(flat) else x


def evened(sides: Sides) -> list[int] | None:
    """The padding of both ends where they are equal on every axis; torch's layers take no other."""
    return [begin for begin, _ in sides] if all(begin == end for begin, end in sides) else None
