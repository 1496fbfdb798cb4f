"""Every operator through LiteRT, in float and in int8, against the reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from tests.targets.litert.cases import (
    FLOAT_CASES,
    GRID,
    INTEGER_CASES,
    TABLE_GRIDS,
    Case,
    feeds_for,
    name,
    run,
    small_mobilenet,
)

from pocketpress.core.errors import DeviceError
from pocketpress.core.program import OPS, Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.program.recurrent import RECURRENT
from pocketpress.core.program.tables import real_table
from pocketpress.core.signature import signature_of
from pocketpress.targets.litert.audit import audit
from pocketpress.targets.litert.lower import lower, to_bytes
from pocketpress.targets.litert.spec import SPEC
from pocketpress.verify.reference.interpret import interpret


def float_close(got: np.ndarray, expected: np.ndarray) -> None:
    scale = float(np.abs(expected).max()) + 1e-6
    np.testing.assert_allclose(got, expected, rtol=3e-6, atol=3e-6 * scale)


@pytest.mark.parametrize("case", FLOAT_CASES, ids=name)
def test_float_operator_equals_the_reference(case: Case, tmp_path: Path) -> None:
    program = case.program()
    feeds = feeds_for(program, positive=case.positive)
    (got,) = run(program, feeds, tmp_path / "a.tflite")
    expected = interpret(program, feeds)["y"]
    assert got.shape == case.out and got.dtype == expected.dtype
    float_close(got, expected)


@pytest.mark.parametrize("case", INTEGER_CASES, ids=name)
def test_int8_operator_equals_the_reference_in_every_integer(case: Case, tmp_path: Path) -> None:
    program = case.program()
    for seed in range(3):
        feeds = feeds_for(program, seed)
        (got,) = run(program, feeds, tmp_path / "a.tflite")
        expected = interpret(program, feeds)["y"]
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)
        assert len(np.unique(got)) > 10, "a constant output proves nothing"


def test_every_operator_is_tested_and_on_the_card() -> None:
    floats, integers = {c.op for c in FLOAT_CASES}, {c.op for c in INTEGER_CASES}
    dynamic = {"dynamic_conv2d", "dynamic_linear", *RECURRENT}  # by `testing`, as the next four
    dynamic |= {"embedding", "cast", "whole", "argmax"}
    assert floats | dynamic | {"quantize", "dequantize", "requantize"} == set(OPS)
    assert floats | dynamic == SPEC.float_ops
    assert integers == SPEC.integer_ops
    assert set(SPEC.remarks) <= set(OPS)
    assert {op for op, spec in OPS.items() if op not in SPEC.integer_ops} <= set(SPEC.remarks)


@pytest.mark.parametrize("op", ["sigmoid", "tanh", "hardswish", "hardsigmoid", "leaky_relu", "elu"])
def test_all_256_entries_of_a_table_on_random_scales(op: str, tmp_path: Path) -> None:
    attrs = {"leaky_relu": {"slope": 0.2}, "elu": {"alpha": 1.0}}.get(op, {})
    rng = np.random.default_rng(7)
    codes = np.arange(-128, 128, dtype=np.int8).reshape(1, 1, 16, 16)
    tried = 0
    while tried < 8:
        quant_in = Quantization.per_tensor(float(rng.uniform(0.01, 0.2)), int(rng.integers(-128, 128)))
        free = Quantization.per_tensor(float(rng.uniform(0.01, 0.2)), int(rng.integers(-128, 128)))
        quant_out = TABLE_GRIDS.get(op, free)
        table = real_table(op, attrs, quant_in, quant_out)
        if np.min(np.abs(table - np.floor(table) - 0.5)) < 1e-4:
            continue
        tried += 1
        case = Case(op, (codes.shape,), codes.shape, attrs, (), (quant_in,), quant_out)
        program = case.program()
        (got,) = run(program, {"x0": codes}, tmp_path / "a.tflite")
        np.testing.assert_array_equal(got, interpret(program, {"x0": codes})["y"])


def test_quantize_rounds_as_the_reference_at_and_around_ties(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for _ in range(6):
        step, zero_point = float(np.exp(rng.uniform(-7, 0))), int(rng.integers(-128, 128))
        halves = (np.arange(1024) - 511.5).astype(np.float32)
        exact = halves / (np.float32(1) / np.float32(step))
        x = np.stack([halves * np.float32(step), exact, np.nextafter(exact, np.float32(np.inf))])
        x = np.concatenate([x, (rng.normal(size=(5, 1024)) * step * 60).astype(np.float32)])
        case = Case("quantize", (x.shape,), x.shape, {}, out_grid=Quantization.per_tensor(step, zero_point))
        program = case.program()
        (got,) = run(program, {"x0": x}, tmp_path / "a.tflite")
        np.testing.assert_array_equal(got, interpret(program, {"x0": x})["y"])


@pytest.mark.parametrize("same_scale", [True, False])
@pytest.mark.parametrize("pair", [("uint8", "int8"), ("int8", "uint8")])
def test_requantize_between_dtypes(pair: tuple[str, str], same_scale: bool, tmp_path: Path) -> None:
    low = 0 if pair[0] == "uint8" else -128
    codes = (np.arange(256) + low).astype(pair[0]).reshape(1, 1, 16, 16)
    b = ProgramBuilder()
    x = b.input("x", TensorType(codes.shape, pair[0], Quantization.per_tensor(1 / 255, low)))
    step = 1 / 255 if same_scale else 0.0177
    grid = Quantization.per_tensor(step, -128 if pair[1] == "int8" else 3)
    program = b.build([b.node("requantize", [x], TensorType(codes.shape, pair[1], grid), name="y")])
    (got,) = run(program, {"x": codes}, tmp_path / "a.tflite")
    np.testing.assert_array_equal(got, interpret(program, {"x": codes})["y"])


def test_a_requantize_with_ties_is_reported(tmp_path: Path) -> None:
    grids = (Quantization.per_tensor(0.1, 0),)
    case = Case("requantize", ((1, 256),), (1, 256), {}, (), grids, Quantization.per_tensor(0.2, 0))
    program = case.program()
    report = lower(program, signature_of(program, precision="test"), tmp_path / "a.tflite")
    codes = np.arange(-128, 128, dtype=np.int8).reshape(1, 256)
    (got,) = run(program, {"x0": codes}, tmp_path / "a.tflite")
    unequal = int(np.count_nonzero(got != interpret(program, {"x0": codes})["y"]))
    assert (unequal > 0) == bool(report.skipped)
    if unequal:
        assert report.skipped[0].reason.startswith(f"{unequal} of 256 codes")


def half(program: Program) -> Program:
    constants = {n: v.astype(np.float16) for n, v in program.constants.items()}
    types = {n: replace(t, dtype="float16") if n in constants else t for n, t in program.types.items()}
    return replace(program, constants=constants, types=types)


@pytest.mark.parametrize("case", [c for c in FLOAT_CASES if c.constants], ids=name)
def test_float16_weights_are_stored_as_such_and_computed_in_float32(case: Case, tmp_path: Path) -> None:
    program = half(case.program())
    feeds = feeds_for(program)
    (got,) = run(program, feeds, tmp_path / "a.tflite")
    float_close(got, interpret(program, feeds)["y"])
    assert audit(tmp_path / "a.tflite", program) == ()


def test_float16_file_is_half_as_large() -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 256)))
    w = b.constant("w", np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32))
    program = b.build([b.node("linear", [x, w], TensorType((1, 256)), clamp=None)])
    signature = signature_of(program, precision="fp16")
    small, large = len(to_bytes(half(program), signature)), len(to_bytes(program, signature))
    assert large - small == pytest.approx(256 * 256 * 2, rel=0.01)


def test_a_network_equals_the_reference_in_every_integer(tmp_path: Path) -> None:
    program = small_mobilenet()
    for seed in range(5):
        feeds = feeds_for(program, seed)
        (got,) = run(program, feeds, tmp_path / "a.tflite")
        np.testing.assert_array_equal(got, interpret(program, feeds)["logits"])
    assert audit(tmp_path / "a.tflite", program) == ()


def test_every_inner_tensor_of_a_network_equals_the_reference(tmp_path: Path) -> None:
    program = small_mobilenet()
    inner = [node.outputs[0] for node in program.nodes]
    whole = replace(program, outputs=tuple(inner))
    feeds = feeds_for(program, 3)
    got = dict(zip(inner, run(whole, feeds, tmp_path / "a.tflite"), strict=True))
    expected = interpret(program, feeds, keep=inner)
    for tensor in inner:
        np.testing.assert_array_equal(got[tensor], expected[tensor], err_msg=tensor)


def test_equal_programs_give_equal_bytes() -> None:
    signature = signature_of(small_mobilenet(), precision="w8a8-static")
    assert to_bytes(small_mobilenet(), signature) == to_bytes(small_mobilenet(), signature)


def test_inputs_and_outputs_in_odd_places(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x, unused = b.input("x", TensorType((2, 3))), b.input("unused", TensorType((4,)))
    y = b.node("neg", [x], TensorType((2, 3)), name="y")
    program = b.build([y])
    program = replace(program, outputs=(y, y))
    feeds = feeds_for(program)
    first, second = run(program, feeds, tmp_path / "a.tflite")
    np.testing.assert_array_equal(first, -feeds["x"])
    np.testing.assert_array_equal(second, -feeds["x"])
    assert unused in program.inputs


def test_a_folder_that_is_missing_is_a_device_error_and_leaves_nothing(tmp_path: Path) -> None:
    program = INTEGER_CASES[0].program()
    with pytest.raises(DeviceError, match="cannot write"):
        lower(program, signature_of(program, precision="test"), tmp_path / "absent" / "a.tflite")
    assert list(tmp_path.iterdir()) == []


def test_only_one_file_is_left(tmp_path: Path) -> None:
    program = INTEGER_CASES[0].program()
    lower(program, signature_of(program, precision="test"), tmp_path / "a.tflite")
    assert [p.name for p in tmp_path.iterdir()] == ["a.tflite"]


@pytest.mark.parametrize("zero_point", [7, -128, 127, -1])
def test_matmul_with_an_asymmetric_second_operand_equals_the_reference(
    zero_point: int, tmp_path: Path
) -> None:
    grids = (GRID, Quantization.per_tensor(0.03, zero_point))
    out = Quantization.per_tensor(0.4, 3)
    case = Case("matmul", ((2, 31, 48), (2, 48, 51)), (2, 31, 51), {}, (), grids, out)
    program = case.program()
    for seed in range(3):
        feeds = feeds_for(program, seed)
        (got,) = run(program, feeds, tmp_path / "a.tflite")
        np.testing.assert_array_equal(got, interpret(program, feeds)["y"])
    (skipped,) = audit(tmp_path / "a.tflite", program)
    assert skipped.name == "matmul y" and "BATCH_MATMUL" not in skipped.reason
