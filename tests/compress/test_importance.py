"""Scores of channels, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pocketpress.compress.prune.importance import IMPORTANCES, channel_scores
from pocketpress.core.errors import UserError

EXAMPLE = (torch.zeros(1, 2),)


def two_layers() -> nn.Sequential:
    """Hidden values (1 x0, 2 x1), output 3 h0 + 4 h1."""
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 0], [0, 2.0]]))
        network[1].weight.copy_(torch.tensor([[3.0, 4.0]]))
    return network.eval()


def total(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs[:, 0] * targets).mean()


def batches() -> list[tuple[tuple[Tensor, ...], Tensor]]:
    return [
        ((torch.tensor([[1.0, 1.0]]),), torch.tensor([1.0])),
        ((torch.tensor([[1.0, 1.0]]),), torch.tensor([3.0])),
    ]


def test_magnitude_sums_the_squares_of_all_coupled_layers() -> None:
    """Channel 0: 1^2 and 3^2; channel 1: 2^2 and 4^2; halves (mean of two layers), over their mean."""
    scores = channel_scores(two_layers(), EXAMPLE, "magnitude")["0"]
    np.testing.assert_allclose(scores, np.array([5.0, 10.0]) / 7.5)


def test_taylor_is_weight_times_mean_gradient() -> None:
    """dy/dw0 = 3 and 4 (times h), dy/dw1 = h = 1 and 2; |w g| = 3 and 8 in both layers; mean target 2."""
    scores = channel_scores(two_layers(), EXAMPLE, "taylor", batches(), total)["0"]
    np.testing.assert_allclose(scores, [6.0, 16.0])


def test_hessian_is_squared_weight_times_mean_squared_gradient_of_all_samples() -> None:
    """Targets 1 and 3: E[t^2] = 5, so (3^2, 8^2) * 5."""
    scores = channel_scores(two_layers(), EXAMPLE, "hessian", batches(), total)["0"]
    np.testing.assert_allclose(scores, [45.0, 320.0])


def test_batch_norm_scale() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1)).eval()
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([1.0, -2.0, 3.0]))
    scores = channel_scores(network, (torch.zeros(1, 1, 4, 4),), "bn-scale")
    np.testing.assert_allclose(scores["0"], [0.5, 1.0, 1.5])
    assert set(scores) == {"0"}


@pytest.mark.parametrize("importance", IMPORTANCES)
def test_the_network_is_left_as_it_was(importance: str) -> None:
    network = two_layers()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    channel_scores(network, EXAMPLE, importance, batches(), total)
    assert all(p.grad is None for p in network.parameters()) and not network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_loss_based_importance_without_labels() -> None:
    with pytest.raises(UserError, match="taylor needs labelled data; give --finetune data"):
        channel_scores(two_layers(), EXAMPLE, "taylor")
    with pytest.raises(UserError, match="unknown importance: got gut-feeling; allowed: magnitude"):
        channel_scores(two_layers(), EXAMPLE, "gut-feeling")
