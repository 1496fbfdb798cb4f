"""`--data none` end to end: artifacts without data, trust in words, no accuracy claimed, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import Press

from pocketpress.core.errors import DataError
from pocketpress.data import digest
from pocketpress.pipeline.job import Job, open_job
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.synthesis import BUDGET, FEWEST, NEAR, NEAR_WORST, STEPS, SynthesisReader

NONE = (
    "press", "net.py:factory", "--weights", "w.safetensors", "--data", "none", "--target", "onnxruntime",
    "--calibration-samples", "24", "--no-measure",
)  # fmt: skip

REFUSED = """
import torch
from torch import nn


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, seen, tokens):
        return self.norm(seen)


class Beside(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.norm.running_mean.fill_(1)

    def forward(self, seen, beside):
        return self.norm(seen) + beside


class Both(Beside):
    def forward(self, file, beside):
        return self.norm(file * 2 + beside)


def plain():
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval(), (torch.zeros(1, 4),)


def tokens():
    return Tokens().eval(), (torch.zeros(1, 4), torch.zeros(1, 5, dtype=torch.int64))


def beside():
    return Beside().eval(), (torch.zeros(1, 4), torch.zeros(1, 4))


def both():
    return Both().eval(), (torch.zeros(1, 4), torch.zeros(1, 4))
"""


@pytest.fixture
def folder(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    (trained / "refused.py").write_text(REFUSED)
    return trained


def opened(source: str = "net.py:factory", **changes: Any) -> Job:
    weights = Path("w.safetensors") if source == "net.py:factory" else None
    given = PressOptions(source, targets="onnxruntime", weights=weights, data="none", calibration_samples=8)
    return open_job(replace(given, **changes))


def reader(job: Job) -> SynthesisReader:
    assert job.synthesis is not None
    return job.synthesis


def test_an_artifact_without_data_claims_no_accuracy(pocketpress: Press, folder: Path) -> None:
    done = pocketpress(*NONE, "--out", folder / "none", "--json")
    assert done.code == 0, done.err + done.out
    data = json.loads(done.out)
    (target,) = data["targets"]
    assert target["verdict"] == "pass" and target["parity"]["equal"] >= 0.99
    assert target["metric"] is None and data["float_metric"] is None
    assert [s["reason"] for s in data["skipped"] if s["name"] == "task metric"] == [
        "synthesised samples measure no accuracy (--eval)"
    ]
    for part in ("calibration", "evaluation"):
        entry = data["data"][part]
        assert (entry["reference"], entry["kind"]) == ("none", "synthesised")
        assert entry["samples"] == 24 and not entry["labelled"]
        assert "accuracy is unknown" in entry["note"] and "near enough for ranges" in entry["note"]
    assert "trust" in (folder / "none" / "report.html").read_text()


def test_the_drop_is_measured_on_real_data(pocketpress: Press, folder: Path) -> None:
    argv = (*NONE, "--eval", "eval.npz", "--metric", "top1", "--out", folder / "judged")
    done = pocketpress(*argv, "--json")
    assert done.code == 0, done.err + done.out
    data = json.loads(done.out)
    metric = data["targets"][0]["metric"]
    assert metric["samples"] == 60 and metric["float_value"] > 0.8 and metric["drop"] <= 0.05
    assert data["data"]["evaluation"]["kind"] == "npz" and data["data"]["evaluation"]["note"] is None
    shown = " ".join(pocketpress(*argv).out.split())
    assert "calibration: 24 samples synthesised from the statistics of 5 batch-norm layers" in shown


def test_what_was_synthesised_is_kept_for_the_next_press(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first, again = (reader(opened(cache=cache)) for _ in range(2))
    made = first.result
    assert len(list(cache.iterdir())) == 1
    kept = again.result
    assert {"inputs", "distance"} <= set(vars(kept)) and kept.distance == made.distance
    np.testing.assert_array_equal(kept.inputs["image"], made.inputs["image"])
    assert reader(opened(cache=cache, seed=1)).result.distance != made.distance


def test_the_seed_decides(folder: Path) -> None:
    digests = []
    for seed in (5, 5, 6):
        data = opened(seed=seed).calibration
        assert data is not None
        digests.append(digest(data.samples()))
    assert digests[0] == digests[1] != digests[2]


def test_a_dry_run_synthesises_nothing(pocketpress: Press, folder: Path) -> None:
    assert "result" not in vars(reader(opened()))
    done = pocketpress(*NONE, "--out", folder / "dry", "--dry-run", "--json")
    assert done.code == 0 and json.loads(done.out)["calibration"] == "none"
    assert not (folder / "dry").exists()


def test_images_are_real_pixels_prepared_as_declared(folder: Path) -> None:
    job = opened(preprocess="resize=20,crop=16,mean=0.5:0.4:0.3,std=0.25:0.5:1", seed=2)
    assert job.calibration is not None and job.signature.preprocessing is not None
    assert job.signature.preprocessing.resize == 20  # for the user's images; ours have the size already
    mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.25, 0.5, 1])
    (sample, *_) = job.calibration.samples()
    levels = (sample.inputs["image"][0] * std[:, None, None] + mean[:, None, None]) * 255
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-3)
    assert levels.min() > -1e-3 and levels.max() < 255 + 1e-3
    (raw, *_) = job.calibration.raw_pixels().samples()
    assert raw.inputs["image"].dtype == np.uint8
    np.testing.assert_array_equal(raw.inputs["image"][0], np.rint(levels))
    assert "guessed" not in reader(job).trust and "guessed" in reader(opened()).trust


@pytest.mark.slow
def test_raw_pixels_end_to_end(pocketpress: Press, folder: Path) -> None:
    done = pocketpress(
        *NONE, "--eval", "pixels.npz", "--preprocess", "mean=0.5,std=0.25", "--input-uint8",
        "--metric", "top1", "--out", folder / "raw", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err + done.out
    data = json.loads(done.out)
    assert data["signature"]["inputs"][0]["dtype"] == "uint8"
    assert data["targets"][0]["metric"]["drop"] <= 0.05


def test_several_inputs_share_one_layer(folder: Path) -> None:
    job = opened("refused.py:both")
    assert job.calibration is not None
    samples = list(job.calibration.samples())
    assert len(samples) == 8
    assert {name: value.shape for name, value in samples[0].inputs.items()} == {
        "file": (1, 4),
        "beside": (1, 4),
    }


def test_far_statistics_are_not_to_be_trusted(folder: Path) -> None:
    found = reader(opened())
    made = found.result
    for distance, worst, near in (
        (NEAR, NEAR_WORST, True),
        (NEAR * 1.01, NEAR_WORST, False),
        (NEAR, NEAR_WORST * 1.01, False),
    ):
        vars(found)["result"] = replace(made, distance=distance, worst=worst)
        assert ("near enough for ranges" in found.trust) == near
        assert ("do not trust the ranges" in found.trust) != near


def test_a_large_network_gets_fewer_samples(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pocketpress.pipeline import job

    for macs, count in ((int(BUDGET / STEPS / 10), 10), (int(BUDGET), FEWEST), (0, 128)):
        monkeypatch.setattr(job, "multiply_accumulates", lambda _, macs=macs: macs)
        assert reader(opened(calibration_samples=128)).size == count


@pytest.mark.parametrize(
    "source, words",
    [
        ("net.py:random_dead", "the batch-norm statistics were never trained"),
        ("refused.py:plain", "--data none needs batch-norm layers"),
        ("refused.py:tokens", "input tokens cannot be synthesised: got int64"),
        ("refused.py:beside", "no batch-norm layer depends on input beside"),
    ],
)
def test_networks_that_tell_nothing_are_refused(
    pocketpress: Press, folder: Path, source: str, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        opened(source)
    done = pocketpress("press", source, "--data", "none", "--target", "onnxruntime", "--out", folder / "no")
    assert done.code == 2 and words in done.line and "--data" in done.line
    assert not (folder / "no").exists()


@pytest.mark.parametrize(
    "argv, words",
    [
        (("--metric", "top1"), "--metric needs real samples"),
        (("--max-drop", "1%"), "--max-drop needs real samples"),
        (("--eval", "none"), "evaluation needs real data"),
    ],
)
def test_accuracy_on_synthesised_samples_is_refused(
    pocketpress: Press, folder: Path, argv: tuple[str, ...], words: str
) -> None:
    done = pocketpress(*NONE, *argv, "--out", folder / "no")
    assert done.code == 2 and words in done.line
    assert not (folder / "no").exists()
