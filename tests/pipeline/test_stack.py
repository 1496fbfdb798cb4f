"""Prune, factorise, mask, fine-tune and quantise in one command, on the trained stripes network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import Press
from tests.pipeline.stripes import pictures

from pocketpress.core.record import Record

BASE = (
    "net.py:factory", "--weights", "w.safetensors", "--data", "calib.npz", "--eval", "eval.npz",
    "--metric", "top1", "--target", "litert,onnxruntime",
)  # fmt: skip
TUNE = ("--finetune", "train.npz", "--epochs", "2", "--finetune-samples", "600", "--learning-rate", "0.02")

RIGID = """
import torch
from torch import nn

class Rigid(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8 * 256, 4)

    def forward(self, image):
        return self.head(self.conv(image).relu().reshape(1, 2048))

def factory():
    torch.manual_seed(0)
    return Rigid().eval(), (torch.zeros(1, 3, 16, 16),)
"""
"""Takes the example input's batch and channels alone."""


@pytest.fixture
def project(trained: Path) -> Path:
    if not (trained / "train.npz").exists():
        x, y = pictures(600, 5)
        np.savez(trained / "train.npz", x=x, y=y)
        np.savez(trained / "unlabelled.npz", x=x)
        np.savez(trained / "one.npz", x=x[:1], y=y[:1])
        np.savez(trained / "wrong.npz", x=x, y=y + 7)
        (trained / "losses.py").write_text(
            "import torch.nn.functional as F\n"
            "def good(outputs, targets): return F.cross_entropy(outputs, targets)\n"
            "def vector(outputs, targets): return outputs\n"
            "def broken(outputs, targets): raise RuntimeError('no such loss')\n"
        )
        (trained / "rigid.py").write_text(RIGID)
    return trained


def pressed(pocketpress: Press, *argv: str | Path) -> dict[str, Any]:
    done = pocketpress("press", *BASE, "--json", *argv)
    assert done.code == 0, done.err + done.out
    data: dict[str, Any] = json.loads(done.out)
    return data


def signature_of(data: dict[str, Any]) -> Any:
    return [[(s["name"], s["shape"]) for s in data["signature"][side]] for side in ("inputs", "outputs")]


def test_one_command_prunes_tunes_and_quantises(pocketpress: Press, project: Path) -> None:
    out = project / "stack"
    data = pressed(pocketpress, "--out", out, "--prune", "1.6x", *TUNE, "--no-measure")
    plain = pressed(pocketpress, "--out", project / "plain", "--no-measure")
    steps = data["steps"]
    assert [s["name"] for s in steps] == ["float", "prune", "fine-tune", "w8a8-static"]
    first, pruned, tuned, last = steps
    assert first["metric"]["drop"] == 0
    assert pruned["multiply_accumulates"] <= first["multiply_accumulates"] / 1.6
    assert first["multiply_accumulates"] == data["source"]["multiply_accumulates"]
    assert pruned["parameters"] < first["parameters"] == data["source"]["parameters"]
    assert tuned["parameters"] == pruned["parameters"]
    assert tuned["metric"]["drop"] < max(0.15, pruned["metric"]["drop"])
    assert tuned["metric"]["drop_ci95"][0] <= tuned["metric"]["drop"] <= tuned["metric"]["drop_ci95"][1]
    for before, now, end in zip(first["targets"], pruned["targets"], last["targets"], strict=True):
        assert end["size_bytes"] < now["size_bytes"] < before["size_bytes"]
        assert end["metric"]["name"] == "top1"
    assert signature_of(data) == signature_of(plain)
    assert data["float_metric"] == plain["float_metric"], "the baseline is the network as it was given"
    for target, other in zip(data["targets"], plain["targets"], strict=True):
        assert target["float_size_bytes"] == other["float_size_bytes"]
        assert target["parity"]["equal"] == 1.0
    assert data["recipe"]["options"]["prune"] == "1.6x"
    assert sorted(p.name for p in out.iterdir()) == [
        "bench",
        "checkpoints",
        "net.onnx",
        "net.tflite",
        "record.json",
        "report.html",
    ]
    page = (out / "report.html").read_text()
    assert "Step by step" in page and "fine-tune" in page
    assert Record.model_validate_json((out / "record.json").read_text()).steps


