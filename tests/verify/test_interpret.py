"""The interpreter: which values it keeps, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from pocketpress.core.errors import InternalError
from pocketpress.core.program import Node, Program, ProgramBuilder, Quantization, TensorType
from pocketpress.verify.reference import interpret

Q = Quantization.per_tensor(0.5, 0)


def chain() -> Program:
    builder = ProgramBuilder()
    x = builder.input("x", TensorType((2,)))
    q = builder.node("quantize", [x], TensorType((2,), "int8", Q), name="q")
    c = builder.node("clamp", [q], TensorType((2,), "int8", Q), name="c", low=0.0, high=None)
    return builder.build([builder.node("dequantize", [c], TensorType((2,)), name="y")])


def test_outputs_by_default_and_any_tensor_on_request() -> None:
    feeds = {"x": np.asarray([-3.0, 1.2], np.float32)}
    assert interpret(chain(), feeds)["y"].tolist() == [0.0, 1.0]
    kept = interpret(chain(), feeds, keep=["x", "q", "c"])
    assert sorted(kept) == ["c", "q", "x"]
    assert kept["q"].tolist() == [-6, 2] and kept["q"].dtype == np.int8


def test_a_tensor_read_twice_lives_until_its_last_reader() -> None:
    builder = ProgramBuilder()
    x = builder.input("x", TensorType((1,)))
    a = builder.node("abs", [x], TensorType((1,)), name="a")
    b = builder.node("neg", [a], TensorType((1,)), name="b")
    out = builder.node("add", [a, b], TensorType((1,)), name="out", clamp=None)
    assert interpret(builder.build([out]), {"x": np.asarray([-2.0], np.float32)})["out"].tolist() == [0.0]


def test_a_shape_that_disagrees_with_its_type_is_our_bug() -> None:
    node = Node("reshape", "y", ("x",), ("y",), {"shape": (2, 1)})
    types = {"x": TensorType((2,)), "y": TensorType((2,))}
    with pytest.raises(InternalError, match="computed shape differs"):
        interpret(Program(("x",), ("y",), types, {}, (node,)), {"x": np.zeros(2, np.float32)})


def test_an_operator_without_integer_meaning_is_our_bug() -> None:
    node = Node("softmax", "y", ("x",), ("y",), {"axis": 0})
    types = {"x": TensorType((2,), "int8", Q), "y": TensorType((2,), "int8", Q)}
    with pytest.raises(InternalError, match="no integer reference for operator: got softmax"):
        interpret(Program(("x",), ("y",), types, {}, (node,)), {"x": np.zeros(2, np.int8)})


def test_half_precision_weights_are_widened_not_computed_in() -> None:
    builder = ProgramBuilder()
    x = builder.input("x", TensorType((1, 2)))
    w = builder.constant("w", np.asarray([[0.1, 60000.0]], np.float16))
    out = builder.node("linear", [x, w], TensorType((1, 1)), name="y", clamp=None)
    got = interpret(builder.build([out]), {"x": np.asarray([[1.0, 2.0]], np.float32)})["y"]
    assert got.dtype == np.float32
    assert got[0, 0] == np.float32(np.float16(0.1)) + np.float32(2) * np.float32(np.float16(60000.0))
