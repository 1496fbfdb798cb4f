"""Outputs that no gradient reaches give way to the scores behind them."""

from __future__ import annotations

from pocketpress.compress.learn.scores import scored
from pocketpress.core.program import Program, ProgramBuilder, TensorType


def program(*ops: str) -> Program:
    """tanh of (1, 4, 6), then the operators, then a second output that is real."""
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 4, 6)))
    name = b.node("tanh", [x], TensorType((1, 4, 6)), name="scores")
    for op in ops:
        shape, attrs = b.type(name).shape, {}
        if op == "argmax":
            shape, attrs = (1, 6), {"axis": 1, "keepdims": False}
        if op == "reshape":
            shape, attrs = (6,), {"shape": (6,)}
        name = b.node(
            op, [name], TensorType(shape, "int32" if op == "whole" else "float32"), name=op, **attrs
        )
    return b.build([name, b.node("neg", [x], TensorType((1, 4, 6)), name="other")])


def test_places_give_way_to_their_scores() -> None:
    found = scored(program("argmax", "whole", "reshape"))
    assert found.outputs == ("scores", "other")
    assert [node.op for node in found.nodes] == ["tanh", "neg"]


def test_the_first_of_several_is_what_counts() -> None:
    assert scored(program("sigmoid", "round", "argmax")).outputs == ("sigmoid", "other")


def test_real_outputs_stay() -> None:
    whole = program("sigmoid")
    assert scored(whole) is whole
