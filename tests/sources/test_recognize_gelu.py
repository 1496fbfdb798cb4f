"""A Gaussian error linear unit is one operator however it is written, and nothing else is one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pocketpress.sources.pytorch import export_module
from pocketpress.verify.reference import interpret

Written = Callable[[Tensor], Tensor]
EXACT: dict[str, Written] = {
    "bert": lambda x: x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0))),
    "half last": lambda x: x * (torch.erf(x * math.sqrt(0.5)) + 1) * 0.5,
    "divided": lambda x: x * (1 + (x / 1.4142135).erf()) / 2,
    "distribution": lambda x: (0.5 + 0.5 * torch.erf(x * 0.70710678)) * x,
}
TANH: dict[str, Written] = {
    "gpt": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3)))),
    "fast": lambda x: 0.5 * x * (1.0 + torch.tanh(x * 0.7978845608 * (1.0 + 0.044715 * x * x))),
}
OTHER: dict[str, Written] = {
    "another root": lambda x: x * 0.5 * (1.0 + torch.erf(x / 1.5)),
    "another half": lambda x: x * 0.4 * (1.0 + torch.erf(x / math.sqrt(2.0))),
    "cut": lambda x: torch.relu(x) * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0))),
    "tanh alone": lambda x: x * torch.tanh(x),
}


class _Network(nn.Module):
    def __init__(self, written: Written) -> None:
        super().__init__()
        self.written, self.layer = written, nn.Linear(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.written(self.layer(x) + x.sum())


def check(written: Written) -> list[str]:
    torch.manual_seed(0)
    network, x = _Network(written).eval(), 3 * torch.randn(4, 5)
    program = export_module(network, (x,), "network").program
    (found,) = interpret(program, {program.inputs[0]: x.numpy()}).values()
    with torch.no_grad():
        np.testing.assert_allclose(found, network(x).numpy(), atol=1e-5)
    return [node.op for node in program.nodes]


@pytest.mark.parametrize("written", EXACT.values(), ids=EXACT)
def test_the_exact_form(written: Written) -> None:
    ops = check(written)
    assert ops == ["linear", "mean", "mul", "add", "gelu", "reshape"]


@pytest.mark.parametrize("written", TANH.values(), ids=TANH)
def test_the_form_with_a_hyperbolic_tangent(written: Written) -> None:
    ops = check(written)
    assert ops == ["linear", "mean", "mul", "add", "gelu", "reshape"]


@pytest.mark.parametrize("written", OTHER.values(), ids=OTHER)
def test_what_gives_other_numbers_stays(written: Written) -> None:
    assert "gelu" not in check(written)


def test_numbers_may_be_buffers() -> None:
    half, root = torch.tensor([0.5]), torch.tensor(math.sqrt(2.0))
    ops = check(lambda x: x * half * (1.0 + torch.erf(x / root)))
    assert ops == ["linear", "mean", "mul", "add", "gelu", "reshape"]


def test_a_part_that_others_read_stays_too() -> None:
    def written(x: Tensor) -> Tensor:
        curve = torch.erf(x / math.sqrt(2.0))
        return x * 0.5 * (1.0 + curve) + curve

    ops = check(written)
    assert "gelu" in ops and "exp" in ops
