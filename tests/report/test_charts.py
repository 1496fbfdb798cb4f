"""Geometry of the charts, by hand, read back from the SVG."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from pocketpress.core.record import Latency, LayerError, Limits, Metric, Stage, TargetEntry
from pocketpress.report.charts import (
    BAR_END,
    WIDTH,
    drop_chart,
    latency_chart,
    layer_chart,
    size_chart,
    stage_chart,
)

TARGET = TargetEntry(name="litert", verdict="pass")


def elements(chart: Markup | None, tag: str, kind: str | None = None) -> list[dict[str, str]]:
    assert chart is not None
    root = ElementTree.fromstring(str(chart))
    return [e.attrib for e in root.iter(tag) if kind is None or e.get("class") == kind]


def widths(chart: Markup | None, kind: str) -> list[float]:
    return [float(bar["width"]) for bar in elements(chart, "rect", kind)]


def test_sizes_are_to_scale() -> None:
    target = TARGET.model_copy(
        update={"size_bytes": 250, "size_compressed_bytes": 125, "float_size_bytes": 1000}
    )
    chart = size_chart([target], Limits(max_size_bytes=500))
    assert widths(chart, "float soft") == [BAR_END]
    assert widths(chart, "ours soft") == [BAR_END / 4] and widths(chart, "ours") == [BAR_END / 8]
    assert [float(e["x1"]) for e in elements(chart, "line", "limit")] == [BAR_END / 2]


def test_a_limit_outside_the_chart_is_left_out() -> None:
    target = TARGET.model_copy(update={"size_bytes": 250})
    assert elements(size_chart([target], Limits(max_size_bytes=10_000)), "line", "limit") == []


def test_latency_bars_end_at_the_median_and_whiskers_at_p90() -> None:
    latency = Latency(
        median=0.001, p90=0.002, float_median=0.003, float_p90=0.004, speedup=3.0, threads=1, runs=9
    )
    chart = latency_chart([TARGET.model_copy(update={"latency_s": latency})], Limits())
    assert widths(chart, "ours") == [BAR_END / 4] and widths(chart, "float") == [BAR_END * 3 / 4]
    ends = {float(e["x2"]) for e in elements(chart, "line", "whisker")}
    assert ends == {BAR_END / 2, BAR_END}
    assert chart is not None and "3.00× as fast" in chart


def test_the_drop_lies_inside_its_interval_and_zero_is_drawn() -> None:
    metric = Metric(
        name="top1",
        value=0.9,
        drop=0.01,
        drop_ci95=(-0.01, 0.03),
        samples=9,
        unit="share",
        distinguishable=False,
    )
    chart = drop_chart([TARGET.model_copy(update={"metric": metric})], Limits(max_drop=0.02))
    (dot,) = elements(chart, "circle")
    interval = elements(chart, "line", "interval")[0]
    (zero,) = elements(chart, "line", "axis")
    (limit,) = elements(chart, "line", "limit")
    low, high = float(interval["x1"]), float(interval["x2"])
    assert float(dot["cx"]) == pytest.approx((low + high) / 2, abs=0.02)
    assert float(zero["x1"]) == pytest.approx(low + (high - low) / 4, abs=0.02)
    assert float(limit["x1"]) == pytest.approx(low + (high - low) * 3 / 4, abs=0.02)
    assert 0 <= low < high <= WIDTH and dot["class"] == "ours"


def test_a_drop_told_from_zero_is_marked() -> None:
    metric = Metric(
        name="top1", value=0.9, drop=0.02, drop_ci95=(0.01, 0.03), samples=9, distinguishable=True
    )
    (dot,) = elements(drop_chart([TARGET.model_copy(update={"metric": metric})], Limits()), "circle")
    assert dot["class"] == "worst"


def test_a_single_drop_of_zero_without_interval_can_be_drawn() -> None:
    metric = Metric(name="top1", value=0.9, drop=0.0, samples=1)
    (dot,) = elements(drop_chart([TARGET.model_copy(update={"metric": metric})], Limits()), "circle")
    assert float(dot["cx"]) == WIDTH / 2


def test_the_noisiest_layers_are_marked_and_bars_grow_with_quality() -> None:
    layers = [LayerError(name=f"l{i}", sqnr_db=10.0 + i) for i in range(8)]
    chart = layer_chart(layers)
    bars = elements(chart, "rect")
    assert [bar["class"] for bar in bars] == ["worst"] * 2 + ["ours"] * 6
    heights = [float(bar["height"]) for bar in bars]
    assert heights == sorted(heights)
    assert heights[-1] / heights[0] == pytest.approx(17 / 10, abs=0.01)


def test_stages_are_to_scale() -> None:
    chart = stage_chart([Stage(name="export", seconds=1.0), Stage(name="lower", seconds=4.0, cached=True)])
    assert widths(chart, "float") == [WIDTH / 4, WIDTH]
    assert chart is not None and "4 s · from the cache" in chart


def test_nothing_to_draw_is_none() -> None:
    assert size_chart([TARGET], Limits()) is None
    assert latency_chart([TARGET], Limits()) is None
    assert drop_chart([TARGET], Limits()) is None
    assert layer_chart([]) is None
    assert stage_chart([]) is None
