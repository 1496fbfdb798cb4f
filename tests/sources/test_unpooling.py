"""Max unpooling: numbers return to the places of the maxima, as in SegNet and ENet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketpress.core.errors import BlockedError
from pocketpress.core.program import Program
from pocketpress.sources.pytorch import export_module
from pocketpress.verify.reference import interpret

Function = Callable[[Tensor], Any]


class Wrapped(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def program_of(function: Function, x: Tensor) -> Program:
    return export_module(Wrapped(function).eval(), (x,), "net.py:make").program


def pair(x: Tensor, window: Any = 2, **unpooling: Any) -> Tensor:
    pooled, places = F.max_pool2d(x, window, return_indices=True)
    return F.max_unpool2d(0.5 - pooled, places, window, **unpooling)


def twice(x: Tensor) -> Tensor:
    first, outer = F.max_pool2d(x, 2, return_indices=True)
    second, inner = F.max_pool2d(first * 2, (2, 3), return_indices=True)
    inside = F.max_unpool2d(second, inner, (2, 3))
    return F.max_unpool2d(inside + first, outer, 2)


CASES: dict[str, Function] = {
    "pair": pair,
    "output-size": lambda x: pair(x, output_size=x.shape),
    "oblong": lambda x: pair(x, (2, 3)),
    "layers": lambda x: nn.MaxUnpool2d(2, 2)(*nn.MaxPool2d(2, 2, return_indices=True)(x)),
    "twice": twice,
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("levels", [0, 3], ids=["all differ", "many ties"])
def test_numbers_return_to_the_first_of_the_largest(name: str, levels: int) -> None:
    x = torch.randn((1, 3, 8, 12), generator=torch.Generator().manual_seed(0))
    x = (x * levels).round() if levels else x
    wanted = CASES[name](x)
    program = program_of(CASES[name], x)
    found = interpret(program, {program.inputs[0]: x.numpy()})[program.outputs[0]]
    np.testing.assert_array_equal(found, wanted.numpy())
    assert (found == 0).any()


def overlapping(x: Tensor) -> Tensor:
    pooled, places = F.max_pool2d(x, 3, 2, return_indices=True)
    return F.max_unpool2d(pooled, places, 3, 2)


REFUSED: dict[str, tuple[Function, str]] = {
    "overlapping": (overlapping, "windows that overlap or leave something out; upsample by nearest"),
    "cut off": (lambda x: pair(x[:, :, :7]), "overlap or leave something out"),
    "moved": (
        lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2, output_size=(9, 12)),
        "max unpooling to (1, 3, 9, 12) of what was pooled from (1, 3, 8, 12)",
    ),
    "read": (
        lambda x: pair(x) + F.max_pool2d(x, 2, return_indices=True)[1].sum(),
        "indices of max pooling, which no runtime has",
    ),
    "made": (
        lambda x: F.max_unpool2d(x, torch.zeros(x.shape, dtype=torch.int64), 2),
        "indices that are no max pooling's",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_indices_are_refused(name: str) -> None:
    function, message = REFUSED[name]
    with pytest.raises(BlockedError) as caught:
        program_of(function, torch.ones(1, 3, 8, 12))
    first = caught.value.blockers[0]
    assert message in f"{first.reason}; {first.instead}"
    assert Path(__file__).name in first.where
