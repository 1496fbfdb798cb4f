"""What a file keeps from run to run: states of the program, with LiteRT's numbers step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from tests.sources.tflite.models import Array, grid, options

from pocketpress.core.errors import SourceError, UnsupportedError
from pocketpress.core.program import TensorType
from pocketpress.core.program.ir import Program
from pocketpress.sources.load import load_source
from pocketpress.targets.litert.graph import Graph
from pocketpress.verify.reference import interpret

STEPS = 9
SVDF_FORMS = [(1, 0), (2, 1)]
"""Rank and fused activation."""
MOVED = {"beginMask": 0b101, "endMask": 0b111}


def written(graph: Graph, folder: Path, x: int, y: int, loading: Graph | None = None) -> Path:
    path = folder / "net.tflite"
    path.write_bytes(graph.pack([("x", x)], [("y", y)], "{}", loading))
    return path


def streaming(folder: Path, *, start: float = 0.0, scale: float | None = None) -> Path:
    """The last three rows of a sequence and the new one, through a dense layer; the oldest is dropped."""
    rng, graph = np.random.default_rng(0), Graph()
    loading = Graph(graph)

    def type_(*shape: int) -> TensorType:
        return TensorType(
            shape, "float32" if scale is None else "int8", None if scale is None else grid(scale, 3)
        )

    x = graph.tensor("x", type_(1, 1, 4))
    rows = graph.read("rows", type_(1, 3, 4))
    joined = graph.tensor("joined", type_(1, 4, 4))
    graph.operator("CONCATENATION", [rows, x], [joined], options("Concatenation", {"axis": 1}))
    kept = graph.tensor("kept", type_(1, 3, 4))
    bounds = [graph.integers(n, v) for n, v in (("b", [0, 1, 0]), ("e", [0, 0, 0]), ("s", [1, 1, 1]))]
    graph.operator("STRIDED_SLICE", [joined, *bounds], [kept], options("StridedSlice", MOVED))
    graph.assign("rows", kept)
    y = graph.tensor("y", type_(1, 5))
    if scale is None:
        weight = graph.constant("w", rng.normal(0, 0.6, (5, 16)).astype(np.float32))
        bias = graph.constant("bias", rng.normal(0, 0.6, 5).astype(np.float32))
    else:
        weight = graph.constant("w", rng.integers(-127, 128, (5, 16)).astype(np.int8), grid(1 / 254))
        bias = graph.constant("bias", rng.integers(-99, 99, 5).astype(np.int32), grid(scale / 254))
    graph.operator("FULLY_CONNECTED", [joined, weight, bias], [y], options("FullyConnected", {}))
    first = np.full((1, 3, 4), start)
    integers = None if scale is None else np.round(first / scale + 3).astype(np.int8)
    value = loading.constant("first", first.astype(np.float32) if integers is None else integers)
    loading.assign("rows", value)
    return written(graph, folder, x, y, loading)


def svdf(folder: Path, *, rank: int = 2, activation: int = 1) -> Path:
    """Two layers: what the first remembers is another than what the second does."""
    rng, graph = np.random.default_rng(0), Graph()
    x = graph.tensor("x", TensorType((1, 6)))
    last, width = x, 6
    for layer, units in enumerate((4, 3)):
        filters, memory = units * rank, 5
        values = [(filters, width), (filters, memory), (units,)]
        weights = [
            graph.constant(f"w{layer}{i}", rng.normal(0, 0.6, size).astype(np.float32))
            for i, size in enumerate(values)
        ]
        state = graph.tensor(f"memory{layer}", TensorType((1, filters * memory)))
        graph._tensors[state].isVariable = True
        made = graph.tensor(f"y{layer}", TensorType((1, units)))
        attributes = {"rank": rank, "fusedActivationFunction": activation}
        graph.operator("SVDF", [last, *weights, state], [made], options("SVDF", attributes))
        last, width = made, units
    return written(graph, folder, x, last)


def one_step(folder: Path, op: str) -> Path:
    """A fused layer over a sequence of length 1."""
    rng, graph = np.random.default_rng(0), Graph()
    x, y = graph.tensor("x", TensorType((1, 1, 5))), graph.tensor("y", TensorType((1, 1, 4)))
    lstm = op.endswith("LSTM")
    gates = 4 if lstm else 1

    def weight(*size: int) -> int:
        return graph.constant(f"w{len(graph._tensors)}", rng.normal(0, 0.9, size).astype(np.float32))

    inputs = [x, *(weight(4, 5) for _ in range(gates)), *(weight(4, 4) for _ in range(gates))]
    inputs += [-1] * 3 if lstm else []
    inputs += [weight(4) for _ in range(gates)]
    inputs += [-1] * 2 if lstm else []
    for name in ("hidden", "cell") if lstm else ("hidden",):
        inputs.append(graph.tensor(name, TensorType((1, 4))))
        graph._tensors[inputs[-1]].isVariable = True
    inputs += [-1] * 4 if lstm else []
    kind = "UnidirectionalSequenceLSTM" if lstm else "SequenceRNN"
    graph.operator(op, inputs, [y], options(kind, {"fusedActivationFunction": 4}))
    return written(graph, folder, x, y)


def sequence(program: Program, xs: Array) -> Array:
    """Outputs of the program, whose states are carried along."""
    kept: dict[str, Any] = {s.input: s.start(program.type(s.input).shape, "float32") for s in program.states}
    found = []
    for x in xs:
        made = interpret(program, {"x": x, **kept})
        kept = {s.input: made[s.output] for s in program.states}
        found.append(made["y"])
    return np.stack(found)


def litert_sequence(path: Path, xs: Array) -> Array:
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (asked,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for x in xs:
        interpreter.set_tensor(given["index"], x)
        interpreter.invoke()
        found.append(interpreter.get_tensor(asked["index"]).copy())
    return np.stack(found)


@pytest.mark.parametrize("start", [0.0, 0.75])
def test_a_variable_is_a_state(start: float, tmp_path: Path) -> None:
    path = streaming(tmp_path, start=start)
    program = load_source(str(path)).program
    assert [(s.input, s.output, s.initial) for s in program.states] == [("rows", "rows_next", (start,))]
    xs = np.random.default_rng(1).normal(size=(STEPS, 1, 1, 4)).astype(np.float32)
    np.testing.assert_allclose(sequence(program, xs), litert_sequence(path, xs), atol=1e-5)


def test_a_variable_of_integers_is_a_state_of_real_numbers(tmp_path: Path) -> None:
    path = streaming(tmp_path, start=0.5, scale=1 / 32)
    program = load_source(str(path)).program
    assert program.type("rows").dtype == "float32" and program.states[0].initial == (0.5,)
    codes = np.random.default_rng(1).integers(-40, 40, (STEPS, 1, 1, 4)).astype(np.int8)
    found = sequence(program, ((codes.astype(np.float32) - 3) / 32))
    wanted = (litert_sequence(path, codes).astype(np.float32) - 3) / 32
    assert np.abs(found.reshape(-1) - wanted.reshape(-1)).max() <= 0.51 / 32


@pytest.mark.parametrize(("rank", "activation"), SVDF_FORMS)
def test_svdf_remembers_as_litert_does(rank: int, activation: int, tmp_path: Path) -> None:
    path = svdf(tmp_path, rank=rank, activation=activation)
    program = load_source(str(path)).program
    assert [s.output for s in program.states] == ["memory0_next", "memory1_next"]
    xs = np.random.default_rng(1).normal(size=(STEPS, 1, 6)).astype(np.float32)
    np.testing.assert_allclose(sequence(program, xs), litert_sequence(path, xs), atol=1e-5)


@pytest.mark.parametrize("op", ["UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN"])
def test_one_step_of_a_recurrent_layer_takes_its_state(op: str, tmp_path: Path) -> None:
    path = one_step(tmp_path, op)
    source = load_source(str(path))
    assert len(source.program.states) == (2 if op.endswith("LSTM") else 1)
    assert not any("state of zeros" in reason for _, reason in source.skipped)
    xs = np.random.default_rng(1).normal(size=(STEPS, 1, 1, 5)).astype(np.float32)
    np.testing.assert_allclose(sequence(source.program, xs), litert_sequence(path, xs), atol=1e-5)


def test_a_variable_that_is_only_read_is_a_constant(tmp_path: Path) -> None:
    graph = Graph()
    loading = Graph(graph)
    x, y = graph.tensor("x", TensorType((1, 3))), graph.tensor("y", TensorType((1, 3)))
    graph.operator("ADD", [x, graph.read("table", TensorType((1, 3)))], [y], options("Add", {}))
    loading.assign("table", loading.constant("first", np.float32([[1, 2, 3]])))
    program = load_source(str(written(graph, tmp_path, x, y, loading))).program
    assert program.states == () and program.inputs == ("x",)
    np.testing.assert_array_equal(interpret(program, {"x": np.ones((1, 3), np.float32)})["y"], [[2, 3, 4]])


def test_what_a_variable_was_set_to_is_read_back(tmp_path: Path) -> None:
    graph = Graph()
    x, y = graph.tensor("x", TensorType((1, 3))), graph.tensor("y", TensorType((1, 3)))
    graph.assign("now", x)
    graph.operator("MUL", [x, graph.read("now", TensorType((1, 3)))], [y], options("Mul", {}))
    program = load_source(str(written(graph, tmp_path, x, y))).program
    assert program.states == ()
    found = interpret(program, {"x": np.float32([[1, 2, 3]])})["y"]
    np.testing.assert_array_equal(found, [[1, 4, 9]])


def test_a_first_value_that_is_computed_is_refused(tmp_path: Path) -> None:
    graph = Graph()
    loading = Graph(graph)
    x, y = graph.tensor("x", TensorType((1, 3))), graph.tensor("y", TensorType((1, 3)))
    graph.operator("ADD", [x, graph.read("table", TensorType((1, 3)))], [y], options("Add", {}))
    made = loading.tensor("made", TensorType((1, 3)))
    loading.operator(
        "NEG", [loading.constant("first", np.float32([[1, 2, 3]]))], [made], schema.NegOptionsT()
    )
    loading.assign("table", made)
    with pytest.raises(UnsupportedError, match="first value of a variable is computed: got NEG"):
        load_source(str(written(graph, tmp_path, x, y, loading)))


def test_a_variable_without_a_value_is_refused(tmp_path: Path) -> None:
    graph = Graph()
    x, y = graph.tensor("x", TensorType((1, 3))), graph.tensor("y", TensorType((1, 3)))
    graph.operator("ADD", [x, graph.read("table", TensorType((1, 3)))], [y], options("Add", {}))
    with pytest.raises(SourceError, match="reads a variable that nothing writes"):
        load_source(str(written(graph, tmp_path, x, y)))
