"""Reductions of no numbers are the constants that the standard names."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import helper
from tests.sources.onnx.models import model, saved

from pocketpress.sources.load import load_source
from pocketpress.verify.reference import interpret

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)
OF_NOTHING = {
    "ReduceSum": 0.0,
    "ReduceProd": 1.0,
    "ReduceMax": -math.inf,
    "ReduceMin": math.inf,
    "ReduceL2": 0.0,
    "ReduceLogSum": -math.inf,
}


@pytest.mark.parametrize("op", OF_NOTHING)
def test_a_reduction_of_nothing_is_a_constant(tmp_path: Path, op: str) -> None:
    nodes = [
        helper.make_node("Slice", ["x", "none", "none", "axes"], ["nothing"]),
        helper.make_node(op, ["nothing", "axes"], ["reduced"]),
        helper.make_node("Clip", ["reduced", "low", "high"], ["held"]),
        helper.make_node("Add", ["x", "held"], ["y"]),
    ]
    constants = {"none": np.array([0]), "axes": np.array([1]), "low": np.float32(-9), "high": np.float32(9)}
    path = saved(tmp_path, model(nodes, {"x": (3, 4)}, ["y"], constants, opset=18))
    found = interpret(load_source(str(path)).program, {"x": ROWS})["y"]
    np.testing.assert_array_equal(found, ROWS + np.clip(OF_NOTHING[op], -9, 9))
    if op in ("ReduceSum", "ReduceProd", "ReduceL2"):  # ONNX Runtime refuses the others
        (wanted,) = onnxruntime.InferenceSession(str(path)).run(None, {"x": ROWS})
        np.testing.assert_array_equal(found, wanted)
