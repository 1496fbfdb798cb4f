"""The page on operators says what the runtimes do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scripts import support_table
from scripts.support_table import judged, word

from pocketpress.core.target import Skipped
from pocketpress.testing import CaseResult, all_cases

INTEGER = next(case for case in all_cases() if case.id == "add-equal_scales-w8a8-static")
FLOAT = next(case for case in all_cases() if case.id == "add-equal_scales-fp32")
ISLAND = next(case for case in all_cases() if case.island)
EXACT = CaseResult("x", "t", equal=1.0, max_lsb=0, max_error=0.0)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["equal", "equal"], "equal"),
        (["equal", "equal*", "equal"], "equal*"),
        (["equal", "within 1"], "within 1"),
        (["equal", "missing", "equal"], "equal (2 of 3)"),
        (["missing", "missing"], "missing"),
        (["close", "DIFFERS"], "DIFFERS"),
    ],
)
def test_a_cell_shows_the_weakest_case(outcomes: list[str], expected: str) -> None:
    assert word(outcomes) == expected


def test_the_word_of_a_result() -> None:
    assert judged(INTEGER, EXACT) == "equal"
    assert judged(INTEGER, replace(EXACT, skipped=(Skipped("x", "in float"),))) == "equal*"
    assert judged(INTEGER, replace(EXACT, equal=0.99, max_lsb=1)) == "within 1"
    assert judged(INTEGER, replace(EXACT, equal=0.99, max_lsb=2)) == "DIFFERS"
    assert judged(INTEGER, replace(EXACT, unsupported="no")) == "missing"
    assert judged(ISLAND, replace(EXACT, equal=0.99, max_lsb=1)) == "float island"
    assert judged(ISLAND, replace(EXACT, equal=0.99, max_lsb=2)) == "DIFFERS"
    assert judged(FLOAT, replace(EXACT, equal=0.1, max_error=9e-6)) == "close"
    assert judged(FLOAT, replace(EXACT, equal=0.1, max_error=2e-5)) == "DIFFERS"
    assert judged(FLOAT, replace(EXACT, equal=0.1, max_error=float("nan"))) == "DIFFERS"


def test_the_page_shows_no_difference() -> None:
    assert "DIFFERS" not in support_table.PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_page_is_what_the_runtimes_do() -> None:
    assert support_table.main(["--check"]) == 0
