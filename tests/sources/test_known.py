"""Branches and sizes that depend on constants alone are exported; those that depend on the input are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketpress.core.errors import SourceError
from pocketpress.sources.pytorch import export_module
from pocketpress.verify.reference import interpret

IMAGE = (1, 3, 4, 6)
OUTSIDE = torch.zeros(2)


class Wrapped(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def normalized(x: Tensor) -> Tensor:
    """As image libraries do it."""
    std = torch.as_tensor([0.2, 0.5, 0.25], dtype=x.dtype, device=x.device)
    if (std == 0).any():
        raise ValueError("division by zero")
    return x / std.view(-1, 1, 1)


def resized(x: Tensor) -> Tensor:
    size = (torch.tensor(x.shape[-2:]).float() * 1.5).floor().int()
    return F.interpolate(x, size=(int(size[0]), int(size[1])))


def twice_the_size(x: Tensor) -> Tensor:
    return F.interpolate(x, size=(torch.tensor(x.shape[-2:]) * 2).tolist())


def by_strides(x: Tensor) -> Tensor:
    for stride in torch.tensor([8.0, 16.0]):
        x = x + int(stride)
    return x


def written_constants(x: Tensor) -> Tensor:
    kept = torch.ones(2, 2)
    kept[0, 0] = 0
    column = kept.reshape(4, 1)
    column += 1
    torch.add(kept, 2, out=kept)
    return x * 2 if kept[0, 0] == 3 and 4 in kept else x


def by_condition(x: Tensor) -> Tensor:
    channels = torch.tensor(5).clone()
    return x[:, : int(torch.where(channels > 3, torch.tensor(1), channels))]


@pytest.mark.parametrize(
    "function", [normalized, resized, twice_the_size, by_strides, written_constants, by_condition]
)
def test_constants_are_read(function: Callable[[Tensor], Tensor]) -> None:
    x = torch.randn(IMAGE, generator=torch.Generator().manual_seed(0))
    program = export_module(Wrapped(function).eval(), (torch.zeros(IMAGE),), "net.py:make").program
    found = interpret(program, {program.inputs[0]: x.numpy()})["output"]
    torch.testing.assert_close(torch.from_numpy(found), function(x))


def of_the_input(x: Tensor) -> Tensor:
    return x if x.mean() > 0 else -x


def written_from_the_input(x: Tensor) -> Tensor:
    kept = torch.zeros(3)
    kept[0] = x.mean()
    return x * 2 if kept[0] > 0 else x


def written_through_a_view(x: Tensor) -> Tensor:
    kept = torch.zeros(3)
    first = kept[0]
    first.add_(x.mean())
    return x * 2 if kept[0] > 0 else x


def written_from_outside(x: Tensor) -> Tensor:
    OUTSIDE[0] = x.mean()
    return x * 2 if OUTSIDE[0] > 0 else x


def drawn(x: Tensor) -> Tensor:
    return x if torch.rand_like(torch.ones(1)) > 0.5 else -x


@pytest.mark.parametrize(
    "function", [of_the_input, written_from_the_input, written_through_a_view, written_from_outside, drawn]
)
def test_what_depends_on_the_input_is_not_read(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(SourceError, match="cannot be exported"):
        export_module(Wrapped(function).eval(), (torch.ones(IMAGE),), "net.py:make")
