"""Masks: W_ij = 0 where pruned."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pocketpress.compress.prune.masks import MaskRule, apply_masks, make_mask, parse_mask, sparsity
from pocketpress.core.errors import UserError


def test_two_of_four_by_hand() -> None:
    weight = torch.tensor([[1.0, -5.0, 3.0, 0.5, 2.0, 2.5, -0.1, 0.2, 9.0]])
    mask = make_mask(weight, parse_mask("2:4"))
    assert mask.tolist() == [[0, 1, 1, 0, 1, 1, 0, 0, 1]]  # the ninth has no three neighbours and stays


def test_neighbours_are_inputs_of_one_filter_tap() -> None:
    weight = torch.zeros(1, 4, 1, 2)
    weight[0, :, 0, 0] = torch.tensor([1.0, 2, 3, 4])
    weight[0, :, 0, 1] = torch.tensor([4.0, 3, 2, 1])
    mask = make_mask(weight, parse_mask("1:4"))
    assert mask[0, :, 0, 0].tolist() == [0, 0, 0, 1] and mask[0, :, 0, 1].tolist() == [1, 0, 0, 0]


def test_a_share_of_each_layer() -> None:
    assert make_mask(torch.tensor([[1.0, -4.0], [3.0, -2.0]]), parse_mask("50%")).tolist() == [[0, 1], [1, 0]]


@given(st.integers(1, 7), st.integers(1, 20), st.integers(1, 5), st.integers(0, 99))
def test_every_block_keeps_exactly_its_largest(keep: int, blocks: int, rows: int, seed: int) -> None:
    weight = torch.randn(rows, blocks * 8, generator=torch.Generator().manual_seed(seed))
    mask = make_mask(weight, MaskRule(keep=keep, of=8))
    grouped, sizes = mask.reshape(rows, blocks, 8), weight.abs().reshape(rows, blocks, 8)
    assert (grouped.sum(-1) == keep).all()
    assert ((sizes + (1 - grouped) * 1e9).min(-1).values >= (sizes * (1 - grouped)).max(-1).values).all()


def test_a_network_keeps_its_depthwise_layers() -> None:
    network = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1))
    masks = apply_masks(network, parse_mask("2:4"))
    assert set(masks) == {"0.weight", "2.weight"}
    total, masked = 576 + 72 + 32, (576 + 32) // 2
    assert sparsity(network) == pytest.approx(masked / total)


@pytest.mark.parametrize("text", ["4:2", "0:4", "2:2", "0%", "100%", "half", "2-4", ""])
def test_not_a_mask(text: str) -> None:
    with pytest.raises(UserError, match=r"not a mask: got .*allowed: 50%, 2:4"):
        parse_mask(text)


def test_nothing_to_mask() -> None:
    with pytest.raises(UserError, match="no weights to mask"):
        apply_masks(nn.Sequential(nn.ReLU()), parse_mask("50%"))
