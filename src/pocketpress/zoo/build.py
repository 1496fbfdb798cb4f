"""From a name to a live network."""

from __future__ import annotations

import importlib

import torch
from torch import Tensor, nn

from pocketpress.zoo.cards import TEXT
from pocketpress.zoo.names import Choice

NOISE_CELLS = (2, 7, 28)
"""Patches a side that `settle` draws noise in, coarse and fine."""
SETTLING_SAMPLES = 4


def build(choice: Choice, seed: int = 0) -> nn.Module:
    """The network with seeded random weights, in evaluation mode."""
    module, _, name = choice.card.factory.partition(":")
    factory = getattr(importlib.import_module(f"pocketpress.zoo.{module}"), name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = factory(choice.width, choice.size, choice.classes)
    return network.eval()


def example(choice: Choice) -> Tensor:
    """An input: pixels in [0, 1], a spectrum, or indices of word pieces."""
    if choice.card.task == TEXT:
        return torch.arange(choice.size)[None] + 1
    count = torch.Size(choice.shape).numel()
    return torch.linspace(0, 1, count).reshape(choice.shape)


def noise(choice: Choice, count: int, seed: int = 0) -> Tensor:
    """Inputs of the right shape without meaning, smooth as pictures are; shape (count, ...)."""
    generator = torch.Generator().manual_seed(seed)
    shape = choice.shape[1:]
    if choice.card.task == TEXT:
        return torch.randint(1, 1000, (count, *shape), generator=generator)
    if len(shape) != 3:
        return torch.rand(count, *shape, generator=generator)
    layers = [
        nn.functional.interpolate(
            torch.rand(count, shape[0], cells, cells, generator=generator), shape[1:], mode="bilinear"
        )
        for cells in NOISE_CELLS
    ]
    return torch.stack(layers).mean(0)


def settle(network: nn.Module, choice: Choice) -> nn.Module:
    """Give an untrained network the batch-norm statistics of noise, so that activations do not fade.

    The weights stay random: good for latency and size, and for nothing else.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    if norms:
        for norm in norms:
            norm.momentum = None
        with torch.no_grad():
            network.train()(noise(choice, SETTLING_SAMPLES))
        for norm in norms:
            norm.momentum = 0.1
    return network.eval()
