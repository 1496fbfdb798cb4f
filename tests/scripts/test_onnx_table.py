"""The page on ONNX files counts the standard's tests."""

from __future__ import annotations

from scripts.onnx_table import section
from tests.sources.onnx.standard import NodeTest

TESTS = (
    NodeTest("a", frozenset({"Relu"}), "passes", program="passes"),
    NodeTest("b", frozenset({"Relu", "Add"}), "refused", "node x: no"),
    NodeTest("c", frozenset({"Add"}), "wrong", "y"),
)


def test_a_row_counts_the_tests_that_use_the_operator() -> None:
    text = section(TESTS)
    assert (
        "Of the 3 tests" in text and "1 are read, 1 are\nrefused with a message, 1 give wrong numbers" in text
    )
    assert "| `Relu` | 1 | 1 | 1 | 0 |" in text and "| `Add` | 0 | 0 | 1 | 1 |" in text
    assert "1 of the 3 tests (33 %)" in text
