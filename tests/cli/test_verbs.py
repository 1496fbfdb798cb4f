"""The other verbs: plan, inspect, compare; tables and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Press

GOOD = ("net.py:factory", "--weights", "w.safetensors", "--data", "calib.npz", "--eval", "eval.npz")


@pytest.fixture
def artifacts(pocketpress: Press, trained: Path) -> dict[str, Path]:
    out = trained / "verbs"
    done = pocketpress(
        "press",
        *GOOD,
        "--metric",
        "top1",
        "--target",
        "litert,onnxruntime",
        "--out",
        out,
        "--no-measure",
        "--json",
    )
    assert done.code == 0, done.err
    return {t["name"]: out / t["artifact"] for t in json.loads(done.out)["targets"]}


def test_dry_run_prints_the_plan_and_writes_nothing(pocketpress: Press, trained: Path) -> None:
    before = sorted(p.name for p in trained.iterdir())
    argv = ("press", *GOOD, "--target", "android", "--out", "planned", "--dry-run")
    table, data = pocketpress(*argv), pocketpress(*argv, "--json")
    assert (table.code, data.code, table.err, data.err) == (0, 0, "", "")
    plan: dict[str, Any] = json.loads(data.out)
    assert plan["inputs"] == {"image": [1, 3, 16, 16]} and plan["outputs"] == {"output": [1, 4]}
    assert {"litert", "executorch", "onnxruntime"} <= set(plan["targets"])
    assert plan["metric"] == "top1" and plan["calibration"].endswith("calib.npz")
    assert "net.py:factory" in table.out
    assert sorted(p.name for p in trained.iterdir()) == before


def test_a_table_for_people(pocketpress: Press, trained: Path) -> None:
    done = pocketpress("press", *GOOD, "--target", "litert", "--out", trained / "verbs2", "--no-measure")
    assert done.code == 0 and done.err == ""
    assert "100.00%" in done.out and "net.tflite" in done.out and "verdict: pass" in done.out


def test_inspect(pocketpress: Press) -> None:
    table, data = pocketpress("inspect", "net.py:factory"), pocketpress("inspect", "net.py:factory", "--json")
    assert table.code == 0 and "multiply-accumulates" in table.out
    found = json.loads(data.out)
    assert found["operators"] == {"conv2d": 5, "add": 2, "mean": 1, "linear": 1}
    # 8x8 outputs: stem 8*27, four convolutions 8*72; linear 32
    assert found["multiply_accumulates"] == 64 * (8 * 27 + 4 * 8 * 72) + 32
    assert {t["target"] for t in found["targets"]} >= {"litert", "executorch", "onnxruntime", "coreml"}
    assert all(t["float_missing"] == [] for t in found["targets"])


def test_inspect_takes_a_shape(pocketpress: Press) -> None:
    done = pocketpress("inspect", "net.py:shapeless", "--input", "1x3x32x32", "--json")
    assert json.loads(done.out)["signature"]["inputs"][0]["shape"] == [1, 3, 32, 32]


def test_compare_two_runtimes(pocketpress: Press, artifacts: dict[str, Path]) -> None:
    argv = ("compare", artifacts["litert"], artifacts["onnxruntime"], "--data", "eval.npz", "--samples", "20")
    done = pocketpress(*argv, "--metric", "top1", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["parity"]["equal"] >= 0.99 and found["parity"]["samples"] == 20
    assert found["latency_s"]["median"] > 0 and len(found["size_bytes"]) == 2
    assert abs(found["metric"]["drop"]) < 0.06
    table = pocketpress(*argv)
    assert table.code == 0 and "equal" in table.out


@pytest.mark.parametrize("name", ["litert", "onnxruntime"])
@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty"])
def test_a_damaged_artifact_is_one_line(
    pocketpress: Press, artifacts: dict[str, Path], tmp_path: Path, name: str, damage: str
) -> None:
    """Runtimes abort the process on some of these; the child dies, the command does not."""
    good = artifacts[name]
    content = good.read_bytes()
    bad = tmp_path / f"bad{good.suffix}"
    bad.write_bytes(
        {"truncated": content[: len(content) // 2], "garbage": b"\xff" * 4096, "empty": b""}[damage]
    )
    done = pocketpress("compare", good, bad, "--data", "eval.npz")
    assert done.code in (2, 4) and "bad" in done.line, done.err


def test_a_damaged_executorch_artifact_is_one_line(pocketpress: Press, trained: Path, tmp_path: Path) -> None:
    out = trained / "verbs-et"
    argv = ("press", *GOOD, "--target", "executorch", "--out", out, "--no-measure")
    assert pocketpress(*argv).code == 0
    good, bad = out / "net.pte", tmp_path / "bad.pte"
    content = bytearray(good.read_bytes())
    bad.write_bytes(content[: len(content) // 2])
    assert pocketpress("compare", good, bad, "--data", "eval.npz").code in (2, 4)
    content[8:200] = b"\xee" * 192
    bad.write_bytes(content)
    done = pocketpress("compare", good, bad, "--data", "eval.npz")
    assert done.code in (2, 4) and "bad.pte" in done.line


def test_artifacts_of_different_networks(
    pocketpress: Press, artifacts: dict[str, Path], trained: Path
) -> None:
    done = pocketpress(
        "press", "net.py:two_heads", "--weights", "w.safetensors", "--precision", "fp32",
        "--target", "onnxruntime", "--out", trained / "heads", "--no-measure",
    )  # fmt: skip
    assert done.code == 0, done.err
    done = pocketpress(
        "compare", artifacts["litert"], trained / "heads" / "two_heads.onnx", "--data", "eval.npz"
    )
    assert done.code == 2 and "the artifacts have different signatures" in done.line


def test_not_an_artifact(pocketpress: Press, artifacts: dict[str, Path]) -> None:
    done = pocketpress("compare", artifacts["litert"], "none.tflite", "--data", "eval.npz")
    assert done.code == 2 and done.line.startswith("no such artifact: got none.tflite; allowed: .")
    assert done.line.endswith("; pocketpress press makes them, in its --out")
    absent = artifacts["litert"].with_name("absent.onnx")
    done = pocketpress("compare", artifacts["litert"], absent, "--data", "eval.npz")
    assert done.code == 2 and f"got {absent}; allowed: " in done.line
    assert f"{artifacts['litert'].name}" in done.line and done.line.endswith(f"these are in {absent.parent}")
    done = pocketpress("compare", artifacts["litert"], "net.py", "--data", "eval.npz")
    assert done.code == 2 and "not an artifact of any target: got net.py; allowed: " in done.line
