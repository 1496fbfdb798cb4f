"""Look-ups and casts go before moves of whole numbers."""

from __future__ import annotations

import numpy as np
from tests.graph.same import ops

from pocketpress.core.program import Program, ProgramBuilder, TensorType
from pocketpress.graph.look_up_first import look_up_first
from pocketpress.verify.reference import interpret

IDS = np.asarray([[3, 1, 0, 2, 4, 1]])


def moved(op: str) -> Program:
    """reshape, permute and slice of (1, 6) indices, then the operator."""
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 6), "int64"))
    x = b.node("reshape", [x], TensorType((2, 3), "int64"), shape=(2, 3))
    x = b.node("permute", [x], TensorType((3, 2), "int64"), axes=(1, 0))
    x = b.node("slice", [x], TensorType((2, 2), "int64"), starts=(0, 0), sizes=(2, 2), steps=(2, 1))
    if op == "cast":
        return b.build([b.node("cast", [x], TensorType((2, 2)), name="y")])
    table = b.constant("t", np.arange(10, dtype=np.float32).reshape(5, 2))
    return b.build([b.node("embedding", [x, table], TensorType((2, 2, 2)), name="y")])


def test_a_look_up_goes_first() -> None:
    before = moved("embedding")
    after = look_up_first(before)
    assert ops(after) == ["embedding", "reshape", "permute", "slice"] and after.nodes[0].inputs[0] == "x"
    got = interpret(after, {"x": IDS})["y"]
    assert got.tolist() == [[[6, 7], [4, 5]], [[0, 1], [2, 3]]]
    np.testing.assert_array_equal(got, interpret(before, {"x": IDS})["y"])


def test_a_cast_goes_first() -> None:
    after = look_up_first(moved("cast"))
    assert ops(after) == ["cast", "reshape", "permute", "slice"]
    assert interpret(after, {"x": IDS})["y"].tolist() == [[3, 2], [0, 1]]


def test_nothing_to_move_is_left_alone() -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 6), "int64"))
    program = b.build([b.node("cast", [x], TensorType((1, 6)), name="y")])
    assert look_up_first(program) is program
