"""Inputs synthesised from batch-norm statistics: moments by hand, descent, determinism."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pocketpress.compress.synthesize.batch_norm import BatchNormNetwork, Layer, Moments
from pocketpress.compress.synthesize.inputs import BATCH, InputSpace, batches, synthesize, total_variation

UNIT = (np.zeros((1, 3, 1, 1), np.float32), np.ones((1, 3, 1, 1), np.float32))


def exported(module: nn.Module, *examples: Tensor) -> torch.export.ExportedProgram:
    return torch.export.export(module.eval(), examples)


def remembering(norm: Any, mean: float, var: float) -> Any:
    norm.running_mean.fill_(mean)
    norm.running_var.fill_(var)
    return norm


class TwoLayers(nn.Module):
    """y = norm2(2 norm1(x)) of one channel; norm1 has weight 3 and bias 1."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = remembering(nn.BatchNorm2d(1, eps=0), 2, 4)
        self.conv = nn.Conv2d(1, 1, 1, bias=False)
        self.norm2 = remembering(nn.BatchNorm2d(1, eps=0), 6, 9)
        with torch.no_grad():
            self.norm1.weight.fill_(3)
            self.norm1.bias.fill_(1)
            self.conv.weight.fill_(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm2(self.conv(self.norm1(x)))  # type: ignore[no-any-return]


class Small(nn.Module):
    """Two convolutions, an addition and activations in place."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(6) for _ in range(2))
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norms[0](self.first(x)))
        y = self.second(x)
        y += x
        y = self.relu(self.norms[1](y))
        return self.head(y.mean((2, 3)).view(1 if y.shape[0] == 1 else -1, 6))  # type: ignore[no-any-return]


def trained() -> Small:
    """Statistics of smooth pictures, as training would leave them."""
    module = Small().train()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _ in range(60):
            coarse = torch.rand(32, 3, 3, 3, generator=generator)
            module(nn.functional.interpolate(coarse, size=8, mode="bilinear"))
    return module.eval()


@pytest.mark.parametrize("decomposed", [False, True])
def test_distances_of_two_layers_by_hand(decomposed: bool) -> None:
    program = exported(TwoLayers(), torch.zeros(1, 1, 1, 2))
    network = BatchNormNetwork(program.run_decompositions() if decomposed else program)
    batch = torch.tensor([[1.0, 3.0], [5.0, 7.0]]).reshape(2, 1, 1, 1, 2)
    first, second = network.moments({"x": batch})
    assert (first.mean.item(), first.var.item()) == (4, 5)
    # norm1 gives 1.5 x - 2, the convolution 3 x - 4: mean 8, variance 45
    assert second.mean.item() == pytest.approx(8) and second.var.item() == pytest.approx(45)
    by_hand = [
        math.sqrt(((4 - 2) ** 2 / 4 + (math.sqrt(5) / 2 - 1) ** 2) / 2),
        math.sqrt(((8 - 6) ** 2 / 9 + (math.sqrt(45) / 3 - 1) ** 2) / 2),
    ]
    assert network.distances({"x": batch}).tolist() == pytest.approx(by_hand)


def test_a_layer_that_sees_what_it_remembers_is_at_distance_zero() -> None:
    moments = Moments(torch.tensor([1.0, -2.0]), torch.tensor([4.0, 0.25]))
    layer = Layer("norm", moments, 1e-5)
    assert layer.distance(moments).item() < 1e-5
    off = Moments(moments.mean + torch.sqrt(moments.var + 1e-5), moments.var)
    assert layer.distance(off).item() == pytest.approx(math.sqrt(0.5))  # one sigma in mean, none in spread


def test_moments_are_those_of_the_module_on_a_true_batch() -> None:
    module = trained()
    seen: list[Tensor] = []
    for norm in module.norms:
        norm.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().clone()))
    batch = torch.rand(5, 3, 8, 8)
    program = exported(trained(), torch.zeros(1, 3, 8, 8))
    found = BatchNormNetwork(program).moments({"x": batch[:, None]})
    module(batch)
    assert len(found) == len(seen) == 2
    for moments, value in zip(found, seen, strict=True):
        torch.testing.assert_close(moments.mean, value.mean((0, 2, 3)))
        torch.testing.assert_close(moments.var, value.var((0, 2, 3), correction=0))


def test_layers_and_inputs_are_read_from_the_graph() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = remembering(nn.BatchNorm1d(2, eps=1e-3), 0.5, 3)

        def forward(self, used: Tensor, beside: Tensor) -> Tensor:
            return self.norm(used) + beside  # type: ignore[no-any-return]

    network = BatchNormNetwork(exported(Two(), torch.zeros(1, 2), torch.zeros(1, 2)))
    assert network.inputs == ("used", "beside") and network.reaching == ("used",)
    (layer,) = network.layers
    assert layer.remembered.mean.tolist() == [0.5, 0.5] and layer.remembered.var.tolist() == [3, 3]
    assert layer.eps == 1e-3


def test_reading_leaves_the_program_alone() -> None:
    program = exported(trained(), torch.zeros(1, 3, 8, 8))
    x = torch.rand(1, 3, 8, 8)
    before = program.module()(x)
    network = BatchNormNetwork(program)
    inputs = torch.rand(2, 1, 3, 8, 8, requires_grad=True)
    network.distances({"x": inputs}).sum().backward()
    assert inputs.grad is not None and bool(inputs.grad.any())
    assert all(p.grad is None for p in program.parameters())
    assert torch.equal(program.module()(x), before)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 1000))
def test_batches_are_even_and_complete(samples: int) -> None:
    sizes = batches(samples)
    assert sum(sizes) == samples and max(sizes) <= BATCH and max(sizes) - min(sizes) <= 1


def test_total_variation_by_hand() -> None:
    picture = torch.tensor([[0.0, 1.0], [3.0, 3.0]]).reshape(1, 1, 1, 2, 2)
    # height: |3 - 0| and |3 - 1|, mean 2.5; width: |1 - 0| and |3 - 3|, mean 0.5
    assert total_variation(picture, (2, 3)).item() == 3.0
    assert total_variation(torch.ones(1, 1, 1, 1, 1), (2, 3)).item() == 0.0


def space(**changes: Any) -> InputSpace:
    low, high = UNIT
    facts = {"bounded": True, "pixels": True, "sides": (2, 3)} | changes
    return InputSpace((1, 3, 8, 8), low, high, **facts)


def test_descent_brings_the_statistics_near() -> None:
    network = BatchNormNetwork(exported(trained(), torch.zeros(1, 3, 8, 8)))
    steps: list[int] = []
    made = synthesize(network, {"x": space()}, 40, 0, steps=50, advance=lambda: steps.append(1))
    assert len(steps) == 100  # two batches of 20
    assert made.inputs["x"].shape == (40, 1, 3, 8, 8) and made.layers == 2
    assert made.distance < made.start / 4 and made.distance <= made.worst
    values = made.inputs["x"]
    assert values.min() >= 0 and values.max() <= 1
    np.testing.assert_array_equal(np.rint(values * 255) / np.float32(255), values)
    given = {"x": torch.from_numpy(values)}
    assert float(network.distances(given).mean()) == pytest.approx(made.distance, rel=1e-5)


def test_the_same_seed_makes_the_same_inputs_and_another_others() -> None:
    network = BatchNormNetwork(exported(trained(), torch.zeros(1, 3, 8, 8)))
    made = [synthesize(network, {"x": space()}, 6, seed, steps=5).inputs["x"] for seed in (3, 3, 4)]
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any()


def test_unbounded_inputs_leave_the_guessed_range() -> None:
    module = TwoLayers()  # wants inputs of mean 2, far above the guess
    network = BatchNormNetwork(exported(module, torch.zeros(1, 1, 1, 2)))
    guess = InputSpace((1, 1, 1, 2), -np.full(1, 0.5, np.float32), np.full(1, 0.5, np.float32), bounded=False)
    made = synthesize(network, {"x": guess}, 32, 0, steps=80)
    assert made.inputs["x"].max() > 1 and made.distance < made.start
