"""Writes into a tensor change what every other name of it holds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.sources.test_translate import Wrapped, translated
from torch import Tensor

from pocketpress.core.errors import UnsupportedError
from pocketpress.sources.pytorch import export_module
from pocketpress.verify.reference import interpret


def through_a_view(x: Tensor) -> Tensor:
    y = x * 3
    y.view(-1).add_(1)
    return y


def through_a_part(x: Tensor) -> Tensor:
    y = x * 3
    first, _ = y.chunk(2, 1)
    first.mul_(2)
    return y


def a_view_of_what_is_written(x: Tensor) -> Tensor:
    y = x * 3
    row = y[0]
    F.relu_(y)
    return row


def a_column(x: Tensor) -> Tensor:
    y = x * 3
    y[:, 0] = 0
    return y


def columns(x: Tensor) -> Tensor:
    y = x * 3
    y[:, 1:3] += 1
    y[:, ::3] = x[:, ::3]
    return y


def decoded_boxes(x: Tensor) -> Tensor:
    y = x.sigmoid()
    y[..., 0:2] = (y[..., 0:2] * 2 - 0.5) * 8
    y[..., 2:4] = (y[..., 2:4] * 2) ** 2 * torch.tensor([3.0, 5.0])
    return y


def into_zeros(x: Tensor) -> Tensor:
    out = torch.zeros(2, 8)
    out[:, 2:6] = x
    return out


def all_of_it(x: Tensor) -> tuple[Tensor, Tensor]:
    y, z = torch.zeros_like(x), x * 2
    y[:] = x[0] + 1
    z.fill_(3.0)
    return y, z + x


def an_input(x: Tensor) -> Tensor:
    x[:, 0] = 1.0
    return x * 2


def a_cache_that_is_returned(x: Tensor) -> tuple[Tensor, Tensor]:
    y = x[0] * 2
    x[0] = y + 1
    return y, x


def data_of_scores(x: Tensor) -> Tensor:
    scores = (x[..., None] * 2).squeeze(-1)
    scores.data.masked_fill_(torch.tensor([False, True, False, False]), -float("inf"))
    return torch.softmax(scores, 1)


def data_alone(x: Tensor) -> Tensor:
    y = x * 2
    y.data.mul_(3)
    return y.data + x.data


FUNCTIONS = (
    through_a_view, through_a_part, a_view_of_what_is_written, a_column, columns, decoded_boxes, into_zeros,
    all_of_it, an_input, a_cache_that_is_returned, data_of_scores, data_alone,
)  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_program_computes_what_torch_computes(function: Callable[..., object]) -> None:
    x = torch.randn((2, 4), generator=torch.Generator().manual_seed(0))
    program = export_module(Wrapped(function).eval(), (x.clone(),), "test").program
    wanted = function(x.clone())
    got = interpret(program, {program.inputs[0]: x.numpy()})
    values = wanted if isinstance(wanted, tuple) else (wanted,)
    for name, value in zip(program.outputs, values, strict=True):
        np.testing.assert_allclose(got[name], value.numpy(), rtol=1e-6)


def test_writes_that_nobody_else_sees_leave_the_operators_as_they_are() -> None:
    program = translated(Wrapped(lambda x: F.relu_((x * 2).add_(1)).clamp_(max=3)), torch.ones(2, 4))
    assert [n.name for n in program.nodes][:-1] == ["mul", "add_", "relu_", "clamp_"]


def test_writing_at_a_computed_number_of_places_is_refused() -> None:
    def scattered(x: Tensor) -> Tensor:
        y = x * 1
        y[:, ::2] = 0
        return y

    with pytest.raises(UnsupportedError, match="writing into every so many elements"):
        translated(Wrapped(scattered), torch.ones(1, 64))
