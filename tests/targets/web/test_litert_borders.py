"""What LiteRT.js is given: uint8 for int8, int32 for int64, float32 for int16; the same real values."""

from __future__ import annotations

import numpy as np
import pytest
from tests.targets.web.programs import bytes_at_the_border, convolutions

from pocketpress.core.program import ProgramBuilder, Quantization, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.targets.litert_web.borders import web_signature, with_web_borders
from pocketpress.verify.reference import interpret


def test_float_borders_stay() -> None:
    program = convolutions(4)
    assert with_web_borders(program) is program


def test_int8_becomes_uint8_with_the_zero_point_moved() -> None:
    program = bytes_at_the_border()
    rewritten = with_web_borders(program)
    assert rewritten.type("x") == TensorType((1, 4), "uint8", Quantization.per_tensor(0.5, 131))
    assert rewritten.type("y") == TensorType((1, 4), "uint8", Quantization.per_tensor(0.3, 121))
    given = np.asarray([[-128, -7, 3, 127]], np.int8)
    moved = (given.astype(np.int16) + 128).astype(np.uint8)
    wanted = interpret(program, {"x": given})["y"].astype(np.int16) + 128
    np.testing.assert_array_equal(interpret(rewritten, {"x": moved})["y"], wanted)


def test_the_signature_says_so() -> None:
    program = bytes_at_the_border()
    signature = signature_of(program, precision="w8a8-static")
    found = web_signature(with_web_borders(program), signature)
    assert [(s.name, s.dtype, s.zero_point) for s in (*found.inputs, *found.outputs)] == [
        ("x", "uint8", 131),
        ("y", "uint8", 121),
    ]
    assert found.inputs[0].scale == signature.inputs[0].scale
    assert found.precision == "w8a8-static"


def test_rows_of_a_table_become_int32() -> None:
    b = ProgramBuilder()
    rows = b.input("rows", TensorType((1, 3), "int64"))
    table = b.constant("table", np.arange(10, dtype=np.float32).reshape(5, 2))
    program = b.build([b.node("embedding", [rows, table], TensorType((1, 3, 2)), name="y")])
    rewritten = with_web_borders(program)
    assert rewritten.type("rows").dtype == "int32"
    given = np.asarray([[4, 0, 2]])
    np.testing.assert_array_equal(
        interpret(rewritten, {"rows": given.astype(np.int32)})["y"], interpret(program, {"rows": given})["y"]
    )
    signature = web_signature(rewritten, signature_of(program, precision="fp32"))
    assert signature.inputs[0].dtype == "int32" and signature.inputs[0].rows == 5


def test_int16_is_rounded_inside_and_its_grid_is_told() -> None:
    b, shape = ProgramBuilder(), (1, 3)
    quant = Quantization.per_tensor(0.25, 0)
    x = b.input("x", TensorType(shape, "int16", quant))
    y = b.node("reshape", [x], TensorType((3,), "int16", quant), name="y", shape=(3,))
    program = b.build([y])
    rewritten = with_web_borders(program)
    assert (rewritten.type("x").dtype, rewritten.type("y").dtype) == ("float32", "float32")
    result = interpret(rewritten, {"x": np.asarray([[0.3, -1.0, 0.124]], np.float32)})["y"]
    np.testing.assert_array_equal(result, np.asarray([0.25, -1.0, 0.0], np.float32))
    output = web_signature(rewritten, signature_of(program, precision="w8a16")).outputs[0]
    assert (output.dtype, output.scale, output.grid_scale) == ("float32", None, 0.25)


@pytest.mark.parametrize("name", ["x", "y"])
def test_states_are_stored_alike_at_both_ends(name: str) -> None:
    from dataclasses import replace

    from pocketpress.core.program.state import State

    b, shape = ProgramBuilder(), (1, 4)
    quant = Quantization.per_tensor(0.5, 3)
    x = b.input("x", TensorType(shape, "int8", quant))
    y = b.node("reshape", [x], TensorType(shape, "int8", quant), name="y", shape=shape)
    program = replace(b.build([y]), states=(State("x", "y", (0.0,)),))
    rewritten = with_web_borders(program)
    assert rewritten.states == program.states
    assert rewritten.type(name) == TensorType(shape, "uint8", Quantization.per_tensor(0.5, 131))
    web_signature(rewritten, signature_of(program, precision="w8a8-static"))
