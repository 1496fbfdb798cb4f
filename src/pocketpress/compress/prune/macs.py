"""Multiply-accumulates of a live network, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

COUNTED = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Linear)


@dataclass(frozen=True)
class LayerCost:
    """What a layer costs, as a product of its widths.

    Attributes:
        macs: multiply-accumulates of one inference with the example inputs.
        inputs: input channels.
        outputs: output channels.
        depthwise: one filter a channel: the cost follows the output channels alone.
    """

    macs: int
    inputs: int
    outputs: int
    depthwise: bool = False

    def at(self, inputs: int, outputs: int) -> int:
        """Multiply-accumulates of the same layer with other widths."""
        if self.depthwise:
            return self.macs * outputs // self.outputs
        return self.macs * inputs * outputs // (self.inputs * self.outputs)


@dataclass(frozen=True)
class NetworkCost:
    """Costs of all layers, and of what no layer owns (matrix products written in ``forward``)."""

    layers: Mapping[str, LayerCost]
    fixed: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return self.fixed + sum(layer.macs for layer in self.layers.values())


def count(network: nn.Module, examples: tuple[Any, ...]) -> NetworkCost:
    """Run the example once and count; a layer that runs several times counts each time."""
    modules = network.named_modules()
    names: dict[nn.Module, str] = {m: name for name, m in modules if isinstance(m, COUNTED)}
    counted: dict[str, int] = {}

    def hook(module: nn.Module, given: Any, output: Tensor) -> None:
        counted[names[module]] = counted.get(names[module], 0) + _macs(module, given[0], output)

    handles = [module.register_forward_hook(hook) for module in names]
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as flops:
            network(*examples)
    finally:
        for handle in handles:
            handle.remove()
    layers = {name: _cost(network.get_submodule(name), macs) for name, macs in counted.items()}
    own = sum(counted.values())
    return NetworkCost(layers, max(0, flops.get_total_flops() // 2 - own))


def _macs(module: nn.Module, given: Tensor, output: Tensor) -> int:
    weight = module.weight
    assert isinstance(weight, Tensor)
    if isinstance(module, nn.Linear):
        return output.numel() * weight.shape[1]
    if isinstance(module, (nn.ConvTranspose1d, nn.ConvTranspose2d)):
        return given.numel() * weight[0].numel()
    return output.numel() * weight[0].numel()


def _cost(module: nn.Module, macs: int) -> LayerCost:
    if isinstance(module, nn.Linear):
        return LayerCost(macs, module.in_features, module.out_features)
    assert isinstance(module, (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d))
    depthwise = module.groups == module.out_channels == module.in_channels
    return LayerCost(macs, module.in_channels, module.out_channels, depthwise)


def parameters(network: nn.Module) -> int:
    """Number of trained numbers."""
    return sum(p.numel() for p in network.parameters())
