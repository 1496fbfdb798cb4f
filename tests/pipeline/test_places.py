"""Networks that end in classes, tokens and the places of the largest numbers, pressed to every runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import Press

import pocketpress as library

NET = """
import torch
import torch.nn.functional as F
from torch import nn


class Segmenter(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 5, 3, padding=1))

    def forward(self, image):
        scores = self.body(image)
        return {"classes": scores.argmax(1), "certain": scores.softmax(1).amax(1)}


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.places = nn.Embedding(30, 16), nn.Embedding(12, 16)
        self.mix, self.head = nn.Linear(16, 16), nn.Linear(16, 30)

    def forward(self, ids):
        real = (ids != 0).long()
        places = real.cumsum(1) * real + 1
        x = self.words(ids) * 3 + self.places(places)
        x = x * real.unsqueeze(-1) + torch.tanh(self.mix(x))
        return self.head(x).argmax(-1)


class Best(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Conv2d(3, 6, 4, stride=4)

    def forward(self, image):
        found = self.body(image).flatten(2)
        scores, places = found[:, 0].topk(3)
        boxes = found[:, 2:].gather(2, places.unsqueeze(1).expand(-1, 4, -1))
        cells = torch.stack([places % 4, torch.div(places, 4, rounding_mode="floor")], -1)
        return {"scores": scores, "boxes": boxes, "cells": cells}


def segmenter():
    return Segmenter().eval(), (torch.zeros(1, 3, 16, 16),)


def tokens():
    return Tokens().eval(), (torch.zeros(1, 10, dtype=torch.int64),)


def best():
    return Best().eval(), (torch.zeros(1, 3, 16, 16),)
"""
TARGETS = (("litert", ".tflite"), ("executorch", ".pte"), ("onnxruntime", ".onnx"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net.py and data: images, and sentences of 3 to 10 tokens."""
    path = tmp_path_factory.mktemp("places")
    (path / "places_net.py").write_text(NET)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(16, 3, 16, 16)).astype(np.float32)
    ids = rng.integers(1, 30, (16, 10)) * (np.arange(10) < rng.integers(3, 11, (16, 1)))
    for name, arrays in {
        "segmenter": {"image": images},
        "best": {"image": images},
        "tokens": {"ids": ids},
    }.items():
        np.savez(path / f"{name}.npz", **arrays)
    return path


def pressed(
    pocketpress: Press, folder: Path, name: str, precision: str, out: Path, codes: tuple[int, ...] = (0,)
) -> dict[str, Any]:
    done = pocketpress(
        "press", f"{folder / 'places_net.py'}:{name}", "--data", folder / f"{name}.npz", "--no-measure",
        "--precision", precision, "--out", out,
    )  # fmt: skip
    assert done.code in codes, done.err
    record: dict[str, Any] = json.loads((out / "record.json").read_text())
    return record


def network(name: str) -> Any:
    scope: dict[str, Any] = {}
    exec(compile(NET, "places_net.py", "exec"), scope)
    return scope[name]()[0]


@pytest.mark.parametrize("name", ["segmenter", "tokens", "best"])
def test_the_artifacts_compute_what_the_network_computes(
    pocketpress: Press, folder: Path, tmp_path: Path, name: str
) -> None:
    """Whole numbers come back as whole numbers, and are the network's."""
    import torch

    record = pressed(pocketpress, folder, name, "fp32", tmp_path / "out")
    targets = {t["name"]: t for t in record["targets"]}
    assert record["verdict"] == "pass" and "coreml" in targets
    with np.load(folder / f"{name}.npz") as data:
        feeds = {key: data[key][:1] for key in data.files}
    with torch.no_grad():
        wanted = network(name)(*(torch.from_numpy(value) for value in feeds.values()))
    wanted = wanted if isinstance(wanted, dict) else {"output": wanted}
    for target, suffix in TARGETS:
        assert targets[target]["parity"]["equal"] == 1
        with library.open(tmp_path / "out" / f"{name}{suffix}") as session:
            got = session(**feeds)
        for key, value in wanted.items():
            if value.dtype is torch.int64:
                assert got[key].dtype == np.int32
                np.testing.assert_array_equal(got[key], value.numpy())
            else:
                np.testing.assert_allclose(got[key], value.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["segmenter", "tokens", "best"])
def test_rounding_is_learned_of_the_scores(
    pocketpress: Press, folder: Path, tmp_path: Path, name: str
) -> None:
    """Places have no gradient."""
    done = pocketpress(
        "press", f"{folder / 'places_net.py'}:{name}", "--data", folder / f"{name}.npz", "--no-measure",
        "--target", "onnxruntime", "--rounding-steps", "4", "--allow-larger", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["targets"][0]["parity"]["equal"] == 1
    assert "learned rounding" not in {entry["name"] for entry in record["skipped"]}


@pytest.mark.parametrize("name", ["segmenter", "tokens", "best"])
def test_in_int8_all_runtimes_find_the_same_places(
    pocketpress: Press, folder: Path, tmp_path: Path, name: str
) -> None:
    """What is small in int8 anyway does not pass by size, which is not the question here."""
    record = pressed(pocketpress, folder, name, "w8a8-fast", tmp_path / "out", codes=(0, 3))
    for target in record["targets"]:
        if target["name"] != "coreml":
            assert target["parity"]["equal"] == 1, target["name"]
            assert target["parity"]["sqnr_float_db"] > 5, target["name"]
    with np.load(folder / f"{name}.npz") as data:
        feeds = {key: data[key][:1] for key in data.files}
    found = []
    for _, suffix in TARGETS:
        with library.open(tmp_path / "out" / f"{name}{suffix}") as session:
            found.append(session(**feeds))
    for other in found[1:]:
        for key, value in found[0].items():
            if value.dtype == np.int32:
                np.testing.assert_array_equal(other[key], value)
