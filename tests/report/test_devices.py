"""The report names every device, what it measured, and why it did not."""

from __future__ import annotations

from tests.report import sample

from pocketpress.core.record import DeviceEntry, Latency
from pocketpress.report.devices import device_rows
from pocketpress.report.render import render

PIXEL = DeviceEntry(
    name="pixel-7",
    kind="browser",
    description="Pixel 7, Android 14, Chrome <126>",
    runtime="LiteRT.js 2.5.3",
    backend="wasm-threads",
    parity=sample.EXACT,
    latency_s=Latency(median=0.0123, p90=0.0145, speedup=1.42, threads=4, runs=100),
    load_s=0.8,
    peak_rss_bytes=50_000_000,
    steady=False,
    notes=("inputs are random",),
    verdict="pass",
)
BOARD = DeviceEntry(name="board", kind="ssh", verdict="skipped", reasons=("no LiteRT there",))


def test_rows() -> None:
    record = sample.record()
    first = record.targets[0].model_copy(update={"devices": (PIXEL, BOARD)})
    second = record.targets[1].model_copy(update={"devices": (PIXEL,)})
    rows = device_rows((first, second))
    assert [row.title.partition(":")[0] for row in rows] == ["pixel-7", "pixel-7", "board"]
    cells = dict(rows[0].cells)
    assert cells["median"] == "12.3 ms" and cells["against float"] == "1.42×" and cells["equal"] == "100 %"
    assert cells["verdict"] == "pass, unsteady" and rows[0].kind == "warn"
    assert dict(rows[2].cells)["median"] == "–" and "no LiteRT there" in rows[2].remark


def test_on_the_page() -> None:
    record = sample.record()
    assert "On devices" not in render(record)
    target = record.targets[0].model_copy(update={"devices": (PIXEL, BOARD)})
    page = render(record.model_copy(update={"targets": (target, *record.targets[1:])}))
    assert "On devices" in page and "pixel-7" in page and "pass, unsteady" in page
    assert "Chrome &lt;126&gt;" in page and "<126>" not in page
    assert "no LiteRT there" in page
