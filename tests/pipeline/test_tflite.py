"""A TFLite file pressed like any other network: equal integers in every runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import Press
from tests.sources.tflite.models import Op, classifier, int8_network, litert, saved

from pocketpress.compress.quantize.given import ANEW


def test_a_file_becomes_artifacts_of_equal_integers(pocketpress: Press, tmp_path: Path) -> None:
    path = classifier(tmp_path, channels=64, classes=300)
    images = np.random.default_rng(0).random((48, 7, 9, 3), np.float32)
    np.savez(tmp_path / "images.npz", x=images)
    done = pocketpress(
        "press", path, "--data", tmp_path / "images.npz", "--target", "litert,onnxruntime",
        "--precision", "w8a8-fast", "--out", tmp_path / "out", "--no-measure",
    )  # fmt: skip
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["source"]["kind"] == "tflite" and record["verdict"] == "pass"
    assert [spec["name"] for spec in record["signature"]["inputs"]] == ["image"]
    executed = [t for t in record["targets"] if t["parity"] is not None]
    assert len(executed) == 2 and all(t["parity"]["equal"] == 1 for t in executed)


def test_what_cannot_be_read_leaves_nothing(pocketpress: Press, tmp_path: Path) -> None:
    path = saved(tmp_path, [Op("UNIQUE", ["x"], ["y", "z"])], {"x": (4,)}, {"y": (4,), "z": (4,)})
    done = pocketpress("press", path, "--precision", "fp32", "--target", "litert", "--out", tmp_path / "out")
    assert done.code == 2 and not (tmp_path / "out").exists()
    assert done.line == (
        "node y: operator UNIQUE is not supported; let the network end before it and compute it from the "
        "outputs"
    )


@pytest.mark.parametrize("image", [(7, 9, 3), (8, 10, 1)], ids=["colour", "grey, padded on one side"])
def test_the_scales_of_a_file_are_kept_and_so_are_its_integers(
    pocketpress: Press, tmp_path: Path, image: tuple[int, int, int]
) -> None:
    path = int8_network(tmp_path, channels=24, image=image)
    images = np.random.default_rng(0).normal(size=(40, *image)).astype(np.float32)
    np.savez(tmp_path / "images.npz", x=images)
    done = pocketpress(
        "press", path, "--data", tmp_path / "images.npz", "--target", "litert,onnxruntime,executorch",
        "--estimator", "file", "--out", tmp_path / "out", "--no-measure",
    )  # fmt: skip
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["recipe"]["estimator"] == "file"
    assert all(t["parity"]["equal"] == 1 for t in record["targets"])
    for one in images[:20]:
        integers = np.clip(np.rint(one[None] * 64) - 3, -128, 127).astype(np.int8)
        (ours,) = litert(tmp_path / "out" / "net.tflite", one[None])
        (theirs,) = litert(path, integers)
        np.testing.assert_array_equal(ours, (theirs.astype(np.float32) - 5) / 16)


def test_scales_that_are_not_there_cannot_be_kept(pocketpress: Press, tmp_path: Path) -> None:
    path = classifier(tmp_path)
    np.savez(tmp_path / "images.npz", x=np.zeros((4, 7, 9, 3), np.float32))
    done = pocketpress(
        "press", path, "--data", tmp_path / "images.npz", "--target", "litert", "--estimator", "file",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.code == 2 and not (tmp_path / "out").exists()
    assert done.line.startswith("there are no scales to keep: got --estimator file --precision w8a8-static")


@pytest.mark.parametrize("weight_zero", [128, 117])
def test_the_scales_of_an_old_file_of_unsigned_integers(
    pocketpress: Press, tmp_path: Path, weight_zero: int
) -> None:
    """Around 128 its integers are ours, moved; around 117 the weights get scales of their own."""
    path = int8_network(tmp_path, unsigned=True, weight_zero=weight_zero)
    images = np.random.default_rng(0).normal(size=(40, 7, 9, 3)).astype(np.float32)
    np.savez(tmp_path / "images.npz", x=images)
    done = pocketpress(
        "press", path, "--data", tmp_path / "images.npz", "--target", "litert,onnxruntime",
        "--estimator", "file", "--out", tmp_path / "out", "--no-measure",
    )  # fmt: skip
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert all(t["parity"]["equal"] == 1 for t in record["targets"])
    anew = [s["name"] for s in record["skipped"] if s["reason"] == ANEW]
    assert len(anew) == (0 if weight_zero == 128 else 4)
    steps = []
    for image in images[:20]:
        integers = np.clip(np.rint(image[None] * 64) + 125, 0, 255).astype(np.uint8)
        (ours,) = litert(tmp_path / "out" / "net.tflite", image[None])
        (theirs,) = litert(path, integers)
        steps.append(ours * 16 - (theirs.astype(np.float32) - 133))
    # the reference kernels for unsigned integers round differently, and new weights are other integers
    assert np.abs(steps).max() <= (1 if weight_zero == 128 else 3)
