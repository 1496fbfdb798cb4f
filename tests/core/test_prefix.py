"""A program under other names computes the same."""

from __future__ import annotations

import numpy as np

from pocketpress.core.program import ProgramBuilder, TensorType
from pocketpress.core.program.ops import check_program
from pocketpress.core.program.prefix import prefixed
from pocketpress.verify.reference import interpret


def test_every_name_gets_the_prefix_and_nothing_else_changes() -> None:
    b = ProgramBuilder()
    x, c = b.input("x", TensorType((3,))), b.constant("c", np.asarray([1, 2, 3], np.float32))
    program = b.build([b.node("add", [x, c], TensorType((3,)), name="y", source="net.py:3", clamp=None)])
    found = prefixed(program, "gru/")
    check_program(found)
    (node,) = found.nodes
    assert (found.inputs, found.outputs, set(found.constants)) == (("gru/x",), ("gru/y",), {"gru/c"})
    assert set(found.types) == {"gru/x", "gru/c", "gru/y"}
    assert (node.name, node.source, dict(node.attrs)) == ("gru/y", "net.py:3", {"clamp": None})
    value = interpret(found, {"gru/x": np.asarray([10, 20, 30], np.float32)})["gru/y"]
    assert value.tolist() == [11, 22, 33]
