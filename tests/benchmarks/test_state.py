"""The benchmark of networks with state: rows from a record, and a call that computes nothing."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.state.__main__ import prepare, row
from benchmarks.state.measure import nothing
from examples.decoder.network import CONTEXT

from pocketpress.core.program.state import State
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.verify.reference import interpret


def test_a_row_of_a_record(tmp_path: Path) -> None:
    segments = [{"sqnr_float_db": 40.0}, {"sqnr_float_db": 38.0}]
    metric = {"value": 0.5, "drop": 0.01, "drop_ci95": [0.0, 0.02], "samples": 64}
    entry: dict[str, Any] = {"name": "litert", "size_bytes": 7, "lower_s": 0.5, "metric": metric}
    entry["drift"] = {"segments": segments, "grows": False}
    for kind in ("step", "whole"):
        (tmp_path / f"{kind}-fp32").mkdir()
    (tmp_path / "step-fp32" / "record.json").write_text(json.dumps({"targets": [entry]}))
    (tmp_path / "whole-fp32" / "net.tflite").write_bytes(b"123")
    times = {"step": np.full((8, 8), 1e-3), "whole": np.full((8, 8), 2e-2), "nothing": np.full((8, 8), 1e-4)}
    found = row("litert", "fp32", tmp_path, times)
    assert (found.size_bytes, found.whole_size_bytes, found.samples, found.grows) == (7, 3, 64, False)
    assert (found.step_s, found.floor_s, found.whole_s) == (1e-3, 1e-4, 2e-2)
    assert found.ratio == pytest.approx(20) and found.drop_ci95_points == (0.0, 2.0)
    assert (found.error_first_db, found.error_last_db, found.drop_points) == (40.0, 38.0, 1.0)


def test_a_call_that_computes_nothing_has_the_caches_of_the_step() -> None:
    keys, token = TensorSpec("keys", (1, 2, 3), "float32"), TensorSpec("token", (1, 1), "int64")
    made = TensorSpec("next_keys", (1, 2, 3), "float32"), TensorSpec("scores", (1, 4), "float32")
    program = nothing(Signature((token, keys), made, states=(State("keys", "next_keys"),)))
    assert program.inputs == ("keys",) and program.outputs == ("next_keys", "scores")
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    found = interpret(program, {"keys": x})
    assert found["next_keys"].tolist() == (-x).tolist() and found["scores"].tolist() == [[0, -1, -2, -3]]


def test_texts_are_steps_and_whole(tmp_path: Path) -> None:
    for name in ("train.en.gz", "test_2017_flickr.en.gz"):
        (tmp_path / name).write_bytes(gzip.compress(b"a dog runs over a hill.\n" * 20))
    prepare(tmp_path, tmp_path, 2)
    with np.load(tmp_path / "step-test.npz") as steps, np.load(tmp_path / "whole-test.npz") as whole:
        assert steps["token"].shape == steps["y"].shape == (2, CONTEXT)
        assert (steps["token"][:, 1:] == steps["y"][:, :-1]).all()
        assert (steps["token"] == whole["token"]).all() and steps["position"][1].tolist() == [*range(CONTEXT)]
