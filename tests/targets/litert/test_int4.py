"""int4 weights between int8 activations: packed in the file, with the reference's integers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from tests.targets.litert.cases import GRID, INTEGER_CASES, Case, feeds_for, name, run

from pocketpress.core.program import Program, Quantization
from pocketpress.core.signature import signature_of
from pocketpress.targets.litert import products
from pocketpress.targets.litert.audit import audit
from pocketpress.targets.litert.lower import lower, to_bytes
from pocketpress.verify.reference.interpret import interpret

PRODUCTS = ("conv2d", "conv_transpose2d", "linear")


def int4(program: Program) -> Program:
    """The same program with weights in -7..7 on grids eighteen times as wide, of dtype int4."""
    types, constants = dict(program.types), dict(program.constants)
    for node in program.nodes:
        weight = node.inputs[1]
        scales = np.asarray(types[weight].quant.scale, np.float32) * 18
        quant = replace(types[weight].quant, scale=tuple(scales.tolist()))
        constants[weight] = (constants[weight] % 15 - 7).astype(np.int8)
        types[weight] = replace(types[weight], dtype="int4", quant=quant)
        if len(node.inputs) > 2:
            bias = Quantization.per_channel(types[node.inputs[0]].quant.step * scales, 0)
            types[node.inputs[2]] = replace(types[node.inputs[2]], quant=bias)
    return replace(program, types=types, constants=constants)


def check_integers(program: Program, path: Path) -> None:
    for seed in range(2):
        feeds = feeds_for(program, seed)
        (got,) = run(program, feeds, path)
        np.testing.assert_array_equal(got, interpret(program, feeds)["y"])
        assert len(np.unique(got)) > 10, "a constant output proves nothing"


@pytest.mark.parametrize("always", [True, False])
@pytest.mark.parametrize("case", [c for c in INTEGER_CASES if c.op in PRODUCTS], ids=name)
def test_an_operator_equals_the_reference_in_every_integer(
    case: Case, always: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if always:
        monkeypatch.setattr(products, "WORTH_UNFOLDING", 0)
    check_integers(int4(case.program()), tmp_path / "a.tflite")


def wide(op: str, inputs: int = 128) -> Program:
    attrs = {"stride": (1, 1), "pads": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "clamp": (0.0, None)}
    image: tuple[int, ...] = (1, inputs, 9, 9)
    shape, out, axis = (96, inputs, 3, 3), (1, 96, 9, 9), 0
    if op == "conv_transpose2d":
        attrs = {"stride": (2, 2), "pads": (0,) * 4, "output_padding": (0, 0), "groups": 1, "clamp": None}
        shape, out, axis = (inputs, 96, 2, 2), (1, 96, 18, 18), 1
    if op == "linear":
        image, shape, out, attrs = (5, inputs), (96, inputs), (5, 96), {"clamp": (-0.5, None)}
    rng = np.random.default_rng(2)
    scales = rng.uniform(0.005, 0.01, 96).astype(np.float32)
    weight = rng.integers(-127, 128, shape).astype(np.int8)
    bias = rng.integers(-3000, 3000, 96).astype(np.int32)
    constants = (
        (weight, Quantization.per_channel(scales, axis)),
        (bias, Quantization.per_channel(GRID.step * scales, 0)),
    )
    grid = Quantization.per_tensor(0.2 * float(np.sqrt(weight.size / 96)), -9)
    return int4(Case(op, (image,), out, attrs, constants, (GRID,), grid).program())


@pytest.mark.parametrize("op", PRODUCTS)
def test_weights_take_half_a_byte_and_run_in_xnnpack(op: str, tmp_path: Path) -> None:
    program = wide(op)
    path = tmp_path / "a.tflite"
    lowered = lower(program, signature_of(program, precision="w4a8"), path)
    assert lowered.skipped == () and audit(path, program) == ()
    types = {n: replace(t, dtype="int8") if t.dtype == "int4" else t for n, t in program.types.items()}
    whole = replace(program, types=types)
    saved = len(to_bytes(whole, signature_of(whole, precision="w8a8"))) - path.stat().st_size
    weights = max(value.size for value in program.constants.values())
    assert saved > weights / 2 - (96 * 3 * 28 if op == "conv_transpose2d" else 0) - 3500
    check_integers(program, path)


def test_a_transposed_convolution_of_few_inputs_stays_as_it_is(tmp_path: Path) -> None:
    """Four phases repeat 28 bytes a channel three times: more than half of 32 * 4 weights."""
    program = wide("conv_transpose2d", 32)
    lowered = lower(program, signature_of(program, precision="w4a8"), tmp_path / "a.tflite")
    assert [s.name for s in lowered.skipped] == ["conv_transpose2d y"]
    check_integers(program, tmp_path / "a.tflite")


def test_an_odd_number_of_inputs_is_stored_in_8_bits_and_says_so(tmp_path: Path) -> None:
    program = wide("linear", 63)
    lowered = lower(program, signature_of(program, precision="w4a8"), tmp_path / "a.tflite")
    (skipped,) = lowered.skipped
    assert skipped.name == "linear y" and "8 bits" in skipped.reason
    check_integers(program, tmp_path / "a.tflite")
