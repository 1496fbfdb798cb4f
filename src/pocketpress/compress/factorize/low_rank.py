"""Replace a layer by a chain of thinner ones, where that saves work.

* Linear and 1x1 convolutions: W = U S V^T by the singular value decomposition (Denil et al., 2013;
  Eckart-Young: the best rank-r approximation), as two layers x -> S V^T -> U.
* kxk convolutions: Tucker-2 (Kim et al., "Compression of Deep Convolutional Neural Networks for Fast and Low
  Power Mobile Applications", ICLR 2016, arXiv:1511.06530, eq. (3)): a 1x1 into r_in channels, a kxk core,
  a 1x1 out of r_out.  The bases are those of the higher-order singular value decomposition.

The rank is the least that keeps the asked share of the energy (squared singular values), rounded up to a
multiple of `ALIGN`.  The error of the layer's weights is then at most the square root of what is left.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pocketpress.compress.prune.macs import count
from pocketpress.core.errors import UserError

ALIGN = 4


@dataclass(frozen=True)
class Factor:
    """One layer's factorisation.

    Attributes:
        layer: name.
        ranks: (r,) of a matrix, (r_in, r_out) of a Tucker-2 core.
        macs: multiply-accumulates before and after.
        parameters: weights before and after.
    """

    layer: str
    ranks: tuple[int, ...]
    macs: tuple[int, int]
    parameters: tuple[int, int]


@dataclass(frozen=True)
class FactorPlan:
    """Layers to factorise, and those left alone with the reason."""

    factors: tuple[Factor, ...]
    skipped: tuple[tuple[str, str], ...]


def energy_rank(values: Tensor, energy: float) -> int:
    """Least r with sum_{i<=r} s_i^2 >= energy * sum s_i^2.

    Args:
        values: singular values, descending, (n,).
        energy: between 0 and 1.
    """
    power = values.double() ** 2
    share = power.cumsum(0) / power.sum().clamp_min(1e-30)
    return min(len(values), int((share < energy - 1e-12).sum()) + 1)


def plan_low_rank(network: nn.Module, examples: tuple[Any, ...], energy: float) -> FactorPlan:
    """Choose the layers that win both multiply-accumulates and weights.

    Raises:
        UserError: ``energy`` is not between 0 and 1.
    """
    if not 0 < energy < 1:
        raise UserError("not a share of the energy", got=energy, allowed="between 0 and 1, as 0.9")
    costs = count(network, examples).layers
    factors, skipped = [], []
    for name, cost in costs.items():
        module = network.get_submodule(name)
        if not isinstance(module, (nn.Linear, nn.Conv2d)):
            continue
        if isinstance(module, nn.Conv2d) and module.groups != 1:
            continue
        ranks = _ranks(module, energy)
        before = module.weight.numel()
        after = _weights(module, ranks)
        places = cost.macs // before
        macs = _macs(module, ranks, cost.macs, places)
        if macs < cost.macs and after < before:
            factors.append(Factor(name, ranks, (cost.macs, macs), (before, after)))
        else:
            asked = "rank " + " x ".join(map(str, ranks))
            skipped.append((name, f"{asked} keeps the energy and saves nothing"))
    return FactorPlan(tuple(factors), tuple(skipped))


def apply_low_rank(network: nn.Module, plan: FactorPlan) -> nn.Module:
    """A copy of the network with the layers of the plan replaced."""
    thinner = copy.deepcopy(network)
    for factor in plan.factors:
        module = thinner.get_submodule(factor.layer)
        assert isinstance(module, (nn.Linear, nn.Conv2d))
        chain = factorised(module, factor.ranks)
        if not factor.layer:
            return chain
        parent, _, own = factor.layer.rpartition(".")
        setattr(thinner.get_submodule(parent), own, chain)
    return thinner


@torch.no_grad()
def factorised(module: nn.Linear | nn.Conv2d, ranks: tuple[int, ...]) -> nn.Sequential:
    """The chain of thinner layers that stands for one layer."""
    if len(ranks) == 1:
        return _matrix_chain(module, ranks[0])
    assert isinstance(module, nn.Conv2d)
    return _tucker_chain(module, ranks[0], ranks[1])


def _matrix_chain(module: nn.Linear | nn.Conv2d, rank: int) -> nn.Sequential:
    u, s, vh = torch.linalg.svd(module.weight.double().flatten(1), full_matrices=False)
    first, second = (s[:rank].sqrt()[:, None] * vh[:rank]), u[:, :rank] * s[:rank].sqrt()
    biased = module.bias is not None
    if isinstance(module, nn.Linear):
        down: nn.Module = nn.Linear(module.in_features, rank, bias=False)
        up: nn.Module = nn.Linear(rank, module.out_features, bias=biased)
    else:
        stride = (module.stride[0], module.stride[1])
        down = nn.Conv2d(module.in_channels, rank, 1, stride, bias=False)
        up = nn.Conv2d(rank, module.out_channels, 1, bias=biased)
    return _filled([(down, first), (up, second)], module.bias)


def _tucker_chain(module: nn.Conv2d, rank_in: int, rank_out: int) -> nn.Sequential:
    weight = module.weight.double()
    basis_out = torch.linalg.svd(weight.flatten(1), full_matrices=False)[0][:, :rank_out]
    basis_in = torch.linalg.svd(weight.transpose(0, 1).flatten(1), full_matrices=False)[0][:, :rank_in]
    core = torch.einsum("oikl,or,is->rskl", weight, basis_out, basis_in)
    down = nn.Conv2d(module.in_channels, rank_in, 1, bias=False)
    middle = nn.Conv2d(
        rank_in,
        rank_out,
        module.kernel_size,  # type: ignore[arg-type]
        module.stride,  # type: ignore[arg-type]
        module.padding,  # type: ignore[arg-type]
        module.dilation,  # type: ignore[arg-type]
        bias=False,
        padding_mode=module.padding_mode,
    )
    up = nn.Conv2d(rank_out, module.out_channels, 1, bias=module.bias is not None)
    return _filled([(down, basis_in.T), (middle, core), (up, basis_out)], module.bias)


def _filled(parts: list[tuple[nn.Module, Tensor]], bias: Tensor | None) -> nn.Sequential:
    for module, values in parts:
        weight = module.weight
        assert isinstance(weight, Tensor)
        weight.copy_(values.reshape(weight.shape))
    last = parts[-1][0]
    if bias is not None:
        assert isinstance(last.bias, Tensor)
        last.bias.copy_(bias)
    return nn.Sequential(*(module for module, _ in parts)).eval()


def _ranks(module: nn.Linear | nn.Conv2d, energy: float) -> tuple[int, ...]:
    weight = module.weight.detach().double()

    def rank(matrix: Tensor) -> int:
        found = energy_rank(torch.linalg.svdvals(matrix), energy)
        return int(min(-(-found // ALIGN) * ALIGN, *matrix.shape))

    if isinstance(module, nn.Linear) or _pointwise(module):
        return (rank(weight.flatten(1)),)
    return (rank(weight.transpose(0, 1).flatten(1)), rank(weight.flatten(1)))


def _pointwise(module: nn.Conv2d) -> bool:
    return tuple(module.kernel_size) == (1, 1) and module.padding in ((0, 0), "valid", "same")


def _weights(module: nn.Linear | nn.Conv2d, ranks: tuple[int, ...]) -> int:
    outputs, inputs = module.weight.shape[:2]
    if len(ranks) == 1:
        return ranks[0] * (inputs + outputs)
    taps = module.weight[0, 0].numel()
    return inputs * ranks[0] + ranks[0] * ranks[1] * taps + ranks[1] * outputs


def _macs(module: nn.Linear | nn.Conv2d, ranks: tuple[int, ...], before: int, places: int) -> int:
    """Places are output positions; a strided convolution's first 1x1 runs at all input positions."""
    outputs, inputs = module.weight.shape[:2]
    if len(ranks) == 1:
        return places * ranks[0] * (inputs + outputs)
    assert isinstance(module, nn.Conv2d)
    taps = module.weight[0, 0].numel()
    stride = module.stride[0] * module.stride[1]
    return places * (stride * inputs * ranks[0] + ranks[0] * ranks[1] * taps + ranks[1] * outputs)
