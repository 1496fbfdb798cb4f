"""The benchmark of recurrent networks: rows from a record, and what the committed result must keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.recurrent.__main__ import _relative, weight_bytes, whole_rows
from benchmarks.recurrent.measure import artifact
from benchmarks.recurrent.produce import INT8

RESULT = Path(__file__).parents[2] / "results/recurrent.json"


def test_the_matrices_of_the_network_by_hand() -> None:
    # Two layers of 3 * 64 rows over 40 and 64 inputs and, both, over 64 states; ten scores of 64 units.
    assert weight_bytes() == 192 * (40 + 64) + 192 * (64 + 64) + 10 * 64


def test_a_row_of_a_target_that_is_not_executed_here(tmp_path: Path) -> None:
    entry: dict[str, Any] = {"name": "coreml", "size_bytes": 7, "float_size_bytes": 20, "lower_s": 0.5}
    folder = tmp_path / f"whole-{INT8}"
    folder.mkdir()
    record = {"targets": [{**entry, "latency_s": None, "metric": None, "parity": None}]}
    (folder / "record.json").write_text(json.dumps(record))
    (row,) = whole_rows(tmp_path)
    assert (row.target, row.size_bytes, row.latency_s, row.drop_points) == ("coreml", 7, None, None)
    assert row.size_limit_bytes == int(1.3 * 45_184) + 30_000


def test_errors_are_relative_to_what_is_wanted() -> None:
    wanted = np.asarray([3.0, 4.0])
    assert _relative(np.asarray([0.3, 0.4]), wanted) == pytest.approx(0.1)


def test_the_float_original_is_no_artifact(tmp_path: Path) -> None:
    for name in ("a.onnx", "float-a.onnx"):
        (tmp_path / name).touch()
    assert artifact(tmp_path, ".onnx").name == "a.onnx"


def test_the_committed_result_keeps_its_bars() -> None:
    result = json.loads(RESULT.read_text())
    assert {row["target"] for row in result["whole"]} == {"litert", "executorch", "onnxruntime", "coreml"}
    assert result["lower_s"] <= 20
    for row in result["whole"]:
        assert row["size_bytes"] <= row["size_limit_bytes"]
        assert row["drop_points"] is None or row["drop_points"] <= 0.5
    for row in result["long"]:
        assert row["error_last"] <= max(1.5 * row["error_first"], 1e-5)
    for row in result["step"]:
        assert row["floor_s"] < row["step_s"]
        assert row["ratio"] >= 30 or row["whole_s"] < 30 * row["floor_s"]  # out of any step's reach
