"""Activations: 256 of 256 integers equal, also where an entry lies on or next to a rounding tie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.targets.onnxruntime.networks import ALL_INTEGERS, grid, unary
from tests.targets.onnxruntime.test_lower import lowered, run

from pocketpress.core.program import Program
from pocketpress.core.signature import signature_of
from pocketpress.targets.onnxruntime.lower import to_model
from pocketpress.verify.reference import interpret

SIGMOID, TANH = grid(1 / 256, -128), grid(1 / 128, 0)
OPERATORS: dict[str, tuple[Any, dict[str, float]]] = {
    "sigmoid": (SIGMOID, {}),
    "tanh": (TANH, {}),
    "hardsigmoid": (SIGMOID, {}),
    "hardswish": (grid(0.021, -110), {}),
    "leaky_relu": (grid(0.019, -90), {"slope": 0.1}),
    "elu": (grid(0.023, -85), {"alpha": 1.0}),
}


def kinds(program: Program) -> set[str]:
    model = to_model(program, signature_of(program, precision="w8a8-static"))
    return {node.op_type for node in model.graph.node if not node.name.startswith("border_")}


@pytest.mark.parametrize("op", OPERATORS)
def test_any_input_scale_gives_the_reference_table(op: str, tmp_path: Path) -> None:
    out, attrs = OPERATORS[op]
    rng = np.random.default_rng(5)
    seen: set[str] = set()
    for _ in range(30):
        source = grid(float(rng.uniform(0.005, 0.08)), int(rng.integers(-128, 128)))
        program = unary(op, source, out, **attrs)
        seen |= kinds(program)
        expected = interpret(program, {"x": ALL_INTEGERS})["y"]
        np.testing.assert_array_equal(run(lowered(program, tmp_path / "t.onnx"), ALL_INTEGERS)[0], expected)
    assert "Gather" in seen and len(seen) > 2, "both the fast and the table form should have occurred"


def test_the_exact_tie_of_a_leaky_relu_is_looked_up(tmp_path: Path) -> None:
    """Slope 1/2 on equal scales: every odd negative integer is a tie, rounded to even."""
    program = unary("leaky_relu", grid(0.25, 0), grid(0.25, 0), slope=0.5)
    assert "Gather" in kinds(program)
    got = run(lowered(program, tmp_path / "t.onnx"), ALL_INTEGERS)[0].reshape(-1)
    assert got[128 - 1] == 0 and got[128 - 3] == -2 and got[128 - 5] == -2


def test_hardswish_is_a_product_of_integers_where_3_is_a_whole_number_of_steps(tmp_path: Path) -> None:
    seen = []
    for steps in range(20, 120):
        for zero_point in (-60, -5, 120):
            program = unary("hardswish", grid(3 / steps, zero_point), grid(0.0273, -113))
            seen.append(kinds(program))
            expected = interpret(program, {"x": ALL_INTEGERS})["y"]
            got = run(lowered(program, tmp_path / "t.onnx"), ALL_INTEGERS)[0]
            np.testing.assert_array_equal(got, expected)
    assert seen.count({"Clip", "QLinearMul"}) > 100


@pytest.mark.parametrize("op", ["sigmoid", "tanh", "hardsigmoid"])
def test_clear_of_ties_an_integer_kernel_does_it(op: str) -> None:
    scales = (0.03 + 0.0001 * step for step in range(200))
    found = {frozenset(kinds(unary(op, grid(scale, 2), OPERATORS[op][0]))) for scale in scales}
    assert frozenset({"QLinearAdd" if op == "hardsigmoid" else "QLinearSigmoid"}) in found
