"""Three small networks, for pressing to every precision: a CNN, a U-Net, a transformer encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from pocketpress.core.program import Program
from pocketpress.core.program.ir import Array
from pocketpress.core.target import TargetSpec
from pocketpress.data import Dataset
from pocketpress.pipeline.cache import Cache
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.prepare import prepare, simplified
from pocketpress.sources.pytorch import load_pytorch

Factory = Callable[[], tuple[nn.Module, tuple[Tensor]]]
SAMPLES = 8


def block(inputs: int, outputs: int, **options: Any) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


class Cnn(nn.Module):
    """Strided, depthwise and pointwise convolutions, a residual addition, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 16, stride=2)
        self.wide = nn.Sequential(nn.Conv2d(16, 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU6())
        self.depth = block(64, 64, groups=64)
        self.narrow = nn.Conv2d(64, 16, 1)
        self.last = block(16, 64, stride=2)
        self.head = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        x = x + self.narrow(self.depth(self.wide(x)))
        return cast(Tensor, self.head(self.last(x).mean((2, 3))))


class UNet(nn.Module):
    """Two levels down and up, transposed convolutions with and without overlap, concatenations."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.bottom = block(3, 12), block(12, 24), block(24, 48)
        self.up_second = nn.ConvTranspose2d(48, 24, 2, stride=2)
        self.join_second = block(48, 24)
        self.up_first = nn.ConvTranspose2d(24, 12, 4, stride=2, padding=1)
        self.join_first = block(24, 12)
        self.mask = nn.Conv2d(12, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        first = self.first(image)
        second = self.second(nn.functional.max_pool2d(first, 2))
        bottom = self.bottom(nn.functional.max_pool2d(second, 2))
        second = self.join_second(torch.cat([self.up_second(bottom), second], 1))
        first = self.join_first(torch.cat([self.up_first(second), first], 1))
        return cast(Tensor, self.mask(first))


class Encoder(nn.Module):
    """One pre-norm transformer layer over 16 tokens (Vaswani et al. 2017, arXiv:1706.03762), and a head."""

    width, heads = 128, 4

    def __init__(self) -> None:
        super().__init__()
        width = self.width
        self.embed = nn.Linear(24, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.grow, self.shrink = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.head = nn.Linear(width, 10)

    def split(self, x: Tensor) -> Tensor:
        return x.reshape(1, -1, self.heads, self.width // self.heads).permute(0, 2, 1, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        y = self.norms[0](x)
        query, key, value = self.split(self.query(y)), self.split(self.key(y)), self.split(self.value(y))
        weights = torch.softmax(query @ key.transpose(-1, -2) * (self.width // self.heads) ** -0.5, -1)
        mixed = (weights @ value).permute(0, 2, 1, 3).reshape(1, -1, self.width)
        x = x + self.out(mixed)
        x = x + self.shrink(nn.functional.gelu(self.grow(self.norms[1](x))))
        return cast(Tensor, self.head(x.mean(1)))


def _made(network: Callable[[], nn.Module], shape: tuple[int, ...]) -> tuple[nn.Module, tuple[Tensor]]:
    """Seeded, with the batch statistics of a few random batches."""
    torch.manual_seed(0)
    module = network().train()
    with torch.no_grad():
        for _ in range(20):
            module(torch.randn(1, *shape[1:]) if len(shape) == 3 else torch.randn(4, *shape[1:]))
    return module.eval(), (torch.zeros(shape),)


def cnn() -> tuple[nn.Module, tuple[Tensor]]:
    return _made(Cnn, (1, 3, 32, 32))


def unet() -> tuple[nn.Module, tuple[Tensor]]:
    return _made(UNet, (1, 3, 16, 16))


def encoder() -> tuple[nn.Module, tuple[Tensor]]:
    return _made(Encoder, (1, 16, 24))


NETWORKS = ("cnn", "unet", "encoder")


@dataclass(frozen=True)
class Pressed:
    """A network at a precision, ready to lower.

    Attributes:
        exact: the float program.
        program: the program to lower.
        feeds: samples, the ones it was calibrated on.
    """

    exact: Program
    program: Program
    feeds: list[dict[str, Array]]


@cache
def float_program(network: str) -> Program:
    """A network by name, simplified."""
    source = load_pytorch(f"{__name__}:{network}")
    return simplified(source.program, None, False)


def pressed(network: str, precision: str, spec: TargetSpec) -> Pressed:
    """Prepare a network for one target, calibrated on normally distributed samples."""
    exact = float_program(network)
    (name,) = exact.inputs
    rng = np.random.default_rng(0)
    shape = exact.type(name).shape
    feeds = [{name: rng.standard_normal(shape).astype(np.float32)} for _ in range(SAMPLES)]
    data = SimpleNamespace(
        samples=lambda count, seed: [SimpleNamespace(inputs=feed) for feed in feeds], size=SAMPLES
    )
    options = PressOptions(source=network, precision=precision, data="normal", rounding_steps=20)
    ready = prepare(exact, (spec,), options, cast(Dataset, data), Cache(None), Events())
    return Pressed(exact, ready.program, feeds)
