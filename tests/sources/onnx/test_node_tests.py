"""The ONNX standard's own tests: none gives wrong numbers, most pass."""

from __future__ import annotations

import warnings
from collections import Counter

import pytest
from tests.sources.onnx.standard import NodeTest, node_tests

from pocketpress.sources.onnx.operators.table import OPERATORS

BY_HAND = {"DequantizeLinear", "Einsum", "NonZero"}
"""Tested on types that are out of range: see `test_load`, `test_places` and `test_quantized`."""


@pytest.fixture(scope="module")
def answers() -> list[NodeTest]:
    return list(node_tests())


def test_none_is_wrong(answers: list[NodeTest]) -> None:
    assert [(t.name, t.reason) for t in answers if t.answer == "wrong"] == []


def test_most_pass(answers: list[NodeTest]) -> None:
    for chosen, least in (
        ([t for t in answers if t.is_known], 800),
        ([t for t in answers if t.is_mobile], 400),
    ):
        counts = Counter(t.answer for t in chosen)
        assert counts["passes"] >= 0.92 * len(chosen) and len(chosen) > least


def test_every_operator_passes_a_test_of_the_standard(answers: list[NodeTest]) -> None:
    tested = {op for t in answers if t.answer == "passes" for op in t.operators}
    assert set(OPERATORS) - tested == BY_HAND


def test_a_refusal_is_one_line_that_names_the_node(answers: list[NodeTest]) -> None:
    for test in answers:
        if test.answer == "refused" and test.is_known:
            assert "\n" not in test.reason and len(test.reason) < 400, test.name
            assert test.reason.startswith(("node ", "test_", "the graph")), test.reason


@pytest.mark.slow
def test_no_program_is_wrong() -> None:
    """What is read becomes a program that computes the standard's numbers, or is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tests = list(node_tests(programs=True))
    assert [(t.name, t.program_reason) for t in tests if t.program == "wrong"] == []
    for chosen in ([t for t in tests if t.is_known], [t for t in tests if t.is_mobile]):
        assert sum(t.program == "passes" for t in chosen) >= 0.88 * len(chosen)
