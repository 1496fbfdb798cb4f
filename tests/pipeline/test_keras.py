"""A Keras file pressed like any other network: channels last outside, equal integers, clear errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tests.conftest import Press
from tests.sources.keras.models import classifier, keras, layers, saved

import pocketpress as library


def test_a_file_becomes_artifacts_of_equal_integers(pocketpress: Press, tmp_path: Path) -> None:
    path = saved(tmp_path, classifier(8, channels=64, classes=100))
    images = np.random.default_rng(0).random((32, 8, 8, 3), np.float32)
    np.savez(tmp_path / "images.npz", x=images)
    done = pocketpress(
        "press", path, "--data", tmp_path / "images.npz", "--target", "litert,executorch,onnxruntime,coreml",
        "--precision", "w8a8-static", "--out", tmp_path / "out", "--no-measure", "--rounding-steps", "20",
    )  # fmt: skip
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["source"]["kind"] == "keras" and record["verdict"] == "pass"
    assert [(s["name"], s["shape"]) for s in record["signature"]["inputs"]] == [("image", [1, 8, 8, 3])]
    executed = [t for t in record["targets"] if t["parity"] is not None]
    assert len(executed) == 3 and all(t["parity"]["equal"] == 1 for t in executed)


def test_the_artifacts_take_what_the_network_takes(pocketpress: Press, tmp_path: Path) -> None:
    model = classifier(16)
    images = np.random.default_rng(0).random((4, 16, 16, 3), np.float32)
    np.savez(tmp_path / "images.npz", x=images)
    done = pocketpress(
        "press", saved(tmp_path, model), "--data", tmp_path / "images.npz",
        "--target", "litert,executorch,onnxruntime", "--precision", "fp32", "--out", tmp_path / "out",
        "--no-measure",
    )  # fmt: skip
    assert done.code == 0, done.err
    wanted = model(images[:1], training=False).detach().numpy()
    for suffix in ("tflite", "pte", "onnx"):
        session = library.open(tmp_path / "out" / f"net.{suffix}")
        np.testing.assert_allclose(session(image=images[:1])["scores"], wanted, atol=1e-5)


def test_inspect(pocketpress: Press, tmp_path: Path) -> None:
    done = pocketpress("inspect", saved(tmp_path, classifier()), "--json")
    assert done.code == 0, done.err
    assert "conv2d" in done.out


def test_what_cannot_be_read_leaves_nothing(pocketpress: Press, tmp_path: Path) -> None:
    path = saved(tmp_path, keras.Sequential([layers.Input((5, 6, 3)), layers.ConvLSTM1D(4, 3)]))
    done = pocketpress("press", path, "--precision", "fp32", "--target", "litert", "--out", tmp_path / "out")
    assert done.code == 2 and not (tmp_path / "out").exists()
    assert "a layer that cannot be read: got ConvLSTM1D; use " in done.line


def test_pruning_asks_for_the_live_network(pocketpress: Press, tmp_path: Path) -> None:
    path = saved(tmp_path, classifier())
    done = pocketpress("press", path, "--precision", "fp32", "--prune", "2x", "--out", tmp_path / "out")
    assert done.code == 2 and "a saved program cannot be pruned" in done.line