def test_resume_goes_on_where_the_same_command_stopped(pocketpress: Press, project: Path) -> None:
    out, argv = project / "resumed", ("--prune", "1.6x", *TUNE, "--no-measure", "--importance", "taylor")
    first = pressed(pocketpress, "--out", out, *argv)
    again = pressed(pocketpress, "--out", out, *argv, "--resume")
    assert [s["seconds"] for s in again["steps"]] == [s["seconds"] for s in first["steps"]]
    assert [t["sha256"] for t in again["targets"]] == [t["sha256"] for t in first["targets"]]
    done = pocketpress("press", *BASE, "--out", out, *argv, "--resume", "--batch", "64")
    assert done.code == 2 and "the checkpoint is of another command, network or data" in done.line


@pytest.mark.slow
def test_interrupted_in_the_second_epoch_and_resumed(
    pocketpress: Press, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pocketpress.compress.distill import checkpoint, train

    argv = ("--mask", "2:4", *TUNE, "--no-measure")
    whole = pressed(pocketpress, "--out", project / "whole", *argv)
    write, calls = checkpoint.Checkpoint.write, []

    def interrupted(self: checkpoint.Checkpoint, state: dict[str, Any]) -> None:
        write(self, state)
        if state["training"] is not None:
            calls.append(len(state["training"]["losses"]))
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.Checkpoint, "write", interrupted)
    out = project / "broken-off"
    assert pocketpress("press", *BASE, "--out", out, *argv).code == 130
    assert calls == [1] and [p.name for p in out.iterdir()] == ["checkpoints"]
    monkeypatch.setattr(checkpoint.Checkpoint, "write", write)
    steps: list[int] = []
    step = train._step
    monkeypatch.setattr(train, "_step", lambda *a: (steps.append(1), step(*a))[1])
    resumed = pressed(pocketpress, "--out", out, *argv, "--resume")
    assert len(steps) == 5, "one of two epochs of 600 samples in batches of 128"
    assert [t["sha256"] for t in resumed["targets"]] == [t["sha256"] for t in whole["targets"]]


