"""The page of the zoo says what was measured."""

from __future__ import annotations

import json

from benchmarks.tables import ROOT
from benchmarks.zoo.table import PAGE, rendered


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert rendered(page) == page, "run python -m benchmarks.zoo.table"


def test_suggestions_kept_what_they_said() -> None:
    """Committed results: the pressed networks were as fast and as large as suggested, and within budget."""
    result = json.loads((ROOT / "results" / "zoo.json").read_text(encoding="utf-8"))
    rows = result["agreement"]["rows"]
    assert len(rows) >= 3
    for row in rows:
        assert 0.8 < row["latency_ratio"] < 1.25 and 0.98 < row["size_ratio"] < 1.02
        assert row["pressed_latency_s"] <= row["max_latency_s"]
    assert result["shown"]["verdict"] == "pass"
