"""Elements and ticks."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketpress.report.svg import rect, svg, text, ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 10, [0, 5, 10]), (0, 40, [0, 10, 20, 30, 40]), (-0.004, 0.011, [0, 0.005, 0.01]), (3, 3, [3])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6))
def test_ticks_lie_inside_and_are_few(low: float, span: float) -> None:
    high = low + span
    found = ticks(low, high)
    assert len(found) <= 6
    assert all(low - 1e-6 * span <= tick <= high + 1e-6 * span for tick in found)


def test_texts_are_escaped_in_content_attributes_and_titles() -> None:
    evil = "\"><script>&'"
    drawing = svg(10, 10, evil, [text(1, 2, evil), rect(0, 0, 1, 1, "ours", evil)])
    root = ElementTree.fromstring(str(drawing))
    assert root.get("aria-label") == evil
    assert [e.text for e in root.iter() if e.text] == [evil, evil]


def test_a_bar_is_never_negative() -> None:
    assert ElementTree.fromstring(str(rect(0, 0, -3, 1, "ours"))).get("width") == "0"
