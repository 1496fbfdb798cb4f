"""Repetitions and choices by computed conditions, as programs: ONNX Runtime's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from tests.sources.onnx.models import model, saved

from pocketpress.core.errors import BlockedError, PocketpressError, SourceError, UnsupportedError
from pocketpress.core.program import Program
from pocketpress.sources.load import load_source
from pocketpress.sources.onnx.load import load_onnx
from pocketpress.sources.steps import network
from pocketpress.sources.steps.control import MAX_REPETITIONS
from pocketpress.verify.reference import interpret

SHAPE = (4, 3)
ROWS = (np.arange(12, dtype=np.float32).reshape(SHAPE) - 5) / 4
FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def value(name: str, kind: int = FLOAT, shape: tuple[int, ...] | None = None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(op, names, outputs.split(), outputs.split()[0], **attributes)


def graph(nodes: list[onnx.NodeProto], inputs: list[Any], outputs: list[Any], **constants: Any) -> Any:
    held = model([], {}, [], constants).graph.initializer
    return helper.make_graph(nodes, "body", inputs, outputs, held)


def loop_body(*nodes: onnx.NodeProto, made: str = "", **constants: Any) -> Any:
    """Of (i, c, v): makes ``c_out`` and ``v_out``, and what ``made`` names in every repetition."""
    inputs = [value("i", INT, ()), value("c", BOOL, ()), value("v")]
    outputs = [value("c_out", BOOL, ()), value("v_out"), *map(value, made.split())]
    return graph(list(nodes), inputs, outputs, **constants)


GO_ON = node("Identity", "c", "c_out")
COUNT = {"three": np.array(3), "yes": np.array(True), "two": np.float32(2), "one": np.float32(1)}
GROWING = loop_body(GO_ON, node("Mul", "v two", "m"), node("Add", "m x", "v_out"))
KEPT = loop_body(
    GO_ON, node("Mul", "v two", "v_out"), node("Gather", "x i", "row", axis=0), node("Neg", "v_out", "n"),
    made="row n",
)  # fmt: skip
WHILE = loop_body(
    node("Less", "i limit", "c_out"), node("Add", "v one", "v_out"), limit=np.array(4)
)  # the repetition after the one of which the number is 4 is none
INNER = graph(
    [node("Identity", "d", "d_out"), node("Add", "w outer", "w_out")],
    [value("j", INT, ()), value("d", BOOL, ()), value("w")],
    [value("d_out", BOOL, ()), value("w_out")],
)
NESTED = loop_body(
    GO_ON,
    node("Mul", "v two", "outer"),
    node("Loop", "three yes v", "thrice", body=INNER),
    node("Sub", "thrice x", "v_out"),
)
CHOOSING = loop_body(
    GO_ON,
    node("Equal", "i first", "is_first"),
    node(
        "If", "is_first", "v_out",
        then_branch=graph([node("Mul", "v two", "t")], [], [value("t")]),
        else_branch=graph([node("Add", "v x", "t")], [], [value("t")]),
    ),
    first=np.array(0),
)  # fmt: skip


def by_mean(
    yes: list[onnx.NodeProto], no: list[onnx.NodeProto], *, to: str = "y", kind: int = FLOAT, **constants: Any
) -> list[onnx.NodeProto]:
    """``out`` of one list where the mean of x is above 0, else of the other."""
    return [
        node("ReduceMean", "x", "mean", keepdims=0),
        node("Greater", "mean nil", "above"),
        node(
            "If", "above", to,
            then_branch=graph(yes, [], [value("out", kind)], **constants),
            else_branch=graph(no, [], [value("out", kind)], **constants),
        ),
    ]  # fmt: skip


def scan_body(*nodes: onnx.NodeProto) -> Any:
    """Of (s, item): makes ``s_out`` and ``made``."""
    return graph(list(nodes), [value("s"), value("item")], [value("s_out"), value("made")])


SUMS = scan_body(node("Add", "s item", "s_out"), node("Mul", "s_out two", "made"))
SCAN: dict[str, Any] = {"body": SUMS, "num_scan_inputs": 1}

CASES: dict[str, tuple[list[onnx.NodeProto], dict[str, Any]]] = {
    "a loop": ([node("Loop", "three yes x", "y", body=GROWING)], {}),
    "a loop without a condition": ([node("Loop", "three - x", "y", body=GROWING)], {}),
    "no repetition": ([node("Loop", "nil_times yes x", "a", body=GROWING), node("Neg", "a", "y")], {}),
    "no repetition by the condition": (
        [node("Loop", "three no x", "a", body=GROWING), node("Neg", "a", "y")],
        {},
    ),
    "what every repetition makes": (
        [
            node("Loop", "three yes x", "a rows n", body=KEPT),
            node("ReduceSum", "n axis", "t", keepdims=0),
            node("ReduceSum", "rows axis", "r", keepdims=1),
            node("Add", "a t", "q"),
            node("Add", "q r", "y"),
        ],
        {},
    ),
    "as long as a constant says": ([node("Loop", "- yes x", "y", body=WHILE)], {}),
    "a loop in a loop": ([node("Loop", "three yes x", "y", body=NESTED)], {}),
    "another branch in the first repetition": ([node("Loop", "three yes x", "y", body=CHOOSING)], {}),
    "a scan": ([node("Scan", "start x", "s y", **SCAN)], {}),
    "a scan from behind, along columns": (
        [
            node(
                "Scan", "column x", "s m", **SCAN,
                scan_input_axes=[-1], scan_input_directions=[1], scan_output_axes=[1],
                scan_output_directions=[1],
            ),
            node("ReduceSum", "s axis", "t"),
            node("Add", "m t", "y"),
        ],
        {},
    ),
    "a choice": (
        by_mean([node("Mul", "x two", "out")], [node("Sub", "x one", "o"), node("Abs", "o", "out")]),
        {},
    ),
    "a choice of numbers": (
        [
            *by_mean(
                [node("ReduceMax", "x", "out", keepdims=0)],
                [node("ReduceMin", "x", "out", keepdims=0)],
                to="n",
            ),
            node("Add", "x n", "y"),
        ],
        {},
    ),
    "a choice of truth values": (
        [
            *by_mean([node("Greater", "x one", "out")], [node("Less", "x one", "out")], to="t", kind=BOOL),
            node("Where", "t x two", "y"),
        ],
        {},
    ),
    "a choice of a constant": (
        by_mean([node("Mul", "x two", "out")], [node("Identity", "rows", "out")], rows=ROWS * 3),
        {},
    ),
    "a choice of a branch that is not finite": (
        by_mean([node("Log", "x", "out")], [node("Div", "x nil", "out")]),
        {},
    ),
}  # fmt: skip
CONSTANTS = {
    **COUNT,
    "nil_times": np.array(0),
    "no": np.array(False),
    "nil": np.float32(0),
    "axis": np.array([0]),
    "start": np.ones(3, np.float32),
    "column": np.ones(4, np.float32),
}


def pressed(path: Path) -> tuple[Program, dict[str, str]]:
    source = load_source(str(path))
    return source.program, dict(source.skipped)


def run(path: Path, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    wanted: npt.NDArray[np.float32] = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})[0]
    return wanted


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_of_onnx_runtime(tmp_path: Path, name: str) -> None:
    nodes, constants = CASES[name]
    path = saved(tmp_path, model(nodes, {"x": SHAPE}, ["y"], {**CONSTANTS, **constants}))
    program, _ = pressed(path)
    for x in (ROWS, -ROWS, ROWS + 3):
        np.testing.assert_allclose(interpret(program, {"x": x})["y"], run(path, x), rtol=1e-5, atol=1e-6)


def test_what_was_done_is_noted(tmp_path: Path) -> None:
    for name, step, note in (
        ("a loop", "y", "3 repetitions are written one after the other"),
        ("a scan", "s", "4 repetitions are written one after the other"),
        (
            "a choice",
            "y",
            "the condition depends on the input: both branches are computed, and one is chosen",
        ),
    ):
        path = saved(tmp_path, model(CASES[name][0], {"x": SHAPE}, ["y"], CONSTANTS))
        assert pressed(path)[1][step] == note


def test_a_scan_of_samples(tmp_path: Path) -> None:
    """Operator set 8: the first axis is samples; by hand, for ONNX Runtime has it no longer."""
    body = scan_body(node("Add", "s item", "s_out"), node("Identity", "s_out", "made"))
    nodes = [node("Scan", "- start x", "s y", body=body, num_scan_inputs=1)]
    x = np.asarray([[[1, 2], [3, 4], [5, 6]], [[10, 20], [30, 40], [50, 60]]], np.float32)
    proto = model(nodes, {"x": x.shape}, ["s", "y"], {"start": np.zeros((2, 2), np.float32)}, opset=8)
    program, _ = pressed(saved(tmp_path, proto))
    found = interpret(program, {"x": x})
    np.testing.assert_array_equal(found["s"], [[9, 12], [90, 120]])
    np.testing.assert_array_equal(found["y"], x.cumsum(1))


def refused(folder: Path, nodes: list[onnx.NodeProto], **constants: Any) -> PocketpressError:
    path = saved(folder, model(nodes, {"x": SHAPE}, ["y"], {**CONSTANTS, **constants}))
    with pytest.raises(PocketpressError) as caught:
        load_source(str(path))
    assert "\n" not in str(caught.value)
    return caught.value


def test_repetitions_without_end_or_by_the_input_are_refused(tmp_path: Path) -> None:
    many, loop = np.array(MAX_REPETITIONS + 1), "node y: Loop repeats too often"
    for inputs, got in (("- - x", "without end"), ("- yes x", "without end"), ("many - x", "1025")):
        error = refused(tmp_path, [node("Loop", inputs, "y", body=GROWING)], many=many)
        assert f"{loop}: got {got}; allowed: {MAX_REPETITIONS} repetitions" in str(error)
    by_value = loop_body(
        node("ReduceMax", "v", "m", keepdims=0), node("Less", "m two", "c_out"), node("Add", "v one", "v_out")
    )
    error = refused(tmp_path, [node("Loop", "- yes x", "y", body=by_value)])
    assert "node y: the condition of Loop depends on the network's inputs" in str(error)
    counted = [node("ReduceMax", "x", "m", keepdims=0), node("Cast", "m", "times", to=INT)]
    error = refused(tmp_path, [*counted, node("Loop", "times yes x", "y", body=GROWING)])
    assert "node y: the number of repetitions of Loop depends on the network's inputs" in str(error)


def test_loops_within_loops_are_limited_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "MAX_UNROLLED", 3000)
    most = np.array(MAX_REPETITIONS)
    inner = loop_body(GO_ON, node("Add", "v one", "v_out"))
    outer = loop_body(GO_ON, node("Loop", "most yes v", "v_out", body=inner))
    error = refused(
        tmp_path, [node("Loop", "most yes one", "o", body=outer), node("Add", "x o", "y")], most=most
    )
    assert "the repetitions of all loops are too many nodes" in str(error)


def test_branches_of_several_shapes_are_refused(tmp_path: Path) -> None:
    nodes = by_mean([node("Neg", "x", "out")], [node("ReduceMax", "x", "out")])
    error = refused(tmp_path, nodes)
    assert "node y: the branches of If give different shapes or types" in str(error)
    assert "got ['(4, 3) float32', '(1, 1) float32']" in str(error)


def test_what_bodies_lack_is_listed_once_and_together(tmp_path: Path) -> None:
    lacking = loop_body(GO_ON, node("Unique", "v", "v_out"))
    nodes = [
        node("Loop", "three yes x", "a", body=lacking),
        *by_mean([node("Det", "x", "out")], [node("Neg", "x", "out")]),
        node("Add", "a y", "z"),
    ]  # fmt: skip
    path = saved(tmp_path, model(nodes, {"x": SHAPE}, ["z"], CONSTANTS))
    with pytest.raises(BlockedError) as caught:
        load_source(str(path))
    assert [blocker.where for blocker in caught.value.blockers] == ["node v_out", "node out"]
    twice = loop_body(GO_ON, node("TopK", "v many", "v_out places"), many=np.array([99]))
    with pytest.raises(BlockedError) as caught:
        load_source(
            str(
                saved(
                    tmp_path,
                    model([node("Loop", "three yes x", "y", body=twice)], {"x": SHAPE}, ["y"], CONSTANTS),
                )
            )
        )
    assert [blocker.where for blocker in caught.value.blockers] == ["node v_out"]


def test_a_constant_cast_like_a_computed_number_is_constant(tmp_path: Path) -> None:
    nodes = [node("CastLike", "two x", "t"), node("Pad", "x pads t", "y")]
    path = saved(tmp_path, model(nodes, {"x": SHAPE}, ["y"], {**CONSTANTS, "pads": np.array([1, 0, 0, 0])}))
    (pad, _) = pressed(path)[0].nodes
    assert pad.op == "pad" and pad.attrs["value"] == 2


SCANS: dict[str, dict[str, Any]] = {
    "no count": {"num_scan_inputs": None},
    "a count of text": {"num_scan_inputs": "two"},
    "too many": {"num_scan_inputs": 9},
    "none": {"num_scan_inputs": 0},
    "an axis beyond": {"scan_input_axes": [7]},
    "two axes": {"scan_input_axes": [0, 1]},
    "axes of text": {"scan_input_axes": ["a"]},
    "one axis alone": {"scan_input_axes": 0},
    "an output axis beyond": {"scan_output_axes": [7]},
}


@pytest.mark.parametrize("kind", SCANS)
def test_malformed_scans(tmp_path: Path, kind: str) -> None:
    attributes = {key: value for key, value in {**SCAN, **SCANS[kind]}.items() if value is not None}
    error = refused(tmp_path, [node("Scan", "start x", "s y", **attributes)])
    assert isinstance(error, (SourceError, UnsupportedError))


@pytest.mark.parametrize(
    "kind", ["no body", "few outputs", "few inputs", "two counts", "no count", "another name", "lengths"]
)
def test_malformed_repetitions(tmp_path: Path, kind: str) -> None:
    nodes = [node("Loop", "three yes x", "y", body=GROWING)]
    if kind == "no body":
        del nodes[0].attribute[0]
    elif kind == "few outputs":
        del nodes[0].attribute[0].g.output[1]
    elif kind == "few inputs":
        del nodes[0].attribute[0].g.input[2]
    elif kind == "two counts":
        nodes[0].input[0] = "axes"
    elif kind == "no count":
        nodes[0].input[0] = "nan"
    elif kind == "another name":
        nodes[0].attribute[0].g.node[1].input[0] = "nothing"
    else:
        body = graph(
            [node("Add", "s item", "s_out"), node("Neg", "other", "made")],
            [value("s"), value("item"), value("other")],
            [value("s_out"), value("made")],
        )
        nodes = [node("Scan", "start x five", "s y", body=body, num_scan_inputs=2)]
    constants = {"axes": np.array([1, 2]), "five": np.zeros((5, 3), np.float32), "nan": np.float32(np.nan)}
    error = refused(tmp_path, nodes, **constants)
    assert isinstance(error, (SourceError, UnsupportedError))


def test_weights_of_repetitions_are_one_array_until_they_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    body = loop_body(GO_ON, node("MatMul", "v w", "v_out"), w=weight)
    path = saved(
        tmp_path, model([node("Loop", "three yes x", "y", body=body)], {"x": SHAPE}, ["y"], CONSTANTS)
    )
    loaded, _ = load_onnx(path)
    assert [value.shape for value in loaded.parameters()] == [(3, 3)]
    np.testing.assert_allclose(
        interpret(load_source(str(path)).program, {"x": ROWS})["y"], run(path, ROWS), rtol=1e-4
    )
    monkeypatch.setattr(network, "MAX_REPEATED_ELEMENTS", 20)
    with pytest.raises(
        UnsupportedError, match=r"too many weights, which are stored for each; allowed: 20 numbers"
    ):
        load_onnx(path)
