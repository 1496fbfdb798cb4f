"""quantize, requantize and int8 borders are exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.targets.onnxruntime.networks import ALL_INTEGERS, grid, unary
from tests.targets.onnxruntime.test_lower import lowered, run

from pocketpress.core.program import ProgramBuilder, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.targets.onnxruntime.lower import to_model
from pocketpress.verify.reference import interpret


def test_quantize_multiplies_by_the_reciprocal(tmp_path: Path) -> None:
    """Inputs at ties of x*(1/s): dividing instead would give other integers for some of them."""
    rng = np.random.default_rng(1)
    differs_from_division = 0
    for _ in range(10):
        scale = float(np.float32(rng.uniform(0.005, 0.2)))
        b = ProgramBuilder()
        type_ = TensorType((1, 20_000), "int8", grid(scale, 7))
        x = b.input("x", TensorType((1, 20_000)))
        program = b.build([b.node("quantize", [x], type_, name="y")])
        ties = ((rng.integers(-130, 130, (1, 20_000)) + 0.5) * np.float32(scale)).astype(np.float32)
        expected = interpret(program, {"x": ties})["y"]
        np.testing.assert_array_equal(run(lowered(program, tmp_path / "q.onnx"), ties)[0], expected)
        divided = np.clip(np.rint(ties / np.float32(scale)) + 7, -128, 127)
        differs_from_division += int((divided != expected).sum())
    assert differs_from_division > 0


def test_a_power_of_two_needs_no_multiplication() -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 4)))
    program = b.build([b.node("quantize", [x], TensorType((1, 4), "uint8", grid(1 / 64, 7)))])
    model = to_model(program, signature_of(program, precision="w8a8-static"))
    assert [node.op_type for node in model.graph.node] == ["QuantizeLinear"]


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.5, 2.0, 61 / 127, 0.7310001, 3.25])
def test_requantize_is_exact_even_at_ties(ratio: float, tmp_path: Path) -> None:
    program = unary("requantize", grid(0.0625 * ratio, -9), grid(0.0625, 13))
    expected = interpret(program, {"x": ALL_INTEGERS})["y"]
    np.testing.assert_array_equal(run(lowered(program, tmp_path / "r.onnx"), ALL_INTEGERS)[0], expected)


def test_raw_pixels_become_int8_without_a_node() -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 3, 4, 4), "uint8", grid(1 / 255, 0)))
    inner = b.node("requantize", [x], TensorType((1, 3, 4, 4), "int8", grid(1 / 255, -128)))
    program = b.build([b.node("dequantize", [inner], TensorType((1, 3, 4, 4)))])
    model = to_model(program, signature_of(program, precision="w8a8-static"))
    assert [node.op_type for node in model.graph.node] == ["DequantizeLinear"]
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_int8_inputs_and_outputs_pass_unchanged(tmp_path: Path) -> None:
    program = unary("reshape", grid(0.1, 3), grid(0.1, 3), shape=(1, 1, 16, 16))
    out = run(lowered(program, tmp_path / "same.onnx"), ALL_INTEGERS)[0]
    assert out.dtype == np.int8
    np.testing.assert_array_equal(out, ALL_INTEGERS)
