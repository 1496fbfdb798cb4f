"""The audit reads what ONNX Runtime executes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.targets.onnxruntime.networks import grid, residual, unary
from tests.targets.onnxruntime.test_lower import lowered

from pocketpress.core.program import ProgramBuilder, TensorType
from pocketpress.targets.onnxruntime.spec import SPEC


def test_an_integer_network_has_nothing_to_report(tmp_path: Path) -> None:
    program = residual()
    assert SPEC.audit(lowered(program, tmp_path / "net.onnx"), program) == ()


def test_a_table_computed_in_float_is_reported(tmp_path: Path) -> None:
    program = unary("elu", grid(0.04, -20), grid(0.0271, -91), alpha=1.0)
    (skipped,) = SPEC.audit(lowered(program, tmp_path / "net.onnx"), program)
    assert skipped.name == "y"
    assert "no integer kernel" in skipped.reason


def test_a_float_operator_of_the_program_is_reported(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 10), "int8", grid(0.1)))
    real = b.node("dequantize", [x], TensorType((1, 10)))
    program = b.build([b.node("softmax", [real], TensorType((1, 10)), name="probabilities", axis=1)])
    (skipped,) = SPEC.audit(lowered(program, tmp_path / "net.onnx"), program)
    assert skipped.name == "probabilities"
    assert "in float in the program itself" in skipped.reason


def test_a_file_with_too_few_integer_products_is_reported(tmp_path: Path) -> None:
    small = unary("clamp", grid(0.1), grid(0.1), low=0.0, high=None)
    reasons = {s.name: s.reason for s in SPEC.audit(lowered(small, tmp_path / "net.onnx"), residual())}
    assert reasons["QLinearConv"] == "2 layers need it and the optimised graph has 0"
    assert reasons["QGemm"] == "1 layers need it and the optimised graph has 0"


def test_a_float_network_is_not_audited(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 4)))
    program = b.build([b.node("exp", [x], TensorType((1, 4)))])
    assert SPEC.audit(lowered(program, tmp_path / "net.onnx", "fp32"), program) == ()


def test_the_runtime_reports_nothing_while_it_is_asked(tmp_path: Path) -> None:
    """Where it may, it leaves a file with the number of its session."""
    code = (
        "import sys; from pathlib import Path\n"
        "from pocketpress.targets.onnxruntime.audit import optimized_graph\n"
        "optimized_graph(Path(sys.argv[1]))"
    )
    model = lowered(residual(), tmp_path / "net.onnx")
    place = tmp_path / "place"
    place.mkdir()
    clean = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", code, str(model)], env={**clean, "TMPDIR": str(place)}, check=True)
    assert list(place.iterdir()) == []
