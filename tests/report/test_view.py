"""Texts of numbers."""

from __future__ import annotations

import math

import pytest
from tests.report.sample import record, targets

from pocketpress.core.program import State
from pocketpress.core.record import Drift, Segment
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.report.view import card, counts, decibels, facts_of, matrix, percent, value


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1.0, "100 %"),
        (0.0, "0 %"),
        (0.99996, "99.996 %"),
        (0.9999999, "> 99.9999 %"),
        (1e-9, "< 0.0001 %"),
        (0.412, "41.2 %"),
        (None, "–"),
    ],
)
def test_a_percentage_is_whole_only_where_it_is_exact(share: float | None, text: str) -> None:
    assert percent(share) == text


def test_values_and_decibels() -> None:
    assert value(0.8831, "share") == "88.3 %"
    assert value(25.127, "dB") == "25.13 dB"
    assert value(None, "dB") == "–"
    assert (decibels(math.inf), decibels(31.04), decibels(None)) == ("exact", "31.0 dB", "–")


def test_the_matrix_is_symmetric_and_names_only_compared_targets() -> None:
    table = matrix(record())
    assert table is not None
    assert table.titles == ("LiteRT", "ExecuTorch", "ONNX Runtime")
    for a in range(3):
        assert table.rows[a][a] == ("", "self")
        for b in range(3):
            assert table.rows[a][b] == table.rows[b][a]
    assert table.rows[0][1] == ("99.98 %", "near")
    assert matrix(record().model_copy(update={"between": ()})) is None


def test_counts_by_verdict() -> None:
    assert [(n, text) for n, _, text in counts(targets())] == [
        (2, "pass"),
        (1, "fail"),
        (1, "not executed here"),
        (1, "skipped"),
    ]


def test_a_network_with_state_shows_its_states_and_how_the_error_develops() -> None:
    ends = ((0, 33.21), (40, 31.7))
    segments = tuple(
        Segment(first=at, last=at + 9, sqnr_float_db=level, sqnr_reference_db=90.0) for at, level in ends
    )
    drift = Drift(sequences=12, steps=50, segments=segments, growth_db=1.2)
    target = next(t for t in targets() if t.latency_s is not None).model_copy(update={"drift": drift})
    facts = {name: (shown, small) for name, shown, small in card(target).facts}
    assert facts["Error over the steps"] == (
        "33.2 dB → 31.7 dB",
        "12 sequences of up to 50 steps, does not grow",
    )
    assert "Latency of a step" in facts and "Latency" not in facts
    h, after, x, y = (TensorSpec(name, (1, 4), "float32") for name in ("h", "after", "x", "y"))
    signature = Signature((x, h), (y, after), states=(State("h", "after"),))
    groups = dict(facts_of(record().model_copy(update={"signature": signature})))
    assert ("state h", "becomes after at every step") in groups["Network"]
