"""Triangles, running sums and writes of constants and activations, as programs: ONNX Runtime's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from tests.sources.onnx.models import model, saved

from pocketpress.core.errors import UnsupportedError
from pocketpress.sources.load import load_source
from pocketpress.verify.reference import interpret

ROWS = np.arange(20, dtype=np.float32).reshape(4, 5) - 9
Nodes = list[onnx.NodeProto]


def node(op: str, inputs: str, output: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], output, **attributes)


CASES: dict[str, tuple[Nodes, dict[str, Any]]] = {
    "upper": ([node("Trilu", "x k", upper=1)], {"k": np.array(1)}),
    "lower": ([node("Trilu", "x", upper=0)], {}),
    "sums": ([node("CumSum", "x axis")], {"axis": np.array(1)}),
    "sums from behind": ([node("CumSum", "x axis", reverse=1)], {"axis": np.array(0)}),
    "sums before": ([node("CumSum", "x axis", exclusive=1)], {"axis": np.array(-1)}),
    "sums behind": ([node("CumSum", "x axis", exclusive=1, reverse=1)], {"axis": np.array(1)}),
    "written rows": (
        [node("Neg", "x", "n"), node("Gather", "n two", "u", axis=0), node("ScatterND", "x at u")],
        {"two": np.array([0, 2]), "at": np.array([[1], [2]])},
    ),
    "written places": (
        [node("Neg", "x", "n"), node("GatherND", "n from", "u"), node("ScatterND", "x at u")],
        {"from": np.array([[0, 0], [3, 4]]), "at": np.array([[2, 3], [-1, 0]])},
    ),
    "read rows": ([node("GatherND", "x at")], {"at": np.array([[1], [-2]])}),
    "constant mask": (
        [
            node("EyeLike", "x", "e", k=-1),
            node("Cast", "e", "truth", to=TensorProto.BOOL),
            node("Where", "truth x zero"),
        ],
        {"zero": np.float32(0)},
    ),
    "chosen places": (
        [node("NonZero", "seen", "places"), node("Transpose", "places", "at"), node("GatherND", "x at")],
        {"seen": np.array([[0, 0, 0, 0, 0], [0, 1, 0, 1, 0], [0] * 5, [0] * 5])},
    ),
}


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("written places", "chosen places")])
def test_the_numbers_of_onnx_runtime(tmp_path: Path, name: str) -> None:
    nodes, constants = CASES[name]
    path = saved(tmp_path, model(nodes, {"x": ROWS.shape}, ["y"], constants))
    (wanted,) = onnxruntime.InferenceSession(str(path)).run(None, {"x": ROWS})
    program = load_source(str(path)).program
    np.testing.assert_allclose(interpret(program, {"x": ROWS})["y"], wanted, atol=1e-5)


def test_indices_that_are_out_of_range_or_computed(tmp_path: Path) -> None:
    proto = model([node("GatherND", "x at")], {"x": (4, 5)}, ["y"], {"at": np.array([[4]])})
    with pytest.raises(UnsupportedError, match="node y: indices of GatherND"):
        load_source(str(saved(tmp_path, proto)))
    proto = model([node("NonZero", "x")], {"x": (4, 5)}, ["y"])
    with pytest.raises(UnsupportedError, match="places of NonZero depends on the network's inputs"):
        load_source(str(saved(tmp_path, proto)))


BOXES = {
    "a window": np.s_[1:3, 1:4],
    "rows": np.s_[1:3, :],
    "every other column": np.s_[:, 1::2],
    "one place": np.s_[3:, 4:],
    "every other row of a window": np.s_[::2, 2:],
    "every third column, the last one too": np.s_[1:, 1::3],
    "every third row and other column": np.s_[::3, ::2],
}


@pytest.mark.parametrize("name", BOXES)
def test_a_window_is_written_without_a_matrix_of_places(tmp_path: Path, name: str) -> None:
    at = np.stack(np.meshgrid(np.arange(4), np.arange(5), indexing="ij"), -1)[BOXES[name]]
    nodes = [node("GatherND", "x at", "u"), node("Neg", "u", "n"), node("ScatterND", "x at n")]
    path = saved(tmp_path, model(nodes, {"x": ROWS.shape}, ["y"], {"at": at}))
    (wanted,) = onnxruntime.InferenceSession(str(path)).run(None, {"x": ROWS})
    assert (wanted != ROWS).any()
    program = load_source(str(path)).program
    assert "matmul" not in {n.op for n in program.nodes}
    np.testing.assert_array_equal(interpret(program, {"x": ROWS})["y"], wanted)


@pytest.mark.parametrize("places", [[(2, 1), (1, 2)], [(1, 2), (1, 1)], [(1, 1), (1, 1)]])
def test_places_out_of_order_or_written_twice(tmp_path: Path, places: list[tuple[int, int]]) -> None:
    nodes = [node("Neg", "x", "n"), node("GatherND", "n from", "u"), node("ScatterND", "x at u")]
    constants = {"from": np.array([[0, 0], [3, 4]]), "at": np.array(places)}
    path = saved(tmp_path, model(nodes, {"x": ROWS.shape}, ["y"], constants))
    (wanted,) = onnxruntime.InferenceSession(str(path)).run(None, {"x": ROWS})
    np.testing.assert_allclose(interpret(load_source(str(path)).program, {"x": ROWS})["y"], wanted, atol=1e-5)
