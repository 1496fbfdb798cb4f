"""Packages read back and computed by a slow interpreter must be the program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.targets.coreml.mil_interpreter import run_package
from tests.targets.coreml.programs import NEEDS_COREMLTOOLS, float_conv, image, int8_conv, signed

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import OPS, Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.targets.coreml.lower import HANDLERS, lower, to_model
from pocketpress.targets.coreml.package import read_model, read_signature
from pocketpress.targets.coreml.spec import SPEC
from pocketpress.testing import Case, all_cases
from pocketpress.verify.reference import interpret

pytestmark = NEEDS_COREMLTOOLS

FLOAT_TOLERANCE = 1e-5
"""Relative to the range of the output: rounding of float32 arithmetic in another order."""


@pytest.mark.parametrize(
    "case", [c for c in all_cases() if c.precision in SPEC.families], ids=lambda case: case.id
)
def test_every_operator_computes_the_reference(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "case.mlpackage"
    if case.op == "max_pool2d" and case.name == "dilation_2":
        with pytest.raises(UnsupportedError, match="no dilated max_pool2d"):
            lower(case.program, signature_of(case.program, precision=case.precision), path)
        return
    lower(case.program, signature_of(case.program, precision=case.precision), path)
    got = run_package(path, case.feeds)
    expected = interpret(case.program, case.feeds)
    for name in case.program.outputs:
        difference = np.abs(got[name].astype(np.float64) - expected[name]).max()
        if case.precision == "w8a8-static" and not case.island:
            assert difference == 0
        elif case.island:
            step = case.program.type(case.program.producers()[name].inputs[0]).quant
            assert difference <= (
                step.scale[0] * 1.0001 if step is not None else 0
            )  # whole numbers are equal
        else:
            assert difference <= FLOAT_TOLERANCE * np.ptp(expected[name])


def test_every_operator_has_a_handler_and_is_on_the_card() -> None:
    at_run_time = {"dynamic_conv2d", "dynamic_linear"}
    assert set(HANDLERS) == set(OPS) - at_run_time
    borders = {"quantize", "dequantize", "requantize"}
    assert SPEC.float_ops == set(HANDLERS) - borders


@pytest.mark.parametrize(
    "clamp", [None, (0.0, None), (0.0, 6.0), (-1.03, 2.07), (None, 3.3), (-500.0, 500.0)]
)
def test_a_clamp_limits_to_the_integers_of_the_reference(
    clamp: tuple[float | None, float | None] | None, tmp_path: Path
) -> None:
    program = int8_conv(clamp)
    lower(program, signed(program), tmp_path / "a.mlpackage")
    got = run_package(tmp_path / "a.mlpackage", {"x": image()})
    np.testing.assert_array_equal(got["y"], interpret(program, {"x": image()})["y"])


def test_a_clamp_that_never_binds_costs_nothing(tmp_path: Path) -> None:
    plain, wide = (to_model(int8_conv(c), signed(int8_conv(c)))[0] for c in (None, (-500.0, 500.0)))
    assert kinds(wide) == kinds(plain) and "clip" not in kinds(plain)
    assert "clip" in kinds(to_model(int8_conv((0.0, 6.0)), signed(int8_conv((0.0, 6.0))))[0])


def kinds(model: object) -> list[str]:
    (block,) = model.mlProgram.functions["main"].block_specializations.values()  # type: ignore[attr-defined]
    return [operation.type for operation in block.operations]


def test_int8_weights_take_one_byte_each(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 512)))
    q = b.node("quantize", [x], TensorType((1, 512), "int8", Quantization.per_tensor(0.05, 0)))
    weight = rng.integers(-127, 128, (256, 512)).astype(np.int8)
    w = b.constant("w", weight, Quantization.per_channel(np.full(256, 0.01), 0))
    out_type = TensorType((1, 256), "int8", Quantization.per_tensor(0.5, 0))
    y = b.node("linear", [q, w], out_type, clamp=None)
    program = b.build([b.node("dequantize", [y], TensorType((1, 256)), name="y")])
    lower(program, signed(program), tmp_path / "a.mlpackage")
    size = sum(f.stat().st_size for f in (tmp_path / "a.mlpackage").rglob("*") if f.is_file())
    assert weight.nbytes < size < weight.nbytes + 8192


def test_equal_programs_give_equal_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.mlpackage"
        lower(int8_conv(), signed(int8_conv()), path)
        contents.append({str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()})
    assert contents[0] == contents[1]
    assert sorted(contents[0]) == [
        "Data/com.apple.CoreML/model.mlmodel",
        "Data/com.apple.CoreML/weights/weight.bin",
        "Manifest.json",
    ]


def test_lowering_says_what_it_checked_and_what_the_device_decides(tmp_path: Path) -> None:
    lowered = lower(int8_conv(), signed(int8_conv()), tmp_path / "a.mlpackage")
    assert lowered.notes == (
        "read back: every integer, scale and zero point in the file equals the program's",
    )
    assert [s.name for s in lowered.skipped] == ["integer kernels"]
    plain = lower(float_conv(), signed(float_conv()), tmp_path / "b.mlpackage")
    assert plain.skipped == () and plain.notes == ()


def test_the_signature_travels_in_the_metadata(tmp_path: Path) -> None:
    program = int8_conv()
    lower(program, signed(program), tmp_path / "a.mlpackage")
    assert read_signature(tmp_path / "a.mlpackage") == signed(program)


def test_features_have_the_programs_names_and_shapes(tmp_path: Path) -> None:
    lower(float_conv(), signed(float_conv()), tmp_path / "a.mlpackage")
    description = read_model(tmp_path / "a.mlpackage").description
    features = [
        (f.name, list(f.type.multiArrayType.shape)) for f in (*description.input, *description.output)
    ]
    assert features == [("x", [1, 3, 6, 6]), ("y", [1, 4, 6, 6])]


def run(program: Program, tmp_path: Path, **feeds: np.ndarray) -> dict[str, np.ndarray]:
    lower(program, signed(program), tmp_path / "a.mlpackage")
    return run_package(tmp_path / "a.mlpackage", feeds)


def test_names_outside_the_alphabet_stay_unique(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("in.1", TensorType((1, 4)))
    first = b.node("abs", [x], TensorType((1, 4)), name="a.b")
    second = b.node("neg", [first], TensorType((1, 4)), name="a_b")
    third = b.node("neg", [second], TensorType((1, 4)), name="3:x")
    got = run(b.build([first, second, third]), tmp_path, in_1=np.array([[-1, 2, -3, 4]], np.float32))
    assert {k: v.tolist() for k, v in got.items()} == {
        "a_b": [[1, 2, 3, 4]],
        "a_b_1": [[-1, -2, -3, -4]],
        "_3_x": [[1, 2, 3, 4]],
    }


def test_inputs_and_constants_can_be_outputs(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 4)))
    c = b.constant("c", np.array([5, 6], np.float32))
    y = b.node("reshape", [x], TensorType((2, 2)), name="y", shape=(2, 2))
    z = b.node("add", [y, c], TensorType((2, 2)), name="z", clamp=None)
    values = np.arange(4, dtype=np.float32).reshape(1, 4)
    got = run(b.build([z, y]), tmp_path, x=values)
    assert got["z"].tolist() == [[5, 7], [7, 9]] and got["y"].tolist() == [[0, 1], [2, 3]]


def test_one_tensor_read_as_reals_and_given_out(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 4)))
    q = b.node("quantize", [x], TensorType((1, 4), "int8", Quantization.per_tensor(0.5, 1)), name="q")
    first = b.node("dequantize", [q], TensorType((1, 4)), name="first")
    second = b.node("dequantize", [q], TensorType((1, 4)), name="second")
    got = run(b.build([first, second, q]), tmp_path, x=np.array([[0.3, 0.2, -9, 99]], np.float32))
    assert got["first"].tolist() == got["second"].tolist() == [[0.5, 0, -9, 63]]
    assert got["q"].tolist() == [[2, 1, -17, 127]] and got["q"].dtype == np.float32


def test_raw_pixels_enter_as_whole_numbers(tmp_path: Path) -> None:
    b = ProgramBuilder()
    pixels = TensorType((1, 1, 2, 2), "uint8", Quantization.per_tensor(1 / 255, 0))
    x = b.input("x", pixels)
    shifted = TensorType((1, 1, 2, 2), "int8", Quantization.per_tensor(1 / 255, -128))
    y = b.node("dequantize", [b.node("requantize", [x], shifted)], TensorType((1, 1, 2, 2)), name="y")
    program = b.build([y])
    lowered = lower(program, signed(program), tmp_path / "a.mlpackage")
    assert lowered.notes[1:] == ("Core ML has no 8-bit features: x travel as whole float32 numbers",)
    values = np.array([[[[0, 1], [128, 255]]]], np.uint8)
    got = run_package(tmp_path / "a.mlpackage", {"x": values})
    np.testing.assert_array_equal(got["y"], interpret(program, {"x": values})["y"])


def test_what_core_ml_lacks_names_the_users_line() -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 2, 2, 2, 2, 2)))
    y = b.node("neg", [x], TensorType((1, 2, 2, 2, 2, 2)), source="net.py:7: y = -x")
    with pytest.raises(UnsupportedError) as caught:
        to_model(b.build([y]), signed(b.build([y])))
    assert str(caught.value) == (
        "net.py:7: y = -x: Core ML has no tensors of this rank: got (1, 2, 2, 2, 2, 2); allowed: up to 5 axes"
    )


def test_dtypes_that_core_ml_lacks() -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 2), "int16", Quantization.per_tensor(0.1, 0)))
    program = b.build([b.node("dequantize", [x], TensorType((1, 2)))])
    with pytest.raises(UnsupportedError, match="no input or output of this dtype: x: got int16"):
        to_model(program, signed(program))
