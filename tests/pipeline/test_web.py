"""A press for the web: both browser runtimes, in a real browser; and without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import Press
from tests.pipeline.stripes import pictures

import pocketpress as package
from pocketpress.core.targets import resolve_targets
from pocketpress.devices.chromium import VARIABLE

WEB = (
    "press", "net.py:factory", "--weights", "w.safetensors", "--data", "calib.npz", "--eval", "eval.npz",
    "--metric", "top1", "--target", "web", "--precision", "w8a8-fast", "--json",
)  # fmt: skip


@pytest.fixture
def browser() -> None:
    for spec in resolve_targets("web"):
        spec.check_installed()
        if (obstacle := spec.obstacle()) is not None:
            pytest.skip(obstacle)


@pytest.mark.slow
def test_one_network_in_both_browser_runtimes(pocketpress: Press, trained: Path, browser: None) -> None:
    out = trained / "web"
    done = pocketpress(*WEB, "--allow-slower", "--out", out)
    assert done.code == 0, done.err + done.out
    data = json.loads(done.out)
    targets = {t["name"]: t for t in data["targets"]}
    assert sorted(targets) == ["litert-web", "onnxruntime-web"]
    for name, runtime in (("litert-web", "LiteRT.js"), ("onnxruntime-web", "ONNX Runtime Web")):
        target = targets[name]
        assert target["verdict"] == "pass" and target["executed"], target["reasons"]
        assert target["runtime"].startswith(runtime) and " in Chromium" in target["runtime"]
        assert target["latency_s"]["speedup"] > 0 and target["peak_rss_bytes"] > 1 << 25
        assert abs(target["metric"]["drop"]) < 0.06
    assert targets["litert-web"]["parity"]["equal"] == 1.0 and not targets["litert-web"]["stored_only"]
    stored = targets["onnxruntime-web"]  # 8 channels: float arithmetic on 8-bit weights
    assert stored["stored_only"] and stored["parity"]["required_sqnr_db"] is not None
    assert any("float32 on the same 8-bit weights" in s["reason"] for s in stored["skipped"])
    x = pictures(1, 7)[0]
    for target in targets.values():
        with package.open(out / target["artifact"]) as session:
            (logits,) = session(x).values()
            assert logits.shape == (1, 4) and logits.std() > 0


def test_without_a_browser_files_are_written_and_the_next_step_is_said(
    pocketpress: Press, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for spec in resolve_targets("web"):
        spec.check_installed()
    pytest.importorskip("playwright")
    monkeypatch.setenv(VARIABLE, "/no/such/program")
    out = trained / "no-browser"
    done = pocketpress(*WEB, "--no-measure", "--out", out)
    assert done.code == 0, done.err + done.out
    data = json.loads(done.out)
    assert data["verdict"] == "not executed here"
    for target in data["targets"]:
        assert target["verdict"] == "not executed here" and not target["executed"]
        assert (out / target["artifact"]).stat().st_size > 1000
        lacking = (
            f"${VARIABLE} names no program (/no/such/program); install one, or set {VARIABLE} to its path"
        )
        assert f"not executed here: {lacking}" in target["notes"]
    bench = pocketpress("inspect", out / data["targets"][0]["artifact"])
    assert bench.code == 0, bench.err
