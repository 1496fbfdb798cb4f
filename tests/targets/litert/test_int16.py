"""16-bit activations: the reference's integers give or take one, and islands where kernels are slow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from tests.targets.litert.cases import INTEGER_CASES, Case, feeds_for, name, run

from pocketpress.core.program import OPS, Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.targets.litert.audit import audit
from pocketpress.targets.litert.islands import with_float_islands
from pocketpress.targets.litert.lower import lower
from pocketpress.verify.reference.interpret import interpret

CASES = [c for c in INTEGER_CASES if OPS[c.op].integer != "table" and c.attrs.get("groups", 1) != 4]
"""Without look-up tables, which no int16 program has, and the transposed convolution with groups."""


def int16(program: Program) -> Program:
    """The same program with activations on symmetric grids two hundred times as fine."""
    types = dict(program.types)
    for tensor, type_ in program.types.items():
        if tensor not in program.constants and type_.dtype == "int8":
            quant = Quantization.per_tensor(float(type_.quant.step) / 200)
            types[tensor] = TensorType(type_.shape, "int16", quant)
    for node in program.nodes:
        if node.op in ("conv2d", "conv_transpose2d", "linear") and len(node.inputs) > 2:
            scales = types[node.inputs[1]].quant.scales() * types[node.inputs[0]].quant.step
            quant = Quantization.per_channel(scales.tolist(), 0)
            types[node.inputs[2]] = replace(types[node.inputs[2]], quant=quant)
    return replace(program, types=types)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_an_operator_is_within_one_step_of_the_reference(case: Case, tmp_path: Path) -> None:
    program = int16(case.program())
    assert "int16" in {t.dtype for t in program.types.values()}
    for seed in range(2):
        feeds = feeds_for(program, seed)
        (got,) = run(program, feeds, tmp_path / "a.tflite")
        expected = interpret(program, feeds)["y"]
        assert got.dtype == expected.dtype
        assert np.abs(got.astype(np.float64) - expected).max() <= 1
        assert len(np.unique(got)) > 10, "a constant output proves nothing"


def products(weight: int, columns: int) -> Program:
    """One row of full-scale inputs times equal weights: the sum is easily told."""
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, columns), "int16", Quantization.per_tensor(2.0**-8)))
    value = np.full((3, columns), weight, np.int8)
    w = b.constant("w", value, Quantization.per_channel([2.0**-10] * 3, 0))
    out = TensorType((1, 3), "int16", Quantization.per_tensor(2.0**-2))
    return b.build([b.node("linear", [x, w], out, name="y", clamp=None)])


@pytest.mark.parametrize(("columns", "islands"), [(500, 0), (600, 1)])
def test_sums_that_may_overflow_int32_are_computed_in_float(
    columns: int, islands: int, tmp_path: Path
) -> None:
    """127 * 2^15 * 517 > 2^31."""
    program = products(127, columns)
    lowered = lower(program, signature_of(program, precision="w8a16"), tmp_path / "a.tflite")
    assert len(lowered.skipped) == islands and all("overflow" in s.reason for s in lowered.skipped)
    feeds = {"x": np.full((1, columns), 32767, np.int16)}
    (got,) = run(program, feeds, tmp_path / "a.tflite")
    by_hand = min(32767, round(32767 * 127 * columns / 2**16))
    assert np.abs(got.astype(int) - by_hand).max() <= 1


def test_an_island_dequantizes_a_shared_input_once() -> None:
    b = ProgramBuilder()
    grid = TensorType((1, 4), "int16", Quantization.per_tensor(0.01))
    x = b.input("x", grid)
    first = b.node("mul", [x, x], grid, name="first", clamp=None)
    second = b.node("mul", [x, first], grid, name="second", clamp=None)
    program, skipped = with_float_islands(b.build([second]))
    assert [n.op for n in program.nodes].count("dequantize") == 2
    assert [s.name for s in skipped] == ["mul first", "mul second"]


def test_the_audit_says_once_that_int16_runs_outside_xnnpack(tmp_path: Path) -> None:
    program = products(1, 20)
    lower(program, signature_of(program, precision="w8a16"), tmp_path / "a.tflite")
    assert [s.name for s in audit(tmp_path / "a.tflite", program)] == ["int16 activations"]


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("step", [1 / 255, 0.0177 / 256])
def test_requantize_from_8_to_16_bits(dtype: str, step: float, tmp_path: Path) -> None:
    low = 0 if dtype == "uint8" else -128
    codes = (np.arange(256) + low).astype(dtype).reshape(1, 1, 16, 16)
    b = ProgramBuilder()
    x = b.input("x", TensorType(codes.shape, dtype, Quantization.per_tensor(1 / 255, low)))
    out = TensorType(codes.shape, "int16", Quantization.per_tensor(step))
    program = b.build([b.node("requantize", [x], out, name="y")])
    (got,) = run(program, {"x": codes}, tmp_path / "a.tflite")
    assert np.abs(got.astype(int) - interpret(program, {"x": codes})["y"]).max() <= 1
