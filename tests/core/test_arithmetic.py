"""Networks that only store integers, and others."""

from __future__ import annotations

import pytest

from pocketpress.core.program.arithmetic import stores_recurrent
from pocketpress.testing import all_cases

CASES = {case.id: case.program for case in all_cases()}


@pytest.mark.parametrize(
    ("name", "stores"),
    [
        ("gru-plain-fp32", False),
        ("gru-plain-w8a8-static", True),
        ("lstm-cells-w8a8-static", True),
        ("gru-rounded-w8a8-static", False),
    ],
)
def test_a_recurrent_layer_stores_integers_or_computes_with_them(name: str, stores: bool) -> None:
    program = CASES[name]
    layer = program.prefix([n for node in program.nodes if node.op in ("gru", "lstm") for n in node.outputs])
    assert stores_recurrent(layer) is stores


def test_one_integer_operator_is_enough_to_promise_speed() -> None:
    assert not stores_recurrent(CASES["gru-plain-w8a8-static"])  # its result is quantised
    assert not stores_recurrent(CASES["linear-vector-w8a8-static"])
