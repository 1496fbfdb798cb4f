"""The flatbuffer: alignment, sharing, metadata, signature."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from ai_edge_litert import schema_py_generated as schema
from tests.targets.litert.cases import small_mobilenet

from pocketpress.core.program import ProgramBuilder, Quantization, TensorType
from pocketpress.core.signature import Preprocessing, signature_of
from pocketpress.targets.litert.graph import Graph
from pocketpress.targets.litert.inspection import read_model, read_signature
from pocketpress.targets.litert.lower import lower, to_bytes


def test_every_constant_starts_at_a_multiple_of_16() -> None:
    program = small_mobilenet()
    content = to_bytes(program, signature_of(program, precision="w8a8-static"))
    model = schema.Model.GetRootAs(content, 0)
    starts = []
    for i in range(model.BuffersLength()):
        table = model.Buffers(i)
        field = table._tab.Offset(4)
        if field:
            starts.append(table._tab.Vector(field))
    assert len(starts) > 10
    assert [s % 16 for s in starts] == [0] * len(starts)


def test_equal_constants_are_stored_once() -> None:
    rng = np.random.default_rng(0)
    value = rng.normal(size=(64, 64)).astype(np.float32)
    graph = Graph()
    first, second = graph.constant("a", value), graph.constant("b", value.copy())
    other = graph.constant("c", value.reshape(-1))
    assert first == second != other
    content = graph.pack([("a", first)], [("c", other)], "{}")
    assert len(content) < 2 * value.nbytes


def test_signature_and_names_travel_with_the_file(tmp_path: Path) -> None:
    program = small_mobilenet()
    preprocessing = Preprocessing(crop=(33, 33), mean=(0.5,) * 3, std=(0.25,) * 3)
    signature = signature_of(program, precision="w8a8-static", preprocessing=preprocessing)
    path = tmp_path / "a.tflite"
    lower(program, signature, path)
    assert read_signature(path) == signature
    model = read_model(path)
    (entry,) = model.metadata
    assert json.loads(bytes(model.buffers[entry.buffer].data))["precision"] == "w8a8-static"
    (definition,) = model.signatureDefs
    assert definition.signatureKey == b"serving_default"
    assert [t.name for t in definition.inputs] == [b"image"]
    assert [t.name for t in definition.outputs] == [b"logits"]


def test_depthwise_weights_are_quantised_along_their_last_axis(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    program = small_mobilenet()
    lower(program, signature_of(program, precision="w8a8-static"), path)
    model = read_model(path)
    graph = model.subgraphs[0]
    axes = {}
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        if code in (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D):
            weight = graph.tensors[operator.inputs[1]]
            assert len(weight.quantization.scale) == weight.shape[weight.quantization.quantizedDimension]
            axes.setdefault(code, set()).add(weight.quantization.quantizedDimension)
    assert axes == {schema.BuiltinOperator.CONV_2D: {0}, schema.BuiltinOperator.DEPTHWISE_CONV_2D: {3}}


def test_scalars_keep_their_rank() -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((2, 3)))
    half = b.constant("half", np.asarray(0.5, np.float32))
    program = b.build([b.node("mul", [x, half], TensorType((2, 3)), clamp=None)])
    model = schema.ModelT.InitFromPackedBuf(to_bytes(program, signature_of(program, precision="fp32")), 0)
    (scalar,) = [t for t in model.subgraphs[0].tensors if t.name == b"half"]
    assert len(scalar.shape if scalar.shape is not None else ()) == 0


def test_zero_points_shapes_and_names_are_stored_once() -> None:
    """Ten weights of 512 channels: 4 bytes a scale each, one vector of 512 zero points of 8 bytes."""
    graph, channels, rng = Graph(), 512, np.random.default_rng(0)
    x = graph.tensor("x", TensorType((1, channels)))
    for number in range(10):
        quant = Quantization.per_channel(rng.uniform(0.1, 1, channels), 0)
        weight = graph.constant(f"w{number}", np.full((channels, 1), number, np.int8), quant)
        out = graph.tensor("/real", TensorType((channels, 1)))
        graph.operator("DEQUANTIZE", [weight], [out])
    content = graph.pack([("x", x)], [("out", out)], "{}")
    assert len(content) < 10 * channels * (1 + 4) + 8 * channels + 4096
    assert content.count(b"/real\0") == 1
    (model,) = (schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0)),)
    held = [t.quantization for t in model.subgraphs[0].tensors if t.name.startswith(b"w")]
    assert len(held) == 10
    assert all(len(q.zeroPoint) == len(q.scale) == channels and not q.zeroPoint.any() for q in held)
