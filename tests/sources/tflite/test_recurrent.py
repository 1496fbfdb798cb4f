"""Fused recurrent layers: the numbers of LiteRT's own kernels after a reset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.sources.tflite.models import grid, litert, options

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import TensorType
from pocketpress.sources.load import load_source
from pocketpress.targets.litert.graph import Graph
from pocketpress.verify.reference import interpret

STEPS, WIDTH, HIDDEN = 12, 5, 4
LSTM, RNN = "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN"
KINDS = {LSTM: "UnidirectionalSequenceLSTM", RNN: "SequenceRNN"}
TANH, RELU = 4, 1
FORMS: list[tuple[str, dict[str, Any]]] = [
    (LSTM, {"fusedActivationFunction": TANH, "cellClip": 10.0}),
    (LSTM, {"fusedActivationFunction": TANH, "timeMajor": True}),
    (RNN, {"fusedActivationFunction": TANH}),
    (RNN, {"fusedActivationFunction": RELU, "timeMajor": True}),
]
"""What is read."""


def saved(folder: Path, op: str, attributes: Mapping[str, Any], extra: Mapping[int, Any]) -> Path:
    """A file of one layer; ``extra`` are weights by position, None for none."""
    rng, graph = np.random.default_rng(0), Graph()
    shape = (STEPS, 1) if attributes.get("timeMajor") else (1, STEPS)
    x = graph.tensor("x", TensorType((*shape, WIDTH)))

    def weight(*size: int) -> Any:
        return rng.normal(0, 0.6, size).astype(np.float32)

    gates = range(4) if op == LSTM else range(1)
    values: dict[int, Any] = {1 + g: weight(HIDDEN, WIDTH) for g in gates}
    values |= {1 + len(gates) + g: weight(HIDDEN, HIDDEN) for g in gates}
    values |= {(12 if op == LSTM else 3) + g: weight(HIDDEN) for g in gates}
    inputs = [x] + [-1] * (23 if op == LSTM else 4)
    for place, value in {**values, **extra}.items():
        value, quant = value if isinstance(value, tuple) else (value, None)
        inputs[place] = -1 if value is None else graph.constant(f"w{place}", value, quant)
    for place in (18, 19) if op == LSTM else (4,):
        inputs[place] = graph.tensor(f"state{place}", TensorType((1, HIDDEN)))
        graph._tensors[inputs[place]].isVariable = True
    y = graph.tensor("y", TensorType((*shape, HIDDEN)))
    graph.operator(op, inputs, [y], options(KINDS[op], attributes))
    path = folder / "net.tflite"
    path.write_bytes(graph.pack([("x", x)], [("y", y)], "{}"))
    return path


@pytest.mark.parametrize(("op", "attributes"), FORMS)
def test_the_numbers_of_litert(op: str, attributes: dict[str, Any], tmp_path: Path) -> None:
    path = saved(tmp_path, op, attributes, {})
    source = load_source(str(path))
    x = np.random.default_rng(1).normal(size=source.program.type("x").shape).astype(np.float32)
    (wanted,) = litert(path, x)
    np.testing.assert_allclose(interpret(source.program, {"x": x})["y"], wanted, atol=1e-5)
    assert [n.op for n in source.program.nodes].count("lstm" if op == LSTM else "rnn") == 1
    (note,) = (reason for name, reason in source.skipped if name == "y")
    assert "state of zeros" in note and ("beyond 10" in note) == ("cellClip" in attributes)


@pytest.mark.parametrize(
    ("op", "attributes", "extra", "text"),
    [
        (LSTM, {"cellClip": 3.0}, {}, "clip of the cells"),
        (LSTM, {"fusedActivationFunction": RELU}, {}, "activation"),
        (LSTM, {}, {9: np.ones(HIDDEN, np.float32)}, "peepholes"),
        (LSTM, {}, {16: np.ones((3, HIDDEN), np.float32)}, "projection"),
        (LSTM, {}, {20: np.ones(HIDDEN, np.float32)}, "layer normalisation"),
        (LSTM, {}, {p: np.ones(HIDDEN, np.int32) for p in range(12, 16)}, "biases"),
        (LSTM, {}, {1: None, 5: None}, "coupled input and forget gates"),
        (RNN, {"fusedActivationFunction": 3}, {}, "activation"),
    ],
)
def test_what_is_refused_is_named(
    op: str, attributes: dict[str, Any], extra: dict[int, Any], text: str, tmp_path: Path
) -> None:
    path = saved(tmp_path, op, {"fusedActivationFunction": TANH, **attributes}, extra)
    with pytest.raises(UnsupportedError) as caught:
        load_source(str(path))
    assert f"{text} of {op}" in str(caught.value)


def test_a_layer_in_integers_is_the_real_one_behind_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    attributes = {"fusedActivationFunction": TANH, "cellClip": 10.0}
    integers: dict[int, Any] = {}
    for gate in range(4):
        steps = [0.01 + 0.001 * gate, 0.012, 0.0005]
        sizes = [(HIDDEN, WIDTH), (HIDDEN, HIDDEN), (HIDDEN,)]
        for place, size, step in zip((1, 5, 12), sizes, steps, strict=True):
            dtype = np.int32 if place == 12 else np.int8
            integers[place + gate] = (rng.integers(-100, 100, size).astype(dtype), grid(step))
    real = {place: (q * np.float32(g.scales()[0])).astype(np.float32) for place, (q, g) in integers.items()}
    found, wanted = tmp_path / "integers", tmp_path / "real"
    for folder, extra in ((found, integers), (wanted, real)):
        folder.mkdir()
        saved(folder, LSTM, attributes, extra)
    x = rng.normal(size=(1, STEPS, WIDTH)).astype(np.float32)
    got = interpret(load_source(str(found / "net.tflite")).program, {"x": x})["y"]
    np.testing.assert_allclose(got, litert(wanted / "net.tflite", x)[0], atol=1e-5)
