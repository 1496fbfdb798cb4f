"""The operator vocabulary checks programs."""

from __future__ import annotations

import pytest

from pocketpress.core.errors import InternalError
from pocketpress.core.program import OPS, Node, Program, TensorType, check_program
from pocketpress.core.program.recurrent import RECURRENT
from pocketpress.verify.reference import floats, interpret

T = TensorType((1,))


def program(*nodes: Node, outputs: tuple[str, ...] = ("y",)) -> Program:
    names = {n for node in nodes for n in (*node.inputs, *node.outputs)}
    return Program(("x",), outputs, {n: T for n in names if n != "untyped"}, {}, nodes)


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (Node("convolve", "y", ("x",), ("y",)), "unknown operator in program: got convolve"),
        (Node("abs", "y", ("x", "x"), ("y",)), "abs y: wrong number of inputs: got 2"),
        (Node("abs", "y", (), ("y",)), "wrong number of inputs"),
        (Node("abs", "y", ("x",), ("y",), {"axis": 1}), "abs y: wrong attributes"),
        (Node("abs", "y", ("later",), ("y",)), "inputs used before they are computed: got"),
        (Node("abs", "untyped", ("x",), ("untyped",)), "tensors without a type"),
    ],
)
def test_malformed_nodes(node: Node, text: str) -> None:
    with pytest.raises(InternalError) as caught:
        check_program(program(node, outputs=node.outputs))
    assert text in str(caught.value)


def test_outputs_that_nobody_computes() -> None:
    with pytest.raises(InternalError, match="program outputs are never computed"):
        check_program(program(Node("abs", "y", ("x",), ("y",)), outputs=("z",)))


def test_every_operator_has_the_meaning_it_claims() -> None:
    """In float all but the borders; in integers exactly those not marked float."""
    borders = {"quantize", "dequantize", "requantize"}
    assert set(OPS) - borders - set(RECURRENT) == set(floats.KERNELS)  # those run the step of `recurrent`
    from pocketpress.verify.reference.interpret import INTEGER

    assert set(INTEGER) == {name for name, spec in OPS.items() if spec.integer != "float"}
    assert {spec.integer for spec in OPS.values()} == {"exact", "table", "move", "float"}
    assert callable(interpret)
