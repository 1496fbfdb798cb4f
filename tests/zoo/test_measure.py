"""Measured sizes and latencies: what a row holds, where it is kept, and when it is used again."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocketpress.core.targets import resolve_targets
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.zoo import measure as module
from pocketpress.pipeline.zoo.facts import HERE, REFERENCE, counted, line
from pocketpress.pipeline.zoo.measure import measure, measured
from pocketpress.pipeline.zoo.store import Store, Timing, here, reference
from pocketpress.zoo.cards import CARDS
from pocketpress.zoo.names import parse

SMALL = "ds_cnn,width=0.25,size=8"
NAMES = ("litert", "onnxruntime")


def test_a_small_network_in_two_runtimes_at_two_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUDGET_S", 0.05)
    specs = resolve_targets(",".join(NAMES))
    rows = measure(parse(SMALL), specs, ("fp32", "w8a8-static"), 1, Events())
    assert [row.key for row in rows] == [(SMALL, t, p) for t in NAMES for p in ("fp32", "w8a8-static")]
    assert all(row.failure is None and row.median_s and row.size_bytes and row.runs for row in rows)
    floats, integers = rows[0], rows[1]
    assert floats.size_bytes is not None and integers.size_bytes is not None
    assert floats.size_bytes > 4 * counted(parse(SMALL))[0]


def test_what_is_known_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], list[str]]] = []

    def fake(choice: object, specs: list[object], precisions: list[str], *_: object) -> list[Timing]:
        names = [spec.name for spec in specs]  # type: ignore[attr-defined]
        asked.append((names, list(precisions)))
        return [
            Timing(network=SMALL, target=t, precision=p, size_bytes=1, median_s=1.0, runs=1)
            for t in names
            for p in precisions
        ]

    monkeypatch.setattr(module, "measure", fake)
    specs, store = resolve_targets(",".join(NAMES)), Store(tmp_path)
    measured(parse(SMALL), specs[:1], ("fp32",), store, Events())
    rows = measured(parse(SMALL), specs, ("fp32",), store, Events())
    assert asked == [(["litert"], ["fp32"]), (["onnxruntime"], ["fp32"])]
    assert [row.target for row in rows] == list(NAMES)
    assert measured(parse(SMALL), specs, ("fp32",), Store(tmp_path), Events()) == rows
    assert len(asked) == 2
    assert Store(tmp_path, threads=2).found.timings == ()
    assert [p.suffix for p in (tmp_path / "zoo").iterdir()] == [".json"]


def test_what_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer Pocketpress, or an installed package, may lower what could not be lowered."""
    row = Timing(network=SMALL, target="litert", precision="fp32")
    store, specs = Store(None), resolve_targets("litert")
    store.add([row.model_copy(update={"failure": "no such operator"})])
    monkeypatch.setattr(module, "measure", lambda *_: [row.model_copy(update={"median_s": 1.0})])
    (found,) = measured(parse(SMALL), specs, ("fp32",), store, Events())
    assert found.failure is None and store.found.timings == (found,)


def test_a_damaged_file_is_no_measurement(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add([Timing(network=SMALL, target="litert", precision="fp32", median_s=1.0)])
    assert store.path is not None
    for text in ("", "{", '{"timings": 3}', store.path.read_text().replace("1.0", "-1.0")):
        store.path.write_text(text)
        assert Store(tmp_path).found.timings == ()


def test_a_line_never_mixes_machines() -> None:
    def row(target: str) -> Timing:
        return Timing(network=SMALL, target=target, precision="fp32", median_s=1.0)

    local, shipped = here(1).adding([row("litert")]), here(1).adding([row("litert"), row("onnxruntime")])
    both = line(parse(SMALL), local, shipped, NAMES, ("fp32",))
    assert both.where == HERE and [t.target for t in both.timings] == ["litert"]
    far = line(parse(SMALL), here(1), shipped, NAMES, ("fp32",))
    assert far.where == REFERENCE and len(far.timings) == 2
    assert line(parse(SMALL), here(1), None, NAMES, ("fp32",)).where is None


def test_counting_needs_no_arithmetic_and_counts_recurrent_layers() -> None:
    assert counted(parse("mobilenet_v2")) == (3_504_872, 300_774_272)
    # 49 steps of 4 gates of 118 units over 10 coefficients and 118 states, then 12 classes
    assert counted(parse("lstm"))[1] == 49 * 4 * 118 * (10 + 118) + 118 * 12


def test_the_shipped_measurements_name_their_machine() -> None:
    shipped = reference()
    assert shipped is not None and shipped.host.cpu and shipped.host.packages and shipped.threads == 1
    names = {timing.network for timing in shipped.timings}
    assert all(str(parse(name)) == name for name in names)
    assert set(CARDS) <= names
