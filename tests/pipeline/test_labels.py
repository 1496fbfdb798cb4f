"""Names of classes, from a file or a folder into every artifact and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import Press
from tests.data.builders import class_folders
from tests.pipeline.stripes import pictures

import pocketpress as package
from pocketpress.core.errors import DataError
from pocketpress.core.signature import MAX_JSON_BYTES, Signature, TensorSpec
from pocketpress.core.targets import target_of
from pocketpress.pipeline.labels import check_fits

NAMES = ("down", "falling ↘", "across", 'rising "↗"')
FLOAT = ("press", "net.py:factory", "--weights", "w.safetensors", "--precision", "fp32", "--no-measure")


def labelled(trained: Path, *names: str) -> Path:
    path = trained / "labels.txt"
    path.write_text("\n".join(names or NAMES) + "\n", encoding="utf-8")
    return path


def test_every_artifact_names_the_classes(pocketpress: Press, trained: Path) -> None:
    labelled(trained)
    out = trained / "named"
    targets = "litert,executorch,onnxruntime,coreml,litert-web,onnxruntime-web,pytorch-mobile"
    done = pocketpress(*FLOAT, "--labels", "labels.txt", "--target", targets, "--out", out, "--json")
    assert done.code == 0, done.err
    data = json.loads(done.out)
    [output] = data["signature"]["outputs"]
    assert output["labels"] == list(NAMES) and data["signature"]["inputs"][0]["labels"] is None
    assert len(data["targets"]) == 7
    for target in data["targets"]:
        path = out / target["artifact"]
        assert target_of(path).read_signature(path).outputs[0].labels == NAMES, target["name"]
    x, y = pictures(20, 5)
    for suffix in ("tflite", "pte", "onnx"):
        with package.open(out / f"net.{suffix}") as session:
            best = [session.top(session(x[i : i + 1]), 1)[0][0] for i in range(len(x))]
        assert np.mean([name == NAMES[label] for name, label in zip(best, y, strict=True)]) > 0.8
    assert "4: down, falling ↘, across" in (out / "report.html").read_text(encoding="utf-8")


def test_the_integers_are_the_same_with_names_and_without(pocketpress: Press, trained: Path) -> None:
    labelled(trained)
    int8 = ("press", "net.py:factory", "--weights", "w.safetensors", "--data", "calib.npz", "--no-measure")
    x = pictures(1, 5)[0]
    found = []
    for out, more in (("with", ("--labels", "labels.txt")), ("without", ())):
        arguments = (*int8, "--precision", "w8a8-fast", "--target", "onnxruntime", "--out", trained / out)
        done = pocketpress(*arguments, *more)
        assert done.code == 0, done.err
        with package.open(trained / out / "net.onnx") as session:
            found.append((session.signature.labels, session(x)["output"].tolist()))
    assert [labels for labels, _ in found] == [{"output": NAMES}, {}]
    assert found[0][1] == found[1][1]


def test_of_several_outputs_one_is_named(pocketpress: Press, trained: Path) -> None:
    labelled(trained)
    heads = (
        "press", "net.py:two_heads", "--weights", "w.safetensors", "--precision", "fp32", "--no-measure",
        "--target", "onnxruntime", "--out", trained / "heads",
    )  # fmt: skip
    done = pocketpress(*heads, "--labels", "labels.txt")
    assert done.code == 2
    assert done.line == (
        "--labels names no output of the network: got labels.txt; "
        "allowed: logits=labels.txt, features=labels.txt"
    )
    done = pocketpress(*heads, "--labels", "logits=labels.txt")
    assert done.code == 0, done.err
    with package.open(trained / "heads" / "two_heads.onnx") as session:
        assert session.signature.labels == {"logits": NAMES}


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (["gone.txt"], "cannot read the names of classes: got gone.txt: No such file or directory"),
        (["three.txt"], "three.txt does not fit output output: got 3 names; allowed: 4"),
        (["five.txt"], "five.txt does not fit output output: got 5 names; allowed: 4"),
        (["binary.txt"], "binary.txt is not UTF-8: got byte 0xff at 0"),
        (["scores=four.txt"], "no such output: got scores; allowed: output"),
        (["four.txt", "output=four.txt"], "output output has two files of labels"),
        (["four.txt", "none"], "--labels none leaves all labels out; leave the other --labels out"),
    ],
)
def test_what_does_not_fit_is_one_line(
    pocketpress: Press, trained: Path, labels: list[str], text: str
) -> None:
    for name, count in (("three", 3), ("four", 4), ("five", 5)):
        (trained / f"{name}.txt").write_text("a\n" * count)
    (trained / "binary.txt").write_bytes(b"\xff\xfe")
    arguments = [part for one in labels for part in ("--labels", one)]
    done = pocketpress(*FLOAT, "--target", "onnxruntime", "--out", "refused", *arguments)
    assert done.code == 2 and text in done.line
    assert not (trained / "refused").exists()


def planned(pocketpress: Press, *argv: str | Path) -> dict[str, Any]:
    done = pocketpress(*FLOAT, "--target", "onnxruntime", "--dry-run", "--json", *argv)
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_class_folders_are_names_where_nothing_else_is(
    pocketpress: Press, trained: Path, tmp_path: Path
) -> None:
    labelled(trained)
    folder = class_folders(tmp_path / "photos", ("a", "b", "c", "d"), each=1)
    done = pocketpress(*FLOAT, "--data", folder, "--target", "onnxruntime", "--out", trained / "folder")
    assert done.code == 0, done.err
    with package.open(trained / "folder" / "net.onnx") as session:
        assert session.signature.labels == {"output": ("a", "b", "c", "d")}
    assert planned(pocketpress, "--data", folder)["labels"] == {"output": 4}
    assert planned(pocketpress, "--data", folder, "--labels", "none")["labels"] == {}
    other = class_folders(tmp_path / "others", ("a", "b", "c"), each=1)
    found = planned(pocketpress, "--data", other)
    assert found["labels"] == {} and found["skipped"] == [
        {
            "name": f"class names of {other}",
            "reason": "left out: 3 labels for an output of shape (1, 4)",
        }
    ]
    found = planned(pocketpress, "--data", other, "--labels", "labels.txt")
    assert found["labels"] == {"output": 4} and found["skipped"] == []
    numbered = class_folders(tmp_path / "numbered", ("0", "1", "2", "3"), each=1)
    found = planned(pocketpress, "--data", numbered)
    assert found["labels"] == {} and found["skipped"] == []


def test_names_that_no_artifact_can_hold() -> None:
    """Every limit is kept, and JSON writes each of these characters in six bytes."""
    count = 2048
    output = TensorSpec("y", (1, count), "float32", labels=("é" * 128,) * count)
    check_fits(Signature((), (TensorSpec("y", (1, count), "float32", labels=("e" * 256,) * count),)))
    with pytest.raises(DataError, match="the names of classes are too long for an artifact: got a signature"):
        check_fits(Signature((), (output,)))
    assert len(Signature((), (output,)).to_json()) > MAX_JSON_BYTES
