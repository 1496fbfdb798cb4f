"""``pocketpress zoo`` and ``zoo:NAME`` from the command line: list, suggest, train, press."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import Press
from tests.zoo.test_train import write_colours

from pocketpress.pipeline.zoo import store as stored
from pocketpress.pipeline.zoo.store import Store, Timing


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pocketpress: Press) -> Path:
    monkeypatch.setenv("POCKETPRESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def known(cache: Path, *networks: str, target: str = "litert") -> None:
    rows = [
        Timing(network=n, target=target, precision=p, size_bytes=90_000, median_s=2e-4, p90_s=3e-4, runs=5)
        for n in networks
        for p in ("fp32", "w8a8-static")
    ]
    Store(cache).add(rows)


def test_the_list_says_on_which_machine(pocketpress: Press, own_cache: Path) -> None:
    known(own_cache, "resnet8")
    shown = pocketpress("zoo", "list", "resnet8", "--target", "litert")
    assert shown.code == 0 and "78,042" in shown.out and "0.2 / 0.2" in shown.out
    assert "this machine: " in shown.out and "reference machine" not in shown.out
    shown = pocketpress("zoo", "list", "resnet20", "--target", "litert")
    assert "reference machine, not this one: " in shown.out and "resnet20*" in shown.out
    found = json.loads(pocketpress("zoo", "list", "--task", "image-classification", "--json").out)
    entry = next(n for n in found["networks"] if n["name"] == "mobilenet_v2")
    assert (entry["parameters"], entry["multiply_accumulates"]) == (3_504_872, 300_774_272)
    assert entry["measured_on"] == "reference machine" and entry["input"] == [1, 3, 224, 224]


def test_zoo_alone_lists(pocketpress: Press, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "reference", lambda: None)
    shown = pocketpress("zoo")
    assert shown.code == 0 and "mobilevit_xxs" in shown.out and "tiny_bert" in shown.out


def test_suggest_prints_reasons(pocketpress: Press, own_cache: Path) -> None:
    known(own_cache, "resnet8", "resnet20")
    argv = ("zoo", "suggest", "--task", "image-classification", "--input", "1,3,32,32", "--classes", "10")
    argv = (*argv, "--target", "litert", "--no-measure", "--max-size", "300KB")
    shown = pocketpress(*argv)
    assert shown.code == 0
    assert "resnet56 --max-size: its weights alone are 856 kB" in " ".join(shown.out.split())
    assert "next: pocketpress zoo train resnet20 --data FOLDER" in shown.out
    found = json.loads(pocketpress(*argv, "--json").out)
    assert [c["name"] for c in found["fits"][:2]] == ["resnet20", "resnet8"]
    assert found["fits"][0]["source"].startswith("examples/cifar")
    shown = pocketpress(*argv, "--max-latency", "1us")
    assert shown.code == 3 and "no network of the zoo fits: got --max-latency 1 µs" in shown.line


def test_wrong_commands_are_one_line(pocketpress: Press, own_cache: Path) -> None:
    for argv, says in (
        (("list", "mobilenet"), "no such network in the zoo: got mobilenet"),
        (("suggest", "--task", "image-classification"), "no budget"),
        (("measure", "resnet8", "--target", "coreml"), "no target is executed here at fp32"),
        (("train", "resnet8", "--data", "none.npz", "--out", "x"), "no such file: got none.npz"),
        (("train", "resnet8,size=9", "--data", "none.npz", "--out", "x"), "size out of range"),
    ):
        shown = pocketpress("zoo", *argv)
        assert shown.code == 2 and says in shown.line, argv


@pytest.mark.slow
def test_trained_networks_are_pressed_by_name(pocketpress: Press, own_cache: Path, tmp_path: Path) -> None:
    data, out = write_colours(tmp_path / "colours.npz"), tmp_path / "trained"
    argv = ("zoo", "train", "resnet8,width=0.25,size=16", "--data", data, "--out", out, "--epochs", "2")
    shown = pocketpress(*argv, "--batch", "20", "--json")
    assert shown.code == 0, shown.err
    assert json.loads(shown.out)["network"] == "resnet8,width=0.25,size=16,classes=3"
    weights = ("zoo:resnet8", "--weights", out / "weights.safetensors")
    found = json.loads(pocketpress("inspect", *weights, "--json").out)
    assert found["signature"]["outputs"][0]["shape"] == [1, 3]
    pressed = tmp_path / "pressed"
    done = pocketpress(
        "press", *weights, "--data", data, "--target", "litert", "--precision", "w8a8-fast",
        "--out", pressed, "--no-measure",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert (pressed / "resnet8.tflite").is_file()
    record = json.loads((pressed / "record.json").read_text())
    assert record["source"]["reference"] == "zoo:resnet8" and record["verdict"] == "pass"


def test_random_weights_are_said_to_be_random(pocketpress: Press, own_cache: Path, tmp_path: Path) -> None:
    name = "zoo:ds_cnn,width=0.25,size=8"
    done = pocketpress(
        "press", name, "--precision", "fp32", "--target", "litert", "--out", tmp_path / "p", "--no-measure"
    )
    assert done.code == 0 and "skipped: weights: random, since no --weights are given" in done.out
    assert (tmp_path / "p" / "ds_cnn-width-0.25-size-8.tflite").is_file()
    wrong = pocketpress("inspect", "zoo:mobilenet_v2", "--input", "1,3,64,32")
    assert wrong.code == 2 and "mobilenet_v2 takes another input: got (1, 3, 64, 32)" in wrong.line