@pytest.mark.slow
def test_training_on_the_grid_resumes_too(
    pocketpress: Press, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pocketpress.compress.learn import finetune

    out = project / "grid"
    argv = ("--finetune", "train.npz", "--epochs", "0", "--qat-epochs", "2", "--no-measure")
    first = pressed(pocketpress, "--out", out, *argv)
    monkeypatch.setattr(finetune, "_loss", None)  # nothing is trained again
    again = pressed(pocketpress, "--out", out, *argv, "--resume")
    assert [t["sha256"] for t in again["targets"]] == [t["sha256"] for t in first["targets"]]
    done = pocketpress("press", *BASE, "--out", out, *argv, "--resume", "--seed", "1")
    assert done.code == 2 and "the checkpoint is of another command, network or data" in done.line


@pytest.mark.slow
def test_masks_save_bytes_after_compression_and_claim_no_speed(pocketpress: Press, project: Path) -> None:
    data = pressed(pocketpress, "--out", project / "masked", "--mask", "50%", *TUNE, "--no-measure")
    first, masked, tuned, last = data["steps"]
    assert [s["name"] for s in data["steps"]] == ["float", "mask", "fine-tune", "w8a8-static"]
    assert masked["zeros"] == pytest.approx(0.5, abs=0.01) and tuned["zeros"] == pytest.approx(0.5, abs=0.01)
    assert any("no runtime here" in note for note in masked["notes"])
    for before, after in zip(first["targets"], tuned["targets"], strict=True):
        assert after["size_bytes"] == before["size_bytes"]
        assert after["size_compressed_bytes"] < 0.85 * before["size_compressed_bytes"]
        assert after["latency_s"] is None
    assert last["zeros"] == tuned["zeros"]
    assert zeros_of(project / "masked" / "net.onnx") >= tuned["zeros"], "rounding keeps the zeros"


def zeros_of(path: Path) -> float:
    """Share of zeros in the int8 weights of an ONNX file."""
    import onnx

    stored = [onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer]
    weights = [w for w in stored if w.dtype == np.int8 and w.ndim >= 2]
    assert len(weights) == 6, "five convolutions and a linear layer"
    return float(sum((w == 0).sum() for w in weights) / sum(w.size for w in weights))


def test_fine_tuning_alone_without_labels_learns_from_the_float_network(
    pocketpress: Press, project: Path
) -> None:
    data = pressed(
        pocketpress, "--out", project / "distilled", "--finetune", "unlabelled.npz", "--epochs", "1",
        "--no-measure", "--precision", "fp32",
    )  # fmt: skip
    assert [s["name"] for s in data["steps"]] == ["float", "fine-tune", "fp32"]
    assert "labels" not in data["steps"][1]["detail"]
    assert data["steps"][1]["metric"]["drop"] < 0.1


def test_low_rank_is_left_out_where_it_saves_nothing(pocketpress: Press, project: Path) -> None:
    data = pressed(pocketpress, "--out", project / "thin", "--low-rank", "0.999", "--no-measure")
    assert [s["name"] for s in data["steps"]] == ["float", "w8a8-static"]
    assert any(s["name"].startswith("low-rank ") and "saves nothing" in s["reason"] for s in data["skipped"])


@pytest.mark.slow
def test_several_outputs_keep_their_names(pocketpress: Press, project: Path) -> None:
    done = pocketpress(
        "press", "net.py:two_heads", "--weights", "w.safetensors", "--data", "calib.npz",
        "--target", "litert", "--out", project / "heads", "--prune", "20%", "--no-measure", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    data = json.loads(done.out)
    assert [s["name"] for s in data["signature"]["outputs"]] == ["logits", "features"]
    assert {s["name"] for s in data["skipped"]} >= {"prune head"}


def test_a_slower_network_is_refused(
    pocketpress: Press, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pocketpress.core.record import Latency
    from pocketpress.pipeline import steps

    slow = Latency(
        median=2e-3, p90=2e-3, float_median=1e-3, speedup=0.5, speedup_ci95=(0.48, 0.52), threads=1, runs=9
    )
    monkeypatch.setattr(steps, "measure_latency", lambda *_: slow)
    argv = ("press", *BASE, "--out", project / "slow", "--prune", "1.6x")
    done = pocketpress(*argv)
    assert done.code == 3
    assert done.line.startswith(
        "after pruning the network is slower in litert: got 2.00x of the float network's time; allowed: less"
    )
    assert not (project / "slow").exists()


REFUSED = [
    (("--prune", "half"), "not an amount to prune: got half; allowed: 2x (times fewer), 40% (fewer)"),
    (("--prune", "1000x"), "cannot prune so far: got 1000x fewer multiply-accumulates; allowed: at most "),
    (("--prune", "2x", "--importance", "taylor"), "importance taylor needs labelled data; give --finetune"),
    (
        ("--prune", "2x", "--importance", "taylor", "--finetune", "unlabelled.npz"),
        "importance taylor needs labels, and the fine-tuning data has none",
    ),
    (("--finetune", "unlabelled.npz", "--loss", "mse"), "--loss mse needs labels, and the fine-tuning data"),
    (("--finetune", "nothing.npz"), "no such file: got nothing.npz"),
    (("--finetune", "one.npz"), "too few fine-tuning samples: got 1; allowed: at least 2"),
    (
        ("--finetune", "wrong.npz", "--loss", "cross-entropy"),
        "the labels do not fit cross-entropy: got torch.int64",
    ),
    (("--finetune", "train.npz", "--loss", "losses.py:missing"), "losses.py has no function missing"),
    (("--finetune", "train.npz", "--loss", "losses.py:vector"), "--loss losses.py:vector gives no single"),
    (
        ("--finetune", "train.npz", "--loss", "losses.py:broken"),
        "--loss losses.py:broken fails: got RuntimeE",
    ),
    (("--finetune", "train.npz", "--loss", "hinge"), "unknown loss: got hinge; allowed: auto"),
    (("--mask", "4:2"), "not a mask: got 4:2; allowed: 50%, 2:4"),
    (("--low-rank", "2"), "--low-rank is a share: got 2.0; allowed: between 0 and 1"),
    (("--prune-for", "litert"), "--prune-for and --prune-latency go together"),
    (
        ("--prune-for", "coreml", "--prune-latency", "0.5"),
        "--prune-for names none of the targets: got coreml; allowed: litert, onnxruntime",
    ),
    (("--prune", "2x", "--prune-steps", "3"), "pruning in steps needs fine-tuning between them"),
    (("--prune", "2x", "--resume"), "there is nothing to resume without fine-tuning; give --finetune data"),
]


@pytest.mark.parametrize(("argv", "line"), REFUSED, ids=[" ".join(a) for a, _ in REFUSED])
def test_bad_input_is_one_line_and_leaves_nothing(
    pocketpress: Press, project: Path, argv: tuple[str, ...], line: str
) -> None:
    done = pocketpress("press", *BASE, "--out", "refused", "--no-measure", *argv)
    left = project / "refused"
    existed = left.exists()
    shutil.rmtree(left, ignore_errors=True)
    assert done.code == 2 and done.out == "", done.out
    assert done.line.startswith(line), done.line
    assert not existed


RIGID_PRESS = ("rigid.py:factory", "--data", "calib.npz", "--eval", "eval.npz", "--target", "onnxruntime")


def test_a_network_whose_shapes_are_written_down_says_why_it_cannot_be_pruned(
    pocketpress: Press, project: Path
) -> None:
    done = pocketpress("press", *RIGID_PRESS, "--prune", "2x", "--out", "refused")
    assert done.code == 2 and not (project / "refused").exists()
    assert done.line.startswith(
        "the network has no channels to prune: got head: its channels are the network's outputs; "
        "conv: without some channels it fails: RuntimeError: shape"
    )
    assert done.line.endswith("press it without --prune, or try --low-rank")


def test_a_network_of_one_batch_size_is_measured_sample_by_sample_and_not_trained(
    pocketpress: Press, project: Path
) -> None:
    done = pocketpress("press", *RIGID_PRESS, "--mask", "50%", "--no-measure", "--json", "--out", "masked")
    assert done.code == 0, done.err
    assert [s["name"] for s in json.loads(done.out)["steps"]] == ["float", "mask", "w8a8-static"]
    done = pocketpress("press", *RIGID_PRESS, "--finetune", "train.npz", "--out", "refused")
    assert done.code == 2 and not (project / "refused").exists()
    assert done.line.startswith(
        "the network fails on a batch of fine-tuning samples: got RuntimeError: shape"
    )


def test_a_saved_program_has_no_channels_to_prune(pocketpress: Press, project: Path) -> None:
    (project / "net.pt2").write_bytes(b"")
    done = pocketpress("press", "net.pt2", *BASE[1:], "--prune", "2x")
    assert done.code == 2
    assert done.line == (
        "a saved program cannot be pruned, factorised, masked or fine-tuned: got net.pt2; allowed: "
        "package.module:factory, path/to/file.py:factory; give the factory of the network and its --weights"
    )


def test_a_few_lines_of_python(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss as a function, and data it was fine-tuned on, which the record warns of."""
    import torch

    import pocketpress

    monkeypatch.chdir(project)
    seen = []

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        seen.append(len(targets))
        return torch.nn.functional.cross_entropy(outputs, targets, label_smoothing=0.1)

    record = pocketpress.press(
        "net.py:factory", weights="w.safetensors", data="train.npz", targets="onnxruntime", measure=False,
        precision="fp32", out="python", evaluation_samples=50,
        shrink={"finetune": "train.npz", "loss": loss, "epochs": 1, "samples": 256},
    )  # fmt: skip
    assert [s.name for s in record.steps] == ["float", "fine-tune", "fp32"]
    assert seen[1:] == [128, 128]
    assert str(record.recipe.options["loss"]).endswith("loss")
    assert any("evaluated on the data it was fine-tuned on" in note for note in record.steps[1].notes)
