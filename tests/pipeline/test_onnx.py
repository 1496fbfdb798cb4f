"""An ONNX file pressed like any other network: equal integers, clear errors, nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from onnx import helper
from tests.conftest import Press
from tests.sources.onnx.models import classifier, model, saved


def test_a_file_becomes_artifacts_of_equal_integers(pocketpress: Press, tmp_path: Path) -> None:
    path = saved(tmp_path, classifier("batch", channels=64, classes=300))
    images = np.random.default_rng(0).random((48, 3, 8, 8), np.float32)
    np.savez(tmp_path / "images.npz", x=images)
    done = pocketpress(
        "press", path, "--data", tmp_path / "images.npz", "--target", "litert,executorch,onnxruntime,coreml",
        "--precision", "w8a8-fast", "--out", tmp_path / "out", "--no-measure",
    )  # fmt: skip
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["source"]["kind"] == "onnx" and record["verdict"] == "pass"
    assert [spec["name"] for spec in record["signature"]["inputs"]] == ["image"]
    executed = [t for t in record["targets"] if t["parity"] is not None]
    assert len(executed) == 3 and all(t["parity"]["equal"] == 1 for t in executed)
    assert sorted(p.name for p in (tmp_path / "out").iterdir() if p.stem == "net") == [
        "net.mlpackage", "net.onnx", "net.pte", "net.tflite",
    ]  # fmt: skip


def test_what_cannot_be_read_leaves_nothing(pocketpress: Press, tmp_path: Path) -> None:
    node = helper.make_node("Det", ["x"], ["y"], "volume")
    path = saved(tmp_path, model([node], {"x": (1, 2, 2)}, ["y"]))
    done = pocketpress("press", path, "--precision", "fp32", "--target", "litert", "--out", tmp_path / "out")
    assert done.code == 2 and not (tmp_path / "out").exists()
    assert done.line == (
        "node volume: operator Det is not supported; let the network end before it and compute it from the "
        "outputs"
    )


def test_pruning_asks_for_the_live_network(pocketpress: Press, tmp_path: Path) -> None:
    path = saved(tmp_path, classifier())
    done = pocketpress("press", path, "--precision", "fp32", "--prune", "2x", "--out", tmp_path / "out")
    assert done.code == 2 and not (tmp_path / "out").exists()
    assert "a saved program cannot be pruned" in done.line and "net.onnx" in done.line
