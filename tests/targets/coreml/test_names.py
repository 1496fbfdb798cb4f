from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from pocketpress.core.program import ProgramBuilder, Quantization, TensorType
from pocketpress.targets.coreml.names import RESERVED, Names, identifier


@given(st.text(max_size=20))
def test_every_name_becomes_an_identifier(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", identifier(name))
    assert identifier(name) not in RESERVED


def test_identifiers_keep_what_they_can() -> None:
    assert [identifier(n) for n in ("conv_1", "a.b", "1x", "int8", "")] == [
        "conv_1",
        "a_b",
        "_1x",
        "int8_",
        "_",
    ]


def test_borders_come_first_and_quantised_ones_have_two_names() -> None:
    b = ProgramBuilder()
    x = b.input("a.b", TensorType((1,)))
    middle = b.node("neg", [x], TensorType((1,)), name="y_")
    quant = Quantization.per_tensor(0.1, 0)
    y = b.node("quantize", [middle], TensorType((1,), "int8", quant), name="y:")
    names = Names(b.build([y]))
    assert (names.of("a.b"), names.of("y:"), names.of("y_")) == ("a_b", "y_", "y__1")
    assert names.integers("y:") == "y__integers"
