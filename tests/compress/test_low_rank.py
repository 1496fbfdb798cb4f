"""Low-rank factorisation: ranks by hand, exactness at full rank, and only where it wins."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pocketpress.compress.factorize.low_rank import (
    apply_low_rank,
    energy_rank,
    factorised,
    plan_low_rank,
)
from pocketpress.compress.prune.macs import count, parameters
from pocketpress.core.errors import UserError


def test_rank_by_energy() -> None:
    """Squares 9, 4, 1, 0: shares 9/14, 13/14, 1."""
    values = torch.tensor([3.0, 2.0, 1.0, 0.0])
    assert [energy_rank(values, e) for e in (0.6, 0.65, 0.92, 0.93, 0.999)] == [1, 2, 2, 3, 3]


def low_rank_conv(rank: int, kernel: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    """A convolution of 16 to 24 channels whose weight has that rank along inputs and outputs."""
    generator = torch.Generator().manual_seed(0)
    conv = nn.Conv2d(16, 24, kernel, stride, kernel // 2, bias=bias)
    out, in_ = (torch.randn(n, rank, generator=generator) for n in (24, 16))
    core = torch.randn(rank, rank, kernel, kernel, generator=generator)
    with torch.no_grad():
        conv.weight.copy_(torch.einsum("or,is,rskl->oikl", out, in_, core))
    return conv.eval()


@pytest.mark.parametrize(
    ("kernel", "stride", "bias"), [(1, 1, True), (1, 2, False), (3, 1, True), (3, 2, False)]
)
def test_a_layer_of_low_rank_is_found_and_kept_exactly(kernel: int, stride: int, bias: bool) -> None:
    network = nn.Sequential(low_rank_conv(4, kernel, stride, bias), nn.ReLU())
    x = torch.rand(2, 16, 12, 12)
    plan = plan_low_rank(network, (x[:1],), 0.9999)
    assert plan.factors[0].ranks == ((4,) if kernel == 1 else (4, 4))
    thinner = apply_low_rank(network, plan)
    torch.testing.assert_close(thinner(x), network(x), rtol=1e-4, atol=1e-3)
    before, after = count(network, (x[:1],)).macs, count(thinner, (x[:1],)).macs
    assert plan.factors[0].macs == (before, after) and after < before
    assert plan.factors[0].parameters[1] == parameters(thinner) - (24 if bias else 0)
    assert all(isinstance(m, nn.Conv2d) for m in network.children() if not isinstance(m, nn.ReLU))


def test_a_linear_layer_by_hand() -> None:
    """A rank-1 matrix u v^T of 8 x 8: 64 weights become 8 * 4 + 4 * 8 at rank 4, which saves nothing."""
    layer = nn.Linear(8, 8, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.outer(torch.arange(1.0, 9), torch.ones(8)))
    plan = plan_low_rank(nn.Sequential(layer), (torch.zeros(1, 8),), 0.9)
    assert plan.factors == () and plan.skipped == (("0", "rank 4 keeps the energy and saves nothing"),)
    chain = factorised(layer, (1,))
    x = torch.rand(3, 8)
    torch.testing.assert_close(chain(x), layer(x), rtol=1e-5, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.3, 0.99), st.integers(0, 100))
def test_the_error_is_what_the_energy_leaves(energy: float, seed: int) -> None:
    """Eckart-Young: ||W - W_r||^2 is the energy that was cut, at most 1 - energy."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(24, 16, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(16, 24, generator=generator))
    values = torch.linalg.svdvals(layer.weight.detach().double())
    rank = energy_rank(values, energy)
    down, up = factorised(layer, (rank,))
    rest = (up.weight.double() @ down.weight.double() - layer.weight.double()).pow(2).sum()
    torch.testing.assert_close(rest, values[rank:].pow(2).sum(), rtol=1e-3, atol=1e-6)
    assert rest <= (1 - energy) * values.pow(2).sum() + 1e-6


def test_full_rank_and_grouped_layers_are_left_alone() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 3)).eval()
    plan = plan_low_rank(network, (torch.zeros(1, 8, 9, 9),), 0.999)
    assert plan.factors == () and [name for name, _ in plan.skipped] == ["1"]


@pytest.mark.parametrize("energy", [0.0, 1.0, 1.5, -1.0])
def test_not_a_share(energy: float) -> None:
    with pytest.raises(UserError, match="not a share of the energy"):
        plan_low_rank(nn.Sequential(nn.Linear(2, 2)), (torch.zeros(1, 2),), energy)
