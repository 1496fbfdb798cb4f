"""4-bit weights between 8-bit activations: the integers of the reference from half the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.targets.onnxruntime.test_lower import lowered, run

from pocketpress.core.program import Program, Quantization, TensorType
from pocketpress.targets.onnxruntime.audit import optimized_graph
from pocketpress.targets.onnxruntime.spec import SPEC
from pocketpress.testing import Case, all_cases
from pocketpress.verify.reference import interpret

PRODUCTS = ("conv2d", "conv_transpose2d", "linear")
CASES = [c for c in all_cases() if c.op in PRODUCTS and c.precision == "w8a8-static"]
COARSER = 18
"""An int8 weight over this, rounded, is an int4 weight: 127 / 18 is 7."""


def coarse(program: Program) -> Program:
    """The same program with weights and biases `COARSER` times smaller, their scales so much larger."""
    types, constants = dict(program.types), dict(program.constants)
    for node in program.nodes:
        for name in node.inputs[1:] if node.op in PRODUCTS else ():
            quant = types[name].quant
            assert quant is not None
            dtype = "int4" if constants[name].dtype == np.int8 else "int32"
            wider = Quantization(tuple(s * COARSER for s in quant.scale), 0, quant.axis)
            types[name] = TensorType(types[name].shape, dtype, wider)
            constants[name] = np.rint(constants[name] / COARSER).astype(constants[name].dtype)
    return replace(program, types=types, constants=constants)


@pytest.mark.parametrize("case", CASES, ids=[c.id for c in CASES])
def test_equal_to_the_reference(case: Case, tmp_path: Path) -> None:
    program = coarse(case.program)
    path = lowered(program, tmp_path / "net.onnx", "w4a8")
    got = run(path, *(case.feeds[name] for name in program.inputs))
    expected = interpret(program, case.feeds)
    for name, value in zip(program.outputs, got, strict=True):
        np.testing.assert_array_equal(value, expected[name])
    assert SPEC.audit(path, program) == ()
    assert not any(node.op_type == "Cast" for node in optimized_graph(path).node)


def test_weights_take_half_of_the_bytes(tmp_path: Path) -> None:
    case = max(CASES, key=lambda c: max(v.size for v in c.program.constants.values()))
    weights = sum(v.size for v in case.program.constants.values() if v.dtype == np.int8)
    full = lowered(case.program, tmp_path / "w8a8.onnx").stat().st_size
    half = lowered(coarse(case.program), tmp_path / "w4a8.onnx", "w4a8").stat().st_size
    assert full - half > weights / 2 - 1000
