"""Each bad input is one line on stderr and the right exit code, and leaves nothing half-written."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import Press

ALL = "litert,executorch,onnxruntime"
GOOD = ("net.py:factory", "--weights", "w.safetensors", "--data", "calib.npz", "--eval", "eval.npz")


def refused(pocketpress: Press, trained: Path, *argv: str | Path, code: int = 2) -> str:
    """Press into a folder that must not exist afterwards; returns the line."""
    before = sorted(trained.iterdir())
    done = pocketpress("press", *argv, "--target", "onnxruntime", "--out", "refused", "--no-measure")
    assert done.code == code, done.err
    assert done.out == ""
    assert [p for p in sorted(trained.iterdir()) if p not in before and p.name != "__pycache__"] == []
    return done.line


SOURCES = [
    ("missing.py:factory", "no such file: got missing.py; give the path of the Python file"),
    ("no.such.module:factory", "no such module: got no.such.module"),
    ("net.py", "not a network: got net.py; allowed: package.module:factory, file.py:factory"),
    ("net.py:nothing", "net.py has no function nothing: got nothing; allowed: branching, factory"),
    ("net.py:raising", "net.py:raising failed: got RuntimeError: no such; see "),
    (
        "net.py:not_a_network",
        "net.py:not_a_network did not return a network: got dict; allowed: torch.nn.Module",
    ),
    ("net.py:training", "the network is in training mode: got module.training is True; return module.eval()"),
    ("net.py:shapeless", "the input shape of net.py:shapeless is unknown; give --input 1,3,224,224"),
    ("net.py:unsupported", "operator aten::bernoulli is not supported"),
    ("missing.pt2", "no such file: got missing.pt2"),
    ("eval.npz.pt2", "no such file"),
]


@pytest.mark.parametrize(("source", "text"), SOURCES)
def test_sources(pocketpress: Press, trained: Path, source: str, text: str) -> None:
    line = refused(pocketpress, trained, source, "--data", "calib.npz")
    assert text in line


def test_control_flow_that_depends_on_data_names_the_line(pocketpress: Press, trained: Path) -> None:
    line = refused(pocketpress, trained, "net.py:branching", "--data", "calib.npz")
    number = next(
        i for i, text in enumerate((trained / "net.py").read_text().split("\n"), 1) if "image.sum()" in text
    )
    assert f"net.py:{number}: if image.sum() > 0: data-dependent control flow" in line
    assert line.endswith("replace the branch on tensor values by torch.where")


def test_an_unsupported_operator_names_the_line(pocketpress: Press, trained: Path) -> None:
    assert "return torch.bernoulli(image)" in refused(
        pocketpress, trained, "net.py:unsupported", "--data", "calib.npz"
    )


def test_a_wrong_input_shape(pocketpress: Press, trained: Path) -> None:
    line = refused(pocketpress, trained, "net.py:shapeless", "--input", "1,4,16,16", "--data", "calib.npz")
    assert "fails on its example input of shape (1, 4, 16, 16)" in line and "net.py:" in line


@pytest.mark.parametrize("text", ["1,3,big", "0,3,4,4", "", "-1,3"])
def test_an_input_that_is_no_shape(pocketpress: Press, trained: Path, text: str) -> None:
    line = refused(pocketpress, trained, "net.py:shapeless", f"--input={text}", "--data", "calib.npz")
    assert "--input is not a shape" in line


OPTIONS = [
    (
        ("--target", "tflite"),
        "unknown target: got tflite; allowed: coreml, executorch, litert, litert-web, onnx",
    ),
    (("--target", ","), "no target given"),
    (("--metric", "top9000"), "top9000"),
    (("--precision", "int4"), "unknown precision: got int4; allowed: fp32, fp16, w8a8-static"),
    (("--estimator", "kl"), "estimator: got kl; allowed: "),
    (("--max-size", "2"), "--max-size needs a number with a unit: got 2; allowed: 2MB"),
    (("--max-latency", "fast"), "--max-latency needs a number with a unit"),
    (("--max-drop", "x%"), "--max-drop is not a number"),
    (("--threads", "0"), "'--threads': Input should be greater than or equal to 1"),
    (("--preprocess", "resize=huge"), "resize"),
    (("--nonsense",), "--nonsense"),
]


@pytest.mark.parametrize(("options", "text"), OPTIONS)
def test_options(pocketpress: Press, trained: Path, options: tuple[str, ...], text: str) -> None:
    before = sorted(p.name for p in trained.iterdir())
    done = pocketpress("press", *GOOD, "--target", "onnxruntime", "--out", "refused", *options)
    assert done.code == 2 and text in done.line
    assert sorted(p.name for p in trained.iterdir() if p.name != "__pycache__") == [
        n for n in before if n != "__pycache__"
    ]


def test_calibration_data_is_asked_for(pocketpress: Press, trained: Path) -> None:
    assert "w8a8-static needs calibration data; give --data" in refused(
        pocketpress, trained, "net.py:factory"
    )


def test_pytorch_mobile_has_no_int8(pocketpress: Press, trained: Path) -> None:
    done = pocketpress("press", *GOOD, "--target", "pytorch-mobile", "--out", "refused")
    assert done.code == 2
    assert "target pytorch-mobile has no precision w8a8-static" in done.line
    assert "--precision fp32" in done.line


def test_a_missing_extra_names_the_command(
    pocketpress: Press, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    from pocketpress.core import targets

    cards = dict(targets.all_targets())
    cards["litert"] = dataclasses.replace(cards["litert"], requires=("absent_package",))
    monkeypatch.setattr(targets, "all_targets", lambda: cards)
    done = pocketpress("press", *GOOD, "--target", "litert", "--out", "refused")
    assert done.code == 2 and not (trained / "refused").exists()
    assert done.line == (
        "target litert needs packages that are not installed: got missing absent_package; "
        "run: pip install 'pocketpress[litert]'"
    )


# -- weights -------------------------------------------------------------------------------------------


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.write_text, (self.path, "executed"))


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_a_malicious_pickle_is_not_executed(
    pocketpress: Press, trained: Path, tmp_path: Path, suffix: str
) -> None:
    marker, weights = tmp_path / "executed", tmp_path / f"evil{suffix}"
    weights.write_bytes(pickle.dumps(Evil(marker)))
    line = refused(pocketpress, trained, "net.py:factory", "--weights", weights, "--data", "calib.npz")
    assert not marker.exists()
    assert "is not a plain state dict" in line and "safetensors" in line


def test_a_malicious_pickle_in_a_zip_is_not_executed(
    pocketpress: Press, trained: Path, tmp_path: Path
) -> None:
    import torch

    marker, weights = tmp_path / "executed", tmp_path / "evil.pt"
    torch.save({"stem": Evil(marker)}, weights)
    marker.unlink(missing_ok=True)
    line = refused(pocketpress, trained, "net.py:factory", "--weights", weights, "--data", "calib.npz")
    assert not marker.exists() and "is not a plain state dict" in line


def test_a_saved_program_that_needs_a_pickle_is_refused(
    pocketpress: Press, trained: Path, tmp_path: Path
) -> None:
    """Any pickle inside a .pt2 that holds more than tensors is refused, not executed."""
    import torch

    marker, good, bad = tmp_path / "executed", tmp_path / "good.pt2", tmp_path / "bad.pt2"
    torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.ones(1, 3),)), good)
    evil = tmp_path / "evil.pt"
    torch.save({"x": Evil(marker)}, evil)
    marker.unlink(missing_ok=True)
    replaced = 0
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(bad, "w", zipfile.ZIP_STORED) as copy:
        for item in archive.infolist():
            content = archive.read(item)
            if item.filename.endswith(".pt"):
                content, replaced = evil.read_bytes(), replaced + 1
            copy.writestr(item, content)
    assert replaced > 0
    line = refused(pocketpress, trained, bad, "--precision", "fp32")
    assert not marker.exists() and "cannot be read as a .pt2 program" in line


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("w.safetensors", b"not safetensors", "is not a safetensors file"),
        ("w.safetensors", struct.pack("<Q", 1 << 60) + b"{}", "is not a safetensors file"),
        ("w.bin", b"", "unknown weights format: got .bin; allowed: .safetensors, .pt, .pth"),
        ("w.pt", b"", "is not a plain state dict"),
        ("x.pt2", b"PK", "is not a .pt2 program"),
    ],
)
def test_files_that_are_not_what_they_are_called(
    pocketpress: Press, trained: Path, tmp_path: Path, name: str, content: bytes, text: str
) -> None:
    (tmp_path / name).write_bytes(content)
    path = tmp_path / name
    argv = [path] if name.endswith("pt2") else ["net.py:factory", "--weights", path]
    assert text in refused(pocketpress, trained, *argv, "--data", "calib.npz")


def test_weights_that_do_not_fit(pocketpress: Press, trained: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    state = load_file(trained / "w.safetensors")
    save_file({k: v for k, v in state.items() if k != "head.bias"}, tmp_path / "less.safetensors")
    line = refused(
        pocketpress,
        trained,
        "net.py:factory",
        "--weights",
        tmp_path / "less.safetensors",
        "--data",
        "calib.npz",
    )
    assert "does not fit the network: got 1 missing" in line and "head.bias" in line
    save_file({**state, "head.weight": torch.zeros(5, 8)}, tmp_path / "shape.safetensors")
    line = refused(
        pocketpress,
        trained,
        "net.py:factory",
        "--weights",
        tmp_path / "shape.safetensors",
        "--data",
        "calib.npz",
    )
    assert "head.weight has another shape: got (5, 8); allowed: (4, 8)" in line


def test_weights_that_are_not_numbers(pocketpress: Press, trained: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(trained / "w.safetensors")
    state["head.weight"][0, :3] = float("nan")
    save_file(state, tmp_path / "nan.safetensors")
    line = refused(
        pocketpress,
        trained,
        "net.py:factory",
        "--weights",
        tmp_path / "nan.safetensors",
        "--data",
        "calib.npz",
    )
    assert line == ("weight head.weight holds NaN or infinity: got 3 of 32 values; check the training run")


# -- data ----------------------------------------------------------------------------------------------


def test_npz_without_x(pocketpress: Press, trained: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", images=np.zeros((2, 3, 16, 16), np.float32))
    line = refused(pocketpress, trained, "net.py:factory", "--data", tmp_path / "d.npz")
    assert "has no array" in line and "images" in line and "x" in line


def test_labels_of_another_length(pocketpress: Press, trained: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 3, 16, 16), np.float32), y=np.zeros(3, np.int64))
    line = refused(
        pocketpress, trained, "net.py:factory", "--data", "calib.npz", "--eval", tmp_path / "d.npz"
    )
    assert "arrays of different lengths" in line


def test_samples_of_another_shape(pocketpress: Press, trained: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 3, 8, 8), np.float32))
    line = refused(pocketpress, trained, "net.py:factory", "--data", tmp_path / "d.npz")
    assert "(3, 8, 8)" in line and "16" in line


def test_labels_outside_the_classes(pocketpress: Press, trained: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 3, 16, 16), np.float32), y=np.asarray([0, 1, 2, 9]))
    line = refused(
        pocketpress, trained, "net.py:factory", "--data", "calib.npz", "--eval", tmp_path / "d.npz",
        "--metric", "top1",
    )  # fmt: skip
    assert "9" in line


def test_a_truncated_npz_and_a_file_that_is_none(pocketpress: Press, trained: Path, tmp_path: Path) -> None:
    whole = (trained / "calib.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("x")
    for name in ("cut.npz", "text.npz"):
        line = refused(pocketpress, trained, "net.py:factory", "--data", tmp_path / name)
        assert f"{name} is not a readable .npz" in line
    assert "no such file" in refused(pocketpress, trained, "net.py:factory", "--data", tmp_path / "none.npz")


def test_calibration_data_that_is_not_a_number(pocketpress: Press, trained: Path, tmp_path: Path) -> None:
    x = np.zeros((3, 3, 16, 16), np.float32)
    x[1, 0, 0, 0] = np.nan
    np.savez(tmp_path / "d.npz", x=x)
    line = refused(pocketpress, trained, "net.py:factory", "--data", tmp_path / "d.npz")
    assert "NaN" in line


def test_a_corrupt_image_in_a_folder(pocketpress: Press, trained: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("left", "right"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(2):
            pixels = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{i}.png")
    broken = tmp_path / "photos" / "right" / "1.png"
    broken.write_bytes(broken.read_bytes()[:100])
    line = refused(pocketpress, trained, "net.py:factory", "--data", tmp_path / "photos")
    assert "right/1.png" in line


def test_a_metric_that_needs_labels(pocketpress: Press, trained: Path) -> None:
    line = refused(pocketpress, trained, "net.py:factory", "--data", "calib.npz", "--metric", "top1")
    assert "label" in line or "target" in line


# -- the machine ---------------------------------------------------------------------------------------


def test_out_is_a_file(pocketpress: Press, trained: Path) -> None:
    (trained / "occupied").write_text("mine")
    done = pocketpress("press", *GOOD, "--target", "onnxruntime", "--out", "occupied", "--no-measure")
    assert done.code == 4 and "cannot write into occupied" in done.line
    assert (trained / "occupied").read_text() == "mine"


@pytest.mark.parametrize(
    "target",
    ["litert", "onnxruntime", *(pytest.param(n, marks=pytest.mark.slow) for n in ("executorch", "coreml"))],
)
def test_no_room_on_disk(
    pocketpress: Press, trained: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """The disk fills up while the artifact is written: exit 4, and the folder is gone again."""
    from pocketpress.core.target import TargetSpec

    def full(self: TargetSpec, program: object, signature: object, path: Path) -> None:
        path.with_suffix(".part").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TargetSpec, "lower", full)
    done = pocketpress("press", *GOOD, "--target", target, "--out", "refused", "--no-measure", "--no-cache")
    assert done.code == 4
    assert "cannot write net." in done.line and "No space left on device; check the free space" in done.line
    assert not (trained / "refused").exists()


def test_no_room_for_the_record_keeps_the_previous_press(
    pocketpress: Press, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pocketpress.core.record import Record

    argv = ("press", *GOOD, "--target", "onnxruntime", "--out", "kept", "--no-measure")
    assert pocketpress(*argv).code == 0
    before = _contents(trained / "kept")

    def full(self: Record, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Record, "write", full)
    done = pocketpress(*argv)
    assert done.code == 4 and "No space left on device" in done.line
    assert _contents(trained / "kept") == before


def _contents(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_bug_is_one_line_too(pocketpress: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    from pocketpress.pipeline import stateful

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("first\nsecond")

    monkeypatch.setattr(stateful, "load_source", broken)
    done = pocketpress("press", *GOOD, "--target", "onnxruntime", "--out", "refused")
    assert done.code == 70
    assert done.line == "internal error: ZeroDivisionError: first second; run with -v and report it"
