"""GRU, LSTM and RNN of ONNX files against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Program
from pocketpress.graph.simplify import simplify
from pocketpress.sources.load import load_source
from pocketpress.verify.reference import interpret, interpret_node

STEPS, BATCH, WIDTH, HIDDEN = 6, 2, 5, 4
GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}


def model(
    op: str, *, bias: bool = True, states: bool = False, extra: dict[int, Any] | None = None, **attrs: Any
) -> onnx.ModelProto:
    """One layer; ``extra`` are constant inputs by position."""
    rng = np.random.default_rng(0)
    count, rows = 2 if attrs.get("direction") == "bidirectional" else 1, GATES[op] * HIDDEN
    known = {
        "w": rng.normal(0, 0.5, (count, rows, WIDTH)),
        "r": rng.normal(0, 0.5, (count, rows, HIDDEN)),
        "b": rng.normal(0, 0.5, (count, 2 * rows)),
        "s": rng.uniform(-1, 1, (count, BATCH, HIDDEN)),
    }
    inputs = [
        "x",
        "w",
        "r",
        "b" if bias else "",
        "",
        "s" if states else "",
        "s" if states and op == "LSTM" else "",
    ]
    inputs += [""]
    for position, value in (extra or {}).items():
        known[f"extra{position}"] = np.asarray(value)
        inputs[position] = f"extra{position}"
    while not inputs[-1]:
        inputs.pop()
    outputs = ["y", "h"] + (["c"] if op == "LSTM" else [])
    shape = [BATCH, STEPS, WIDTH] if attrs.get("layout") else [STEPS, BATCH, WIDTH]
    graph = helper.make_graph(
        [helper.make_node(op, inputs, outputs, name="layer", hidden_size=HIDDEN, **attrs)],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [
            numpy_helper.from_array(v if v.dtype == np.int32 else v.astype(np.float32), n)
            for n, v in known.items()
            if n in inputs
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def loaded(made: onnx.ModelProto, folder: Path) -> Program:
    path = folder / "net.onnx"
    path.write_bytes(made.SerializeToString())
    return simplify(load_source(str(path)).program, interpret_node)


FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "gru": ("GRU", {}),
    "gru-before": ("GRU", {"linear_before_reset": 0, "direction": "reverse"}),
    "gru-after": ("GRU", {"linear_before_reset": 1, "states": True}),
    "gru-both": ("GRU", {"linear_before_reset": 1, "direction": "bidirectional", "states": True}),
    "lstm": ("LSTM", {"bias": False}),
    "lstm-both": ("LSTM", {"direction": "bidirectional", "states": True}),
    "lstm-no-peepholes": ("LSTM", {"extra": {7: np.zeros((1, 3 * HIDDEN))}}),
    "rnn": ("RNN", {"states": True, "extra": {4: np.asarray([STEPS] * BATCH, np.int32)}}),
    "rnn-relu": ("RNN", {"activations": ["Relu", "Tanh"], "direction": "bidirectional"}),
}


@pytest.mark.parametrize("form", FORMS)
def test_layers_compute_as_onnx_runtime_does(form: str, tmp_path: Path) -> None:
    op, options = FORMS[form]
    made = model(op, **options)
    program = loaded(made, tmp_path)
    x = np.random.default_rng(1).normal(size=(STEPS, BATCH, WIDTH)).astype(np.float32)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    found = interpret(program, {"x": x})
    for name, wanted in zip(program.outputs, session.run(None, {"x": x}), strict=True):
        np.testing.assert_allclose(found[name], wanted, atol=2e-6)
    directions = 2 if options.get("direction") == "bidirectional" else 1
    assert sum(node.op == op.lower() for node in program.nodes) == directions


def test_batch_first(tmp_path: Path) -> None:
    """ONNX Runtime has no ``layout`` 1: the same numbers as with 0, batch and time exchanged."""
    x = np.random.default_rng(1).normal(size=(STEPS, BATCH, WIDTH)).astype(np.float32)
    wanted = interpret(loaded(model("LSTM"), tmp_path), {"x": x})
    found = interpret(loaded(model("LSTM", layout=1), tmp_path), {"x": x.transpose(1, 0, 2)})
    np.testing.assert_allclose(found["y"], wanted["y"].transpose(2, 0, 1, 3), atol=1e-6)
    np.testing.assert_allclose(found["c"], wanted["c"].transpose(1, 0, 2), atol=1e-6)


@pytest.mark.parametrize(
    ("op", "options", "text"),
    [
        ("GRU", {"clip": 1.0}, "node layer: clip of GRU"),
        ("LSTM", {"input_forget": 1}, "node layer: input_forget of LSTM"),
        ("LSTM", {"activations": ["HardSigmoid", "Tanh", "Tanh"]}, "node layer: activations of LSTM"),
        ("RNN", {"activations": ["Affine"]}, "allowed: Tanh or Relu"),
        ("LSTM", {"extra": {7: np.ones((1, 3 * HIDDEN))}}, "node layer: peepholes of LSTM"),
        ("GRU", {"extra": {4: np.asarray([3, STEPS], np.int32)}}, "node layer: sequence_lens of GRU"),
    ],
)
def test_what_is_refused_is_named(op: str, options: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        loaded(model(op, **options), tmp_path)
    assert text in str(caught.value)
