"""Trained networks with channel ranges up to 1:1000, made so by hand without changing what they compute.

ReLU and addition are positively homogeneous: a channel multiplied by s before them and divided by s in the
weights of whatever reads it leaves the network's function as it was (Nagel et al. 2019, arXiv:1906.04721,
eq. (5)-(7), run backwards).  A grid of 256 steps for a whole tensor then has less than one step left for the
smallest channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from examples.cifar.networks import Pressable, mobilenet_v2, resnet8
from torch import Tensor, nn

from pocketpress.zoo.mobilenet_v2 import InvertedResidual, MobileNetV2
from pocketpress.zoo.resnet import BasicBlock

SPAN = 1000.0
"""Largest over smallest factor."""


def factors(channels: int, generator: torch.Generator) -> Tensor:
    """Positive factors, log-uniform from 1/sqrt(SPAN) to sqrt(SPAN), both ends there; shape (channels,)."""
    spread = torch.linspace(-0.5, 0.5, channels)[torch.randperm(channels, generator=generator)]
    return torch.tensor(SPAN) ** spread


def resnet8_rescaled() -> Pressable:
    """The shipped ResNet-8; the channels between the two convolutions of every block differ by 1:1000."""
    network, examples = resnet8()
    generator = torch.Generator().manual_seed(0)
    for block in (m for m in network.modules() if isinstance(m, BasicBlock)):
        _, norm, _, second, _ = block.block
        scale = factors(norm.num_features, generator)
        _multiply(norm, scale)
        _divide(second, scale)
    return network.eval(), examples


def mobilenet_v2_rescaled() -> Pressable:
    """The shipped MobileNetV2; the channels of every bottleneck, sums included, differ by 1:1000."""
    network, examples = mobilenet_v2()
    assert isinstance(network, MobileNetV2)
    generator = torch.Generator().manual_seed(0)
    blocks = [m for m in network.features if isinstance(m, InvertedResidual)]
    closing = next(m for m in reversed(list(network.features)) if isinstance(m, nn.Conv2d))
    for stream in _streams(blocks):
        last = blocks[stream[-1]]
        scale = factors(last.block[-1].num_features, generator)
        for index in stream:
            _multiply(blocks[index].block[-1], scale)
        for index in (*stream[1:], stream[-1] + 1):
            _divide(blocks[index].block[0] if index < len(blocks) else closing, scale)
    return network.eval(), examples


def _streams(blocks: Sequence[InvertedResidual]) -> list[list[int]]:
    """Consecutive blocks whose outputs are added to one another."""
    streams: list[list[int]] = []
    for index, block in enumerate(blocks):
        if block.adds_input and streams:
            streams[-1].append(index)
        else:
            streams.append([index])
    return streams


@torch.no_grad()
def _multiply(norm: nn.Module, scale: Tensor) -> None:
    assert isinstance(norm, nn.BatchNorm2d)
    norm.weight.mul_(scale)
    norm.bias.mul_(scale)


@torch.no_grad()
def _divide(conv: nn.Module, scale: Tensor) -> None:
    assert isinstance(conv, nn.Conv2d) and conv.groups == 1
    conv.weight.div_(scale.reshape(1, -1, 1, 1))
