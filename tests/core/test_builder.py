"""Programs built by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pocketpress.core.errors import InternalError
from pocketpress.core.program import ProgramBuilder, TensorType


def test_names_are_made_unique() -> None:
    builder = ProgramBuilder()
    assert builder.input("x", TensorType((1,))) == "x"
    assert builder.constant("x", np.zeros(1, np.float32)) == "x_1"
    assert builder.node("abs", ["x"], TensorType((1,)), name="x") == "x_2"
    assert builder.node("abs", ["x"], TensorType((1,))) == "abs"


def test_reserved_names_wait_for_their_owner() -> None:
    builder = ProgramBuilder(reserved=["y"])
    x = builder.input("x", TensorType((1,)))
    assert builder.node("abs", [x], TensorType((1,)), name="y") == "y_1"
    builder.release("y")
    assert builder.node("neg", [x], TensorType((1,)), name="y") == "y"


def test_dead_code_is_dropped_and_scalars_stay_scalars() -> None:
    builder = ProgramBuilder()
    x = builder.input("x", TensorType((1,)))
    c = builder.constant("c", np.float32(2))
    builder.node("neg", [x], TensorType((1,)), name="dead")
    program = builder.build([builder.node("mul", [x, c], TensorType((1,)), name="y", clamp=None)])
    assert [n.name for n in program.nodes] == ["y"] and program.type("c").shape == ()
    assert builder.constant_value("c") is not None and builder.constant_value("x") is None


def test_a_malformed_program_is_our_bug() -> None:
    builder = ProgramBuilder()
    x = builder.input("x", TensorType((1,)))
    out = builder.node("clamp", [x], TensorType((1,)), low=0.0)
    with pytest.raises(InternalError, match=r"wrong attributes: got \['low'\]; allowed: high, low"):
        builder.build([out])
