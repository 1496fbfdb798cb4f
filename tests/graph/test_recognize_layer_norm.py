"""Layer normalisation in pieces becomes one operator, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
from tests.graph.same import assert_same, ops

from pocketpress.core.program import Program, ProgramBuilder, TensorType
from pocketpress.graph.recognize_layer_norm import recognize_layer_norm

SHAPE = (2, 5, 6)
PARAMETERS = {
    "weight": np.linspace(-1, 2, 6, dtype=np.float32), "bias": np.linspace(3, 1, 6, dtype=np.float32),
}  # fmt: skip


def pieces(
    *, axis: int = 2, parameters: bool = True, twice: bool = False, other_mean: bool = False
) -> Program:
    b = ProgramBuilder()
    x = b.input("x", TensorType(SHAPE))
    other = b.input("other", TensorType(SHAPE)) if other_mean else x
    full = TensorType(SHAPE)
    less = TensorType(tuple(1 if i == axis else d for i, d in enumerate(SHAPE)))

    def binary(op: str, name: str, left: str, right: str, type_: TensorType = full) -> str:
        return b.node(op, [left, right], type_, name=name, clamp=None)

    mean = b.node("mean", [other], less, name="mean", axes=(axis,), keepdims=True)
    centred = binary("sub", "centred", x, mean)
    again = binary("sub", "again", x, mean) if twice else centred
    square = binary("mul", "square", again, again)
    variance = b.node("mean", [square], less, name="variance", axes=(axis,), keepdims=True)
    safe = binary("add", "safe", variance, b.constant("eps", np.float32([1e-5])), less)
    y = binary("mul", "unit", centred, b.node("rsqrt", [safe], less, name="root"))
    if parameters:
        y = binary("mul", "scaled", y, b.constant("w", PARAMETERS["weight"]))
        y = binary("add", "moved", y, b.constant("b", PARAMETERS["bias"]))
    return b.build([y])


@pytest.mark.parametrize("parameters", [True, False])
@pytest.mark.parametrize("twice", [True, False])
def test_the_pieces_become_one(parameters: bool, twice: bool) -> None:
    before = pieces(parameters=parameters, twice=twice)
    after = recognize_layer_norm(before)
    assert ops(after) == ["layer_norm"]
    assert_same(before, after, tolerance=1e-5)


def test_other_things_stay() -> None:
    for before in (pieces(axis=1, parameters=False), pieces(other_mean=True)):
        assert "layer_norm" not in ops(recognize_layer_norm(before))
