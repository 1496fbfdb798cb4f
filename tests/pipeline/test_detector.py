"""A detection head, boxes in pixels beside scores, through w8a8-static into every runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import Press

import pocketpress as package

NETWORK = """
import torch
from torch import nn


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU6(),
            nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU6(),
        )
        self.boxes, self.scores = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 3, 1)

    def forward(self, image):
        features = self.stem(image)
        boxes = torch.sigmoid(self.boxes(features)) * 640
        scores = torch.sigmoid(4 * self.scores(features))
        return torch.cat([boxes.flatten(2), scores.flatten(2)], 1)


def factory():
    torch.manual_seed(0)
    return Detector().eval(), (torch.zeros(1, 3, 32, 32),)
"""
RUNTIMES = ("litert", "executorch", "onnxruntime")


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    (tmp_path / "det.py").write_text(NETWORK)
    x = np.random.default_rng(0).normal(0, 1, (32, 3, 32, 32)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    return tmp_path


def test_scores_beside_boxes_survive_int8_in_every_runtime(pocketpress: Press, detector: Path) -> None:
    argv = ("--rounding-steps", "0", "--no-measure", "--json", "--target", ",".join(RUNTIMES))
    done = pocketpress(
        "press",
        f"{detector / 'det.py'}:factory",
        "--data",
        detector / "x.npz",
        *argv,
        "--out",
        detector / "out",
    )
    assert done.code == 0, done.err + done.out
    record = json.loads(done.out)
    reason = next(c["reason"] for c in record["costs"] if c["op"] == "concat")
    assert "ranges differ" in reason
    images = np.load(detector / "x.npz")["x"][:4]
    real = _float_outputs(detector, images)
    for target in record["targets"]:
        assert target["verdict"] == "pass" and target["parity"]["max_abs"] == 0, target
        with package.open(detector / "out" / target["artifact"]) as session:
            got = np.stack([session(image[None])["output"][0] for image in images])
        assert np.abs(got[:, 4:] - real[:, 4:]).max() < 0.06
        assert np.abs(got[:, :4] - real[:, :4]).max() < 0.06 * 640
        assert len(np.unique(got[:, 4:])) > 50


def _float_outputs(folder: Path, images: np.ndarray) -> np.ndarray:
    import runpy

    import torch

    network, _ = runpy.run_path(str(folder / "det.py"))["factory"]()
    with torch.no_grad():
        return np.asarray(network(torch.from_numpy(images)).numpy())
