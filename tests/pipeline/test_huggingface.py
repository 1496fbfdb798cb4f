"""Checkpoints pressed like any other network, with their own preprocessing; one line for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import Press

pytest.importorskip("transformers")

from tests.sources.huggingface.checkpoints import bert, vit

import pocketpress as package
from pocketpress.core.errors import ArtifactError

TARGETS = "litert,executorch,onnxruntime,coreml"


def text(path: Path, samples: int = 12, tokens: int = 20) -> Path:
    chance = np.random.default_rng(0)
    mask = (np.arange(tokens) < chance.integers(4, tokens + 1, (samples, 1))).astype(np.int64)
    ids = chance.integers(0, 50, (samples, tokens)) * mask
    np.savez(path, input_ids=ids, attention_mask=mask, token_type_ids=ids % 2)
    return path


@pytest.mark.parametrize("precision", ["w8a8-fast", "w8"])
def test_text_becomes_artifacts(pocketpress: Press, tmp_path: Path, precision: str) -> None:
    bert(tmp_path / "tiny-bert")
    done = pocketpress(
        "press", f"hf:{tmp_path}/tiny-bert", "--data", text(tmp_path / "text.npz"), "--precision", precision,
        "--target", TARGETS, "--out", tmp_path / "out", "--no-measure", "--allow-larger",
    )  # fmt: skip
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["source"]["kind"] == "huggingface" and len(record["source"]["sha256"]) == 64
    assert [(i["name"], i["dtype"], i["rows"]) for i in record["signature"]["inputs"]] == [
        ("input_ids", "int64", 50), ("attention_mask", "int64", None), ("token_type_ids", "int64", 2),
    ]  # fmt: skip
    parities = [t["parity"] for t in record["targets"] if t["parity"] is not None]
    assert len(parities) == 3 and record["verdict"] == "pass"
    if precision == "w8a8-fast":
        # float layers between integers may flip one
        assert all(parity["equal"] > 0.95 for parity in parities)
        reasons = {s["reason"] for s in record["skipped"]}
        assert "it computes on a mask or on whole numbers" in reasons
    assert sorted(p.name for p in (tmp_path / "out").glob("tiny-bert.*")) == [
        "tiny-bert.mlpackage", "tiny-bert.onnx", "tiny-bert.pte", "tiny-bert.tflite",
    ]  # fmt: skip
    for suffix in ("tflite", "pte", "onnx"):
        with package.open(tmp_path / "out" / f"tiny-bert.{suffix}") as session:
            ids = np.full((1, 20), 49)
            assert session(ids, np.ones((1, 20), np.int64), 0 * ids)["output"].shape == (1, 2)
            with pytest.raises(
                ArtifactError, match="input_ids is no row of its table: got 50; allowed: 0 to 49"
            ):
                session(ids + 1, np.ones((1, 20), np.int64), 0 * ids)


def test_ids_outside_the_table_are_refused_before_anything_runs(pocketpress: Press, tmp_path: Path) -> None:
    bert(tmp_path / "net")
    path = text(tmp_path / "text.npz")
    arrays = dict(np.load(path))
    arrays["input_ids"][3] = 7
    arrays["input_ids"][3, 2] = -1
    np.savez(path, **arrays)
    done = pocketpress(
        "press", f"hf:{tmp_path}/net", "--data", path, "--target", "litert", "--out", tmp_path / "out"
    )
    assert done.code == 2 and not (tmp_path / "out").exists()
    assert "input_ids" in done.line and done.line.endswith("allowed: 0 to 49")


def test_images_are_prepared_as_the_checkpoint_says(pocketpress: Press, tmp_path: Path) -> None:
    from PIL import Image

    vit(tmp_path / "net", image_mean=[0.1, 0.2, 0.3])
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    names = ["tench", "hen", "ox", "cat", "dog"]
    config["id2label"] = dict(enumerate(names))
    (tmp_path / "net" / "config.json").write_text(json.dumps(config))
    chance = np.random.default_rng(0)
    for index in range(6):
        folder = tmp_path / "images" / str(index % 5)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(chance.integers(0, 256, (20, 24, 3), np.uint8)).save(folder / f"{index}.png")
    done = pocketpress(
        "press", f"hf:{tmp_path}/net", "--data", tmp_path / "images", "--target", "onnxruntime",
        "--precision", "fp32", "--out", tmp_path / "out", "--no-measure",
    )  # fmt: skip
    assert done.code == 0, done.err
    prep = json.loads((tmp_path / "out" / "record.json").read_text())["signature"]["preprocessing"]
    assert (prep["crop"], prep["mean"], prep["std"]) == ([16, 16], [0.1, 0.2, 0.3], [0.5, 0.5, 0.5])
    with package.open(tmp_path / "out" / "net.onnx") as session:
        assert session.signature.labels == {"output": tuple(names)}
        found = session(pixel_values=np.zeros((1, 3, 16, 16), np.float32))
        assert session.top(found, 1)[0][0] == names[int(found["output"].argmax())]


def test_one_line_for_what_is_not_here(pocketpress: Press, tmp_path: Path) -> None:
    done = pocketpress("press", "hf:nobody/nothing", "--precision", "fp32", "--out", tmp_path / "out")
    assert done.code == 2 and done.line == (
        "hf:nobody/nothing is not in the local Hugging Face cache, and nothing is downloaded here; "
        "run: hf download nobody/nothing"
    )
    done = pocketpress("inspect", "timm:resnet18")
    assert done.code == 2 and not (tmp_path / "out").exists()
