"""Small recurrent networks, pressed at every precision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import Press

NET = """
import torch
from torch import nn


class Words(nn.Module):
    def __init__(self, hidden, first):
        super().__init__()
        torch.manual_seed(0)
        self.first = first(8, hidden, batch_first=True, bidirectional=True)
        self.second = nn.LSTM(2 * hidden, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 5)

    def forward(self, x):
        return self.head(self.second(self.first(x)[0])[1][0][0])


def narrow():
    return Words(16, nn.GRU).eval(), (torch.zeros(1, 12, 8),)


def wide():
    return Words(256, nn.GRU).eval(), (torch.zeros(1, 4, 8),)


def unbounded():
    return Words(256, lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k)).eval(), (torch.zeros(1, 4, 8),)
"""
RECURRENT = ("gru", "lstm", "rnn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("words")
    (path / "words_net.py").write_text(NET)
    rng = np.random.default_rng(0)
    np.savez(path / "narrow.npz", x=rng.normal(size=(24, 12, 8)).astype(np.float32))
    np.savez(path / "wide.npz", x=rng.normal(size=(24, 4, 8)).astype(np.float32))
    return path


def pressed(
    pocketpress: Press, folder: Path, name: str, data: str, precision: str, out: Path
) -> dict[str, Any]:
    promise = ("--max-size", "100kB") if precision == "mixed" else ()
    done = pocketpress(
        "press", f"{folder / 'words_net.py'}:{name}", "--data", folder / f"{data}.npz", "--no-measure",
        "--target", "onnxruntime", "--precision", precision, "--out", out, *promise,
    )  # fmt: skip
    assert done.code == 0, done.err
    record: dict[str, Any] = json.loads((out / "record.json").read_text())
    return record


PRECISIONS = {
    "fp32": 100,
    "fp16": 60,
    "w8": 35,
    "w8-block-8": 35,
    "w8-dynamic": 35,
    "w8a8-fast": 30,
    "w8a8-static": 30,
    "w8a16": 35,
    "w4": 15,
    "w4a8": 15,
    "palette-6": 25,
    "mixed": 25,
}
"""Least SQNR of the outputs against the float network, in dB."""


QUICK = ("fp32", "w8a8-fast", "w4")


@pytest.mark.parametrize(
    "precision", [p if p in QUICK else pytest.param(p, marks=pytest.mark.slow) for p in PRECISIONS]
)
def test_every_precision(pocketpress: Press, folder: Path, tmp_path: Path, precision: str) -> None:
    record = pressed(pocketpress, folder, "narrow", "narrow", precision, tmp_path / "out")
    (target,) = record["targets"]
    assert target["parity"]["sqnr_reference_db"] > 100
    assert target["parity"]["sqnr_float_db"] > PRECISIONS[precision]
    if precision not in ("fp32", "fp16"):
        layers = [layer for layer in record["costs"] if layer["op"] in RECURRENT]
        assert len(layers) == 3 and all(layer["weight_bits"] <= 8 for layer in layers)
    if "a8" in precision or "dynamic" in precision or precision == "mixed":
        skipped = {s["name"].split()[0]: s["reason"] for s in record["skipped"]}
        assert "int8 weights" in skipped["gru"] and "int8 weights" in skipped["lstm"]
    if precision.startswith("w8a8"):
        assert target["stored_only"] and any("below 256 units" in note for note in target["notes"])


@pytest.mark.parametrize("name", ["wide", pytest.param("unbounded", marks=pytest.mark.slow)])
def test_wide_layers_compute_their_products_in_integers(
    pocketpress: Press, folder: Path, tmp_path: Path, name: str
) -> None:
    record = pressed(pocketpress, folder, name, "wide", "w8a8-fast", tmp_path / "out")
    (target,) = record["targets"]
    assert not target["stored_only"]
    assert target["parity"]["sqnr_reference_db"] > 60  # a state next to a tie rounds either way
    assert target["parity"]["sqnr_float_db"] > 25
    assert target["size_bytes"] < 0.3 * target["float_size_bytes"]
    reasons = [s["reason"] for s in record["skipped"] if s["name"].startswith(RECURRENT)]
    assert reasons == ["its state stays float32; its product takes the state rounded to 8 bits"] * 3
