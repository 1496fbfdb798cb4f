"""What the audit says of nets that XNNPACK takes whole, in part, or with float islands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from tests.targets.litert.cases import FLOAT_CASES, GRID, INTEGER_CASES, Case, name

from pocketpress.core.errors import ArtifactError
from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.targets.litert.audit import audit
from pocketpress.targets.litert.lower import lower


def reasons(program: Program, folder: Path) -> dict[str, str]:
    lower(program, signature_of(program, precision="test"), folder / "a.tflite")
    return {s.name: s.reason for s in audit(folder / "a.tflite", program)}


OUTSIDE = {
    "pow-1.7",
    "pad-value",
    "max_pool2d-shifted",
    "max_pool2d-dilated-padded",
    "resize_nearest-odd",
    "step",
    "power",
    "power-broadcast",
    "power-five-axes",
}


@pytest.mark.parametrize("case", FLOAT_CASES, ids=name)
def test_float_operators_outside_xnnpack_are_known(case: Case, tmp_path: Path) -> None:
    found = reasons(case.program(), tmp_path)
    assert bool(found) == (name(case) in OUTSIDE), found


@pytest.mark.parametrize("case", [c for c in INTEGER_CASES if c.op in ("conv2d", "linear")], ids=name)
def test_integer_products_run_in_xnnpack(case: Case, tmp_path: Path) -> None:
    assert reasons(case.program(), tmp_path) == {}


def test_a_resize_is_named_with_the_kernel_that_runs_it(tmp_path: Path) -> None:
    case = next(c for c in INTEGER_CASES if name(c) == "resize_nearest-odd")
    found = reasons(case.program(), tmp_path)
    assert set(found) == {"resize_nearest y"} and "RESIZE_NEAREST_NEIGHBOR" in found["resize_nearest y"]


def test_a_float_island_of_the_program_is_named(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 8), "int8", GRID))
    real = b.node("dequantize", [x], TensorType((1, 8)))
    soft = b.node("softmax", [real], TensorType((1, 8)), name="soft", axis=-1)
    out = TensorType((1, 8), "int8", Quantization.per_tensor(1 / 256, -128))
    program = b.build([b.node("quantize", [soft], out)])
    found = reasons(program, tmp_path)
    assert set(found) == {"softmax soft"} and "computed in float" in found["softmax soft"]


def test_padding_of_a_rectified_image_stays_in_xnnpack(tmp_path: Path) -> None:
    padded = {name(c): c for c in INTEGER_CASES if c.op == "max_pool2d"}
    assert reasons(padded["max_pool2d-relu"].program(), tmp_path) == {}
    found = reasons(padded["max_pool2d-shifted"].program(), tmp_path)
    assert set(found) == {"max_pool2d y"} and "PADV2" in found["max_pool2d y"]


def test_activations_that_xnnpack_makes_a_table_are_integer_kernels(tmp_path: Path) -> None:
    for op in ("sigmoid", "tanh", "hardswish", "hardsigmoid", "leaky_relu", "elu"):
        case = next(c for c in INTEGER_CASES if c.op == op)
        assert reasons(case.program(), tmp_path) == {}


def test_a_file_that_litert_refuses_is_an_artifact_error(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(np.zeros(256, np.uint8).tobytes())
    with pytest.raises(ArtifactError, match="LiteRT cannot load"):
        audit(path, INTEGER_CASES[0].program())
