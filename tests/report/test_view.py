"""Texts of numbers."""

from __future__ import annotations

import math

import pytest
from tests.report.sample import record, targets

from pocketpress.report.view import counts, decibels, matrix, percent, value


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
