"""The audit accepts what was lowered and names every difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.targets.coreml.programs import NEEDS_COREMLTOOLS, float_conv, int8_conv, signed

from pocketpress.core.errors import ArtifactError, CheckFailed
from pocketpress.core.program import Program, Quantization
from pocketpress.targets.coreml.audit import audit
from pocketpress.targets.coreml.lower import lower
from pocketpress.targets.coreml.package import MODEL_PATH, WEIGHTS_PATH, read_model

pytestmark = NEEDS_COREMLTOOLS


def lowered(tmp_path: Path, program: Program) -> Path:
    path = tmp_path / "a.mlpackage"
    lower(program, signed(program), path)
    return path


def edited(path: Path, edit: Callable[[Any], None]) -> Path:
    """Change the operations of a package on disk."""
    model = read_model(path)
    (block,) = model.mlProgram.functions["main"].block_specializations.values()
    edit(block)
    (path / MODEL_PATH).write_bytes(model.SerializeToString())
    return path


def find(block: Any, kind: str) -> Any:
    return next(operation for operation in block.operations if operation.type == kind)


def constant(block: Any, name: str) -> Any:
    return next(o for o in block.operations if o.type == "const" and o.outputs[0].name == name)


def test_a_faithful_file_passes_and_says_what_the_device_decides(tmp_path: Path) -> None:
    program = int8_conv()
    (skipped,) = audit(lowered(tmp_path, program), program)
    assert skipped.name == "integer kernels" and "decided on the device" in skipped.reason
    assert audit(lowered(tmp_path, float_conv()), float_conv()) == ()


def test_one_changed_weight_is_found(tmp_path: Path) -> None:
    path = lowered(tmp_path, int8_conv())
    content = bytearray((path / WEIGHTS_PATH).read_bytes())
    integers = int8_conv().constants["w"].tobytes()
    position = bytes(content).index(integers) + 100
    content[position] ^= 1
    (path / WEIGHTS_PATH).write_bytes(bytes(content))
    with pytest.raises(CheckFailed, match="other integers than the program for w"):
        audit(path, int8_conv())


def change(program: Program, tensor: str, quant: Quantization) -> Program:
    types = {**program.types, tensor: replace(program.types[tensor], quant=quant)}
    return replace(program, types=types)


@pytest.mark.parametrize(
    ("tensor", "quant", "message"),
    [
        ("q", Quantization.per_tensor(0.0500001, -3), "other scale than the program for q"),
        ("conv", Quantization.per_tensor(0.11, 11), "other zero point than the program for conv"),
        ("w", Quantization.per_channel(np.full(12, 0.015), 0), "other scales than the program for w"),
    ],
)
def test_another_scale_or_zero_point_is_found(
    tmp_path: Path, tensor: str, quant: Quantization, message: str
) -> None:
    path = lowered(tmp_path, int8_conv())
    with pytest.raises(CheckFailed, match=message):
        audit(path, change(int8_conv(), tensor, quant))


def test_a_scale_changed_in_the_file_is_found(tmp_path: Path) -> None:
    def edit(block: Any) -> None:
        name = find(block, "quantize").inputs["scale"].arguments[0].name
        values = constant(block, name).attributes["val"].immediateValue.tensor.floats.values
        values[0] = np.nextafter(np.float32(values[0]), np.float32(1))

    with pytest.raises(CheckFailed, match="other scale"):
        audit(edited(lowered(tmp_path, int8_conv()), edit), int8_conv())


def test_a_missing_operator_is_found(tmp_path: Path) -> None:
    def edit(block: Any) -> None:
        find(block, "conv").type = "identity"

    path = edited(lowered(tmp_path, float_conv()), edit)
    with pytest.raises(CheckFailed, match="another number of conv2d: got 0; allowed: 1"):
        audit(path, float_conv())


def test_a_missing_quantize_is_found(tmp_path: Path) -> None:
    def edit(block: Any) -> None:
        find(block, "quantize").type = "identity"

    with pytest.raises(CheckFailed, match="quantises other tensors than the program"):
        audit(edited(lowered(tmp_path, int8_conv()), edit), int8_conv())


def test_a_weight_stored_as_floats_is_found(tmp_path: Path) -> None:
    def edit(block: Any) -> None:
        find(block, "constexpr_affine_dequantize").type = "identity"

    with pytest.raises(CheckFailed, match="another number of quantised weights: got 0; allowed: 1"):
        audit(edited(lowered(tmp_path, int8_conv()), edit), int8_conv())


def test_a_weight_record_outside_the_file(tmp_path: Path) -> None:
    path = lowered(tmp_path, int8_conv())
    content = (path / WEIGHTS_PATH).read_bytes()
    for length in (0, 64, 100, 200, 300):
        (path / WEIGHTS_PATH).write_bytes(content[:length])
        with pytest.raises(ArtifactError, match="weight record"):
            audit(path, int8_conv())
