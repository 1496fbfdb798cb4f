"""The whole way, on a trained residual network of 16x16 pixels: from a factory to proven artifacts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import Press
from tests.pipeline.stripes import pictures

import pocketpress as package
from pocketpress.core.record import Record

RUNTIMES = ("litert", "executorch", "onnxruntime")
INT8 = (
    "press", "net.py:factory", "--weights", "w.safetensors", "--data", "calib.npz", "--eval", "eval.npz",
    "--metric", "top1", "--no-measure", "--json",
)  # fmt: skip


def pressed(pocketpress: Press, *argv: str | Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    done = pocketpress(*argv)
    assert done.code == 0, done.err + done.out
    assert done.err == ""
    data = json.loads(done.out)
    return data, {t["name"]: t for t in data["targets"]}


@pytest.fixture
def int8(pocketpress: Press, trained: Path) -> tuple[Path, dict[str, Any], dict[str, dict[str, Any]]]:
    out = trained / "int8"
    return out, *pressed(pocketpress, *INT8, "--target", ",".join(RUNTIMES), "--out", out)


def test_one_network_four_kinds_of_artifact(pocketpress: Press, trained: Path) -> None:
    out = trained / "all"
    data, targets = pressed(
        pocketpress, *INT8, "--target", "litert,executorch,onnxruntime,coreml", "--out", out
    )  # fmt: skip
    assert sorted(p.name for p in out.iterdir()) == sorted(
        [*(t["artifact"] for t in targets.values()), "bench", "record.json", "report.html"]
    )
    floats = (f"float-{t['artifact']}" for t in targets.values())
    assert sorted(p.name for p in (out / "bench").iterdir()) == sorted([*floats, "golden.npz", "program.bin"])
    record = Record.model_validate_json((out / "record.json").read_text())
    assert json.loads(record.to_json()) == data
    assert data["verdict"] in ("pass", "not executed here")
    for name in RUNTIMES:
        assert targets[name]["verdict"] == "pass" and targets[name]["executed"]
        assert targets[name]["size_bytes"] > 1000 and len(targets[name]["sha256"]) == 64
    assert not targets["coreml"]["executed"]
    assert "<html" in (out / "report.html").read_text()


def test_the_same_integers_in_every_runtime(int8: tuple[Path, dict[str, Any], dict[str, Any]]) -> None:
    """A residual network; 99 % is promised, and with tie-free scales every element is equal."""
    _, data, targets = int8
    for name in RUNTIMES:
        parity = targets[name]["parity"]
        assert parity["samples"] == 60 and parity["equal"] >= 0.99, (name, parity)
        assert parity["max_lsb"] <= 1 and parity["vacuous"] is False
        assert parity["sqnr_float_db"] > 20
        assert targets[name]["skipped"] == [], name
    assert len(data["between"]) == 3
    assert all(pair["parity"]["equal"] >= 0.99 for pair in data["between"])


def test_the_network_still_does_its_job(int8: tuple[Path, dict[str, Any], dict[str, Any]]) -> None:
    _, data, targets = int8
    assert data["float_metric"]["name"] == "top1" and data["float_metric"]["value"] > 0.7
    for name in RUNTIMES:
        metric = targets[name]["metric"]
        assert (
            abs(metric["drop"]) < 0.06 and metric["drop_ci95"][0] <= metric["drop"] <= metric["drop_ci95"][1]
        )
        assert metric["words"]
    assert len(data["layers"]) > 5


def test_a_press_is_deterministic(pocketpress: Press, trained: Path) -> None:
    first = pressed(
        pocketpress, *INT8, "--target", "litert,onnxruntime", "--out", trained / "a", "--no-cache"
    )
    second = pressed(
        pocketpress, *INT8, "--target", "litert,onnxruntime", "--out", trained / "b", "--no-cache"
    )
    assert {n: t["sha256"] for n, t in first[1].items()} == {n: t["sha256"] for n, t in second[1].items()}


def test_a_second_press_with_one_more_target_reuses_the_first(
    pocketpress: Press, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pocketpress.pipeline import prepare

    monkeypatch.setenv("POCKETPRESS_CACHE", str(tmp_path / "cache"))
    lowered: list[str] = []
    from pocketpress.core.target import TargetSpec

    real = TargetSpec.lower

    def counted(self: TargetSpec, *args: Any) -> Any:
        lowered.append(self.name)
        return real(self, *args)

    monkeypatch.setattr(TargetSpec, "lower", counted)
    first = pressed(pocketpress, *INT8, "--target", "litert,onnxruntime", "--out", trained / "one")
    assert sorted(lowered) == ["litert", "litert", "onnxruntime", "onnxruntime"]
    lowered.clear()

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("quantised again")

    monkeypatch.setattr(prepare, "quantize", forbidden)
    second = pressed(pocketpress, *INT8, "--target", "litert,onnxruntime,coreml", "--out", trained / "more")
    assert set(lowered) == {"coreml"}
    assert second[1]["litert"]["sha256"] == first[1]["litert"]["sha256"]
    assert second[1]["litert"]["parity"] == first[1]["litert"]["parity"]


def test_an_artifact_opens_as_a_function(int8: tuple[Path, dict[str, Any], dict[str, Any]]) -> None:
    out, _, targets = int8
    image = pictures(1, 1)[0]
    results = []
    for name in RUNTIMES:
        with package.open(out / targets[name]["artifact"]) as session:
            results.append(session(image=image)["output"])
            assert session.signature.precision == "w8a8-static"
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
    with package.open(out / targets["litert"]["artifact"], isolated=True) as session:
        np.testing.assert_array_equal(session(image)["output"], results[0])


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_float_precisions(pocketpress: Press, trained: Path, precision: str) -> None:
    data, targets = pressed(
        pocketpress, "press", "net.py:factory", "--weights", "w.pt", "--data", "eval.npz", "--metric", "top1",
        "--precision", precision, "--target", "litert,executorch,onnxruntime,pytorch-mobile"
        if precision == "fp32" else "litert,executorch,onnxruntime",
        "--out", trained / precision, "--no-measure", "--json",
    )  # fmt: skip
    assert data["recipe"]["precision"] == precision
    for target in targets.values():
        parity = target["parity"]
        assert parity["equal"] is None and parity["max_abs"] <= parity["tolerance"], (target["name"], parity)
        assert target["verdict"] == "pass", target
        assert target["metric"]["drop"] == pytest.approx(0, abs=0.02)


def test_half_the_bytes_in_half_precision(pocketpress: Press, trained: Path) -> None:
    sizes = {}
    for precision in ("fp32", "fp16"):
        _, targets = pressed(
            pocketpress, "press", "net.py:factory", "--weights", "w.pt", "--precision", precision,
            "--target", "onnxruntime", "--out", trained / f"s{precision}", "--no-measure", "--json",
        )  # fmt: skip
        sizes[precision] = targets["onnxruntime"]["size_bytes"]
    assert sizes["fp16"] < sizes["fp32"] - 2000


def test_raw_pixels(pocketpress: Press, trained: Path) -> None:
    """The artifact fed 0-255 pixels computes what the network computes on normalised values."""
    _, targets = pressed(
        pocketpress, "press", "net.py:factory", "--weights", "w.safetensors", "--data", "pixels.npz",
        "--preprocess", "mean=0.5:0.5:0.5,std=0.25:0.25:0.25", "--input-uint8", "--metric", "top1",
        "--target", ",".join(RUNTIMES), "--out", trained / "pixels", "--no-measure", "--json",
    )  # fmt: skip
    with np.load(trained / "pixels.npz") as file:
        pixels = np.ascontiguousarray(file["x"][:8].transpose(0, 3, 1, 2))
    normalised = ((pixels / 255 - 0.5) / 0.25).astype(np.float32)
    wanted = outputs_of_torch(trained, normalised)
    for name in RUNTIMES:
        target = targets[name]
        assert target["parity"]["equal"] >= 0.99, (name, target["parity"])
        assert target["metric"]["value"] > 0.7
        with package.open(trained / "pixels" / target["artifact"]) as session:
            assert session.signature.inputs[0].dtype == "uint8"
            got = np.concatenate([session(p[None])["output"] for p in pixels])
        assert np.abs(got - wanted).max() < 0.1 * np.ptp(wanted), name


def outputs_of_torch(trained: Path, x: Any) -> Any:
    import torch
    from safetensors.torch import load_file

    from pocketpress.sources.factory import find_factory

    network, _ = find_factory(f"{trained / 'net.py'}:factory")()
    network.load_state_dict(load_file(trained / "w.safetensors"))
    with torch.no_grad():
        return network(torch.from_numpy(x)).numpy()


def test_several_outputs(pocketpress: Press, trained: Path) -> None:
    data, targets = pressed(
        pocketpress, "press", "net.py:two_heads", "--weights", "w.safetensors", "--data", "calib.npz",
        "--target", ",".join(RUNTIMES), "--out", trained / "two", "--no-measure", "--json",
    )  # fmt: skip
    assert [o["name"] for o in data["signature"]["outputs"]] == ["logits", "features"]
    for name in RUNTIMES:
        assert targets[name]["parity"]["equal"] >= 0.99, (name, targets[name]["parity"])
        with package.open(trained / "two" / targets[name]["artifact"]) as session:
            found = session(image=np.zeros((1, 3, 16, 16), np.float32))
        assert {n: v.shape for n, v in found.items()} == {"logits": (1, 4), "features": (1, 8)}


def test_a_network_that_ignores_its_input_is_vacuous(pocketpress: Press, trained: Path) -> None:
    """Agreement of a dead network with its reference proves nothing: exit 3, and the verdict says so."""
    done = pocketpress(
        "press", "net.py:random_dead", "--data", "calib.npz", "--target", "onnxruntime",
        "--precision", "fp32", "--out", trained / "dead", "--no-measure", "--json",
    )  # fmt: skip
    small = json.loads(done.out)
    spread = small["targets"][0]["parity"]["spread"]
    assert spread is not None
    int8 = pocketpress(
        "press", "net.py:random_dead", "--data", "calib.npz", "--target", "onnxruntime", "--out",
        trained / "dead8", "--no-measure", "--json",
    )  # fmt: skip
    data = json.loads(int8.out)
    assert int8.code == 3 and data["verdict"] == "vacuous"
    assert data["targets"][0]["parity"]["vacuous"] is True
    assert any("input" in reason for reason in data["targets"][0]["reasons"])


def test_a_broken_promise_is_exit_3_with_the_reason(pocketpress: Press, trained: Path) -> None:
    done = pocketpress(*INT8, "--target", "onnxruntime", "--out", trained / "limit", "--max-size", "1KB")
    assert done.code == 3
    data = json.loads(done.out)
    assert data["verdict"] == "fail"
    assert "kB" in data["targets"][0]["reasons"][0] and (trained / "limit" / "record.json").is_file()


def test_without_tied_scales(pocketpress: Press, trained: Path) -> None:
    data, _ = pressed(
        pocketpress, *INT8, "--target", "onnxruntime", "--out", trained / "untied", "--no-tied-scales",
        "--allow-difference",
    )  # fmt: skip
    assert data["recipe"]["options"]["tied_scales"] is False


def test_without_data_a_float_press_says_what_it_skipped(pocketpress: Press, trained: Path) -> None:
    data, targets = pressed(
        pocketpress, "press", "net.py:factory", "--weights", "w.safetensors", "--precision", "fp16",
        "--target", "litert", "--out", trained / "nodata", "--json",
    )  # fmt: skip
    assert {"name": "verify and measure", "reason": "no evaluation data (--data, --eval)"} in data["skipped"]
    assert targets["litert"]["parity"] is None and not targets["litert"]["executed"]


def test_a_saved_program(pocketpress: Press, trained: Path) -> None:
    import torch

    from pocketpress.sources.factory import find_factory

    network, example = find_factory(f"{trained / 'net.py'}:factory")()
    torch.export.save(torch.export.export(network, example), trained / "saved.pt2")
    data, targets = pressed(
        pocketpress, "press", "saved.pt2", "--data", "calib.npz", "--target", "litert", "--out",
        trained / "pt2", "--no-measure", "--json", "--allow-vacuous",
    )  # fmt: skip
    assert data["source"]["kind"] == "pt2" and targets["litert"]["artifact"] == "saved.tflite"


@pytest.mark.slow
def test_measured(pocketpress: Press, trained: Path) -> None:
    done = pocketpress(
        *INT8[:-2], "--json", "--target", ",".join(RUNTIMES), "--out", trained / "measured", "--allow-slower"
    )
    assert done.code == 0, done.err + done.out
    for target in json.loads(done.out)["targets"]:
        latency = target["latency_s"]
        assert 0 < latency["median"] <= latency["p90"] and latency["float_median"] > 0
        assert target["peak_rss_bytes"] > 1 << 20 and target["load_s"] > 0


def test_the_python_interface(trained: Path, shared_cache: Path, tmp_path: Path) -> None:
    record = package.press(
        f"{trained / 'net.py'}:factory",
        weights=str(trained / "w.safetensors"),
        data=str(trained / "calib.npz"),
        evaluation=str(trained / "eval.npz"),
        metric="top1",
        targets="litert",
        out=str(tmp_path / "out"),
        measure=False,
        cache=str(shared_cache),
    )
    assert record.verdict == "pass"
    source = package.load(f"{trained / 'net.py'}:factory", weights=trained / "w.safetensors")
    assert source.parameters > 2000 and source.program.inputs == ("image",)


@pytest.mark.parametrize("precision", ["w8a8-static", "w4"])
def test_a_handful_of_samples_is_said_and_teaches_no_rounding(
    pocketpress: Press, trained: Path, precision: str
) -> None:
    with np.load(trained / "calib.npz") as file:
        np.savez(trained / "few.npz", x=file["x"][:3])
    done = pocketpress(
        "press", "net.py:factory", "--weights", "w.safetensors", "--data", "few.npz", "--eval", "eval.npz",
        "--target", "onnxruntime", "--precision", precision, "--no-measure", "--out", "few",
    )  # fmt: skip
    warned = "calibration: on 3 samples only: other inputs may exceed the ranges found; give 32 or more"
    assert (warned in done.out) == (precision == "w8a8-static")
    assert "skipped: learned rounding: it takes 16 calibration samples or more, got 3;" in done.out
