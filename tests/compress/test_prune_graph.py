"""What may be pruned: the signature never changes, and channels that do nothing change nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from examples.cifar.networks import UNTRAINED
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pocketpress.compress.prune.graph import find_units, output_shapes, remove_channels
from pocketpress.compress.prune.importance import channel_scores
from pocketpress.compress.prune.macs import count, parameters
from pocketpress.compress.prune.plan import make_plan
from pocketpress.core.errors import UserError

IMAGE = (torch.zeros(1, 3, 8, 8),)


class Residual(nn.Module):
    """A stem, a residual block, a concatenation, a flattening head, and a second output."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 12, 3, padding=1)
        self.back = nn.Conv2d(12, 8, 1)
        self.side = nn.Conv2d(8, 4, 1)
        self.mix = nn.Conv2d(12, 6, 1)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.hidden = nn.Linear(6 * 64, 16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.relu(self.norm(self.stem(x)))
        y = x + self.back(torch.relu(self.inner(x)))
        z = self.depthwise(self.mix(torch.cat([y, self.side(y)], 1)))
        hidden = torch.relu(self.hidden(z.flatten(1)))
        return self.head(hidden), y.mean((2, 3))


def seeded(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + 0.1)
    return network.eval()


def test_units_of_a_network_with_every_kind_of_coupling() -> None:
    found = find_units(seeded(Residual()), IMAGE)
    members = {frozenset((m.layer, m.side, m.each) for m in u.members): u.channels for u in found.units}
    assert members == {
        frozenset({("inner", "out", 1), ("back", "in", 1)}): 12,
        frozenset({("side", "out", 1), ("mix", "in", 1)}): 4,
        frozenset({("mix", "out", 1), ("depthwise", "out", 1), ("hidden", "in", 64)}): 6,
        frozenset({("hidden", "out", 1), ("head", "in", 1)}): 16,
    }
    assert len(found.skipped) == 2  # the residual stream is an output too, and so is the head
    assert {reason for _, reason in found.skipped} == {"its channels are the network's outputs"}


@pytest.mark.parametrize("name", sorted(UNTRAINED))
def test_pruning_never_changes_the_signature_and_saves_what_was_planned(name: str) -> None:
    network, image = UNTRAINED[name]().eval(), (torch.zeros(1, 3, 32, 32),)
    units = find_units(network, image).units
    cost = count(network, image)
    plan = make_plan(units, channel_scores(network, image, "magnitude"), cost, cost.macs / 2)
    smaller = remove_channels(network, image, dict(plan.removed))
    assert output_shapes(smaller, image) == output_shapes(network, image) == ((1, 10),)
    assert count(smaller, image).macs == plan.after <= cost.macs / 2
    assert plan.ratio < 2.2
    assert parameters(smaller) < parameters(network)
    assert all(p.requires_grad for p in smaller.parameters())


@settings(max_examples=10, deadline=None)
@given(st.sets(st.integers(0, 11), min_size=1, max_size=8), st.integers(0, 100))
def test_removing_channels_whose_output_is_unused_changes_nothing(dead: set[int], seed: int) -> None:
    network = seeded(Residual())
    with torch.no_grad():
        network.back.weight[:, sorted(dead)] = 0  # type: ignore[index,union-attr,operator]
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    smaller = remove_channels(network, IMAGE, {"inner": tuple(sorted(dead))})
    assert smaller.get_submodule("inner").out_channels == 12 - len(dead)
    for before, after in zip(network(x), smaller(x), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("channel", range(4))
def test_removing_works_through_concatenation_depthwise_and_flattening(channel: int) -> None:
    network = seeded(Residual())
    with torch.no_grad():
        network.mix.weight[:, 8 + channel] = 0  # type: ignore[index,operator,union-attr]
        network.hidden.weight.reshape(16, 6, 64)[:, channel] = 0  # type: ignore[operator,union-attr]
    x = torch.rand(2, 3, 8, 8)
    root = next(u.root for u in find_units(network, IMAGE).units if u.channels == 6)
    smaller = remove_channels(network, IMAGE, {"side": (channel,), root: (channel,)})
    depthwise, hidden = smaller.get_submodule("depthwise"), smaller.get_submodule("hidden")
    assert depthwise.groups == 5 and hidden.in_features == 320
    for before, after in zip(network(x), smaller(x), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-4)


class Uneven(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 4, 1)
        self.depthwise = nn.Conv2d(12, 12, 3, groups=12)
        self.last = nn.Conv2d(12, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.first(x), self.second(x)], 1)
        return self.last(self.depthwise(both))  # type: ignore[no-any-return]


def test_channels_tied_through_a_concatenation_are_left_alone() -> None:
    found = find_units(seeded(Uneven()), IMAGE)
    assert found.units == ()
    assert "a concatenation ties its channels to others channel by channel" in dict(found.skipped).values()


class Detector(nn.Module):
    """Boxes and scores of every place, side by side: (N, places, 4 + 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.boxes, self.scores = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        found = [head(x).flatten(2).transpose(1, 2) for head in (self.boxes, self.scores)]
        return torch.cat([found[0].exp(), found[1].sigmoid()], 2)


def test_a_detection_head_is_left_alone_and_what_leads_to_it_is_scored() -> None:
    network = seeded(Detector())
    found = find_units(network, IMAGE)
    assert [u.root for u in found.units] == ["first"]
    scores = channel_scores(network, IMAGE, "magnitude", roots={"first"})
    assert scores["first"].shape == (16,)


class Reshaping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 1)
        self.second = nn.Conv2d(8, 8, 1)
        self.last = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x)).view(-1, 8, 64).view(-1, 8, 8, 8)
        return self.last(torch.relu(self.second(x)))  # type: ignore[no-any-return]


def test_a_hard_coded_shape_is_left_alone_with_the_reason() -> None:
    found = find_units(seeded(Reshaping()), IMAGE)
    assert [u.root for u in found.units] == ["second"]
    assert "fails" in dict(found.skipped)["first"]


def test_grouped_convolutions_and_single_channels_are_left_alone() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1, groups=2), nn.Conv2d(8, 1, 1), nn.ReLU(), nn.Conv2d(1, 2, 1)
    )
    found = find_units(seeded(network), IMAGE)
    reasons = dict(found.skipped)
    assert found.units == ()
    assert "grouped convolution" in reasons["0"] and "one channel" in reasons["2"]
    with pytest.raises(UserError, match="no channels to prune"):
        make_plan(found.units, {}, count(network, IMAGE), 1)


class Untraceable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)

    def forward(self, x: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError("no\ngradients here")
        return self.conv(x)


def test_an_unprunable_graph_is_one_line() -> None:
    with pytest.raises(UserError, match="cannot be followed: got RuntimeError: no gradients here"):
        find_units(seeded(Untraceable()), IMAGE)
