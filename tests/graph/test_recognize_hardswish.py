"""A hard swish in pieces becomes one operator, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.graph.same import assert_same, ops
from torch import nn

from pocketpress.core.program import Program, ProgramBuilder, TensorType
from pocketpress.graph.recognize_hardswish import recognize_hardswish
from pocketpress.graph.simplify import simplify
from pocketpress.sources.pytorch import export_module
from pocketpress.verify.reference import interpret_node

SHAPE = (2, 5, 6)


def pieces(
    form: str, *, shift: float = 3.0, factor: float = 1 / 6, high: float = 6.0, last: object = None
) -> Program:
    b = ProgramBuilder()
    x, full = b.input("x", TensorType(SHAPE)), TensorType(SHAPE)
    other = b.input("other", full) if form == "other" else x

    def binary(op: str, name: str, left: str, right: str, clamp: object = None) -> str:
        return b.node(op, [left, right], full, name=name, clamp=clamp)

    sixth = b.constant("sixth", np.float32([factor]))
    gate = binary("add", "gate", other, b.constant("three", np.float32([shift])), (0.0, high))
    if form == "of the product":
        return b.build([binary("mul", "y", binary("mul", "product", x, gate), sixth, last)])
    if form == "of x":
        return b.build([binary("mul", "y", binary("mul", "part", x, sixth), gate, last)])
    part = binary("mul", "part", gate, sixth)
    names = (part, x) if form == "turned" else (x, part)
    return b.build([binary("mul", "y", *names, last)])


@pytest.mark.parametrize("form", ["of the gate", "turned", "of the product", "of x"])
def test_the_pieces_become_one(form: str) -> None:
    before = pieces(form)
    after = recognize_hardswish(before)
    assert ops(after) == ["hardswish"]
    assert_same(before, after, tolerance=1e-5)


@pytest.mark.parametrize(
    "other",
    [{"shift": 2.0}, {"factor": 0.2}, {"high": 5.0}, {"last": (0.0, None)}],
    ids=["shift", "factor", "bound", "clamp behind"],
)
@pytest.mark.parametrize("form", ["of the gate", "of the product"])
def test_other_numbers_stay(form: str, other: dict[str, float]) -> None:
    assert "hardswish" not in ops(recognize_hardswish(pieces(form, **other)))  # type: ignore[arg-type]


def test_the_gate_of_another_tensor_stays() -> None:
    assert "hardswish" not in ops(recognize_hardswish(pieces("other")))


class _Swish(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * nn.functional.relu6(x + 3) / 6


class _Gate(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (nn.functional.hardtanh(x + 3, 0.0, 6.0) / 6.0)


@pytest.mark.parametrize("activation", [_Swish(), _Gate(), nn.Hardswish()])
def test_in_a_network_however_it_is_written(activation: nn.Module) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), activation, nn.Conv2d(4, 2, 1)).eval()
    program = export_module(network, (torch.zeros(1, 3, 8, 8),), "network").program
    assert ops(simplify(program, interpret_node)) == ["conv2d", "hardswish", "conv2d"]
