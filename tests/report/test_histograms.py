"""Histograms of activations: geometry by hand, and the table of layers."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from tests.report import sample

from pocketpress.core.record import Histogram, LayerCost
from pocketpress.report.histograms import HEIGHT, MOST, WIDTH, histogram_chart, noisiest
from pocketpress.report.layers import cost_rows, stored_in
from pocketpress.report.render import render

RAMP = "".join(f"{8 * i:02x}" for i in range(32))
COST = LayerCost(name="relu", op="conv2d", histogram=Histogram(low=0, high=8, bars=RAMP), range=(0.0, 4.0))


def bars(cost: LayerCost, kind: str) -> list[dict[str, str]]:
    root = ElementTree.fromstring(str(histogram_chart(cost)))
    return [e.attrib for e in root.iter("rect") if e.get("class") == kind]


def test_bars_are_to_scale_and_clipped_values_are_marked() -> None:
    """32 bins over 0 to 8 are 5 units wide each; a range of 0 to 4 clips the upper sixteen."""
    inside, outside = bars(COST, "ours"), bars(COST, "worst")
    assert (len(inside), len(outside)) == (16, 16)
    assert {bar["width"] for bar in inside + outside} == {"5"}
    assert float(inside[3]["x"]) == 15 and float(outside[0]["x"]) == 80
    assert float(outside[-1]["height"]) == pytest.approx(248 / 255 * HEIGHT, abs=0.01)


def test_lines_stand_where_the_range_ends() -> None:
    root = ElementTree.fromstring(str(histogram_chart(COST)))
    assert [float(e.attrib["x1"]) for e in root.iter("line")] == [0.0, WIDTH / 2]


def test_a_range_wider_than_the_values_sets_the_scale() -> None:
    """Values from 0 to 8, a range of -8 to 8: the bars fill the right half."""
    wide = COST.model_copy(update={"range": (-8.0, 8.0)})
    drawn = bars(wide, "ours")
    assert len(drawn) == 32 and float(drawn[0]["x"]) == WIDTH / 2
    assert float(drawn[-1]["x"]) + float(drawn[-1]["width"]) == WIDTH


def test_nothing_is_drawn_without_values() -> None:
    assert histogram_chart(LayerCost(name="a", op="add")) is None


def test_the_noisiest_come_first_and_are_bounded() -> None:
    costs = [LayerCost(name=f"l{i}", op="conv2d", noise=i / 100) for i in range(40)]
    assert [cost.name for cost in noisiest(costs)] == [f"l{i}" for i in range(39, 39 - MOST, -1)]
    stored = [LayerCost(name=f"l{i}", op="conv2d", size_bytes=i) for i in range(3)]
    assert [cost.name for cost in noisiest(stored)] == ["l2", "l1", "l0"]


@pytest.mark.parametrize(
    ("weights", "activations", "shown"),
    [(4, 8, "w4 a8"), (None, 8, "a8"), (16, 32, "w16 float"), (8, None, "w8"), (None, None, "")],
)
def test_bits_as_people_write_them(weights: int | None, activations: int | None, shown: str) -> None:
    assert stored_in(LayerCost(name="a", op="b", weight_bits=weights, activation_bits=activations)) == shown


def test_the_page_shows_the_costs() -> None:
    costs = (
        COST.model_copy(update={"size_bytes": 300, "weight_bits": 4, "activation_bits": 8, "noise": 2e-4}),
        LayerCost(name="head", op="linear", size_bytes=700, weight_bits=16, activation_bits=32, reason="<b>"),
    )
    record = sample.record().model_copy(update={"costs": costs})
    page = render(record)
    assert "What each layer costs" in page and "Values of relu and their range" in page
    assert "<small>&lt;b&gt;</small>" in page and "w16 float" in page
    assert [dict(row.cells)["of size"] for row in cost_rows(record)] == ["30.0 %", "70.0 %"]
    assert "What each layer costs" not in render(sample.record())
