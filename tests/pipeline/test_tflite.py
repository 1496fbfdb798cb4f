"""A TFLite file pressed like any other network: equal integers in every runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tests.conftest import Press
from tests.sources.tflite.models import Op, classifier, saved


def test_a_file_becomes_artifacts_of_equal_integers(pocketpress: Press, tmp_path: Path) -> None:
    path = classifier(tmp_path, channels=64, classes=300)
    images = np.random.default_rng(0).random((48, 7, 9, 3), np.float32)
    np.savez(tmp_path / "images.npz", x=images)
    done = pocketpress(
        "press", path, "--data", tmp_path / "images.npz", "--target", "litert,executorch,onnxruntime",
        "--precision", "w8a8-fast", "--out", tmp_path / "out", "--no-measure",
    )  # fmt: skip
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["source"]["kind"] == "tflite" and record["verdict"] == "pass"
    assert [spec["name"] for spec in record["signature"]["inputs"]] == ["image"]
    executed = [t for t in record["targets"] if t["parity"] is not None]
    assert len(executed) == 3 and all(t["parity"]["equal"] == 1 for t in executed)


def test_what_cannot_be_read_leaves_nothing(pocketpress: Press, tmp_path: Path) -> None:
    path = saved(tmp_path, [Op("UNIQUE", ["x"], ["y", "z"])], {"x": (4,)}, {"y": (4,), "z": (4,)})
    done = pocketpress("press", path, "--precision", "fp32", "--target", "litert", "--out", tmp_path / "out")
    assert done.code == 2 and not (tmp_path / "out").exists()
    assert done.line == (
        "the network has operators that are not supported: got UNIQUE (y); replace them by supported ones"
    )
