"""Activations quantised at run time: within quantisation noise of the reference, in XNNPACK."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from tests.targets.litert.cases import FLOAT_CASES, Case, feeds_for, name, run
from tests.targets.litert.test_weights import integers

from pocketpress.compress.weight_only.dynamic import quantize_at_run_time
from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.targets.litert.audit import audit
from pocketpress.targets.litert.lower import lower
from pocketpress.targets.litert.spec import SPEC
from pocketpress.verify.parity import ROUNDING_DB, sqnr_db
from pocketpress.verify.reference.interpret import interpret

Array = np.ndarray


def dynamic(program: Program) -> Program:
    result, skipped = quantize_at_run_time(integers(program, 8), SPEC.float_ops)
    assert skipped == () and result.nodes[0].op.startswith("dynamic_")
    return result


def check_as_good_as_the_reference(program: Program, path: Path) -> None:
    """The judgement of `verify.parity`: at most 3 dB more error than the reference has."""
    truth, noise, reference = [], [], []
    for seed in range(4):
        feeds = feeds_for(program, seed)
        (got,) = run(program, feeds, path)
        wide = replace(
            program, nodes=tuple(replace(n, op=n.op.removeprefix("dynamic_")) for n in program.nodes)
        )
        exact = interpret(wide, feeds)["y"].astype(np.float64)
        truth.append(exact.reshape(-1))
        noise.append((got - exact).reshape(-1))
        reference.append((interpret(program, feeds)["y"] - exact).reshape(-1))
    signal = np.concatenate(truth)
    mine, theirs = sqnr_db(signal, np.concatenate(noise)), sqnr_db(signal, np.concatenate(reference))
    assert mine > theirs - ROUNDING_DB and theirs > 25


def is_depthwise(program: Program) -> bool:
    node = program.nodes[0]
    return node.attrs.get("groups", 1) > 1 and program.type(node.inputs[1]).shape[1] == 1


@pytest.mark.parametrize("case", [c for c in FLOAT_CASES if c.op in ("conv2d", "linear")], ids=name)
def test_an_operator_errs_no_more_than_the_reference(case: Case, tmp_path: Path) -> None:
    program = dynamic(case.program())
    path = tmp_path / "a.tflite"
    check_as_good_as_the_reference(program, path)
    lowered = lower(program, signature_of(program, precision="w8-dynamic"), path)
    assert [s.name for s in lowered.skipped] == (["dynamic_conv2d y"] if is_depthwise(program) else [])
    assert audit(path, program) == ()


def test_two_rows_by_hand(tmp_path: Path) -> None:
    """Inputs on the grid of their own row (scale 1, ranges of 255 steps) come out exactly."""
    b = ProgramBuilder()
    x = b.input("x", TensorType((2, 2)))
    w = b.constant("w", np.asarray([[2, 1], [-3, 4]], np.int8), Quantization.per_channel([0.5, 2.0], 0))
    offset = b.constant("b", np.asarray([0.25, -1.0], np.float32))
    program = b.build([b.node("dynamic_linear", [x, w, offset], TensorType((2, 2)), name="y", clamp=None)])
    (got,) = run(program, {"x": np.asarray([[-55, 200], [0, 510]], np.float32)}, tmp_path / "a.tflite")
    np.testing.assert_allclose(got, [[45.25, 1929.0], [255.25, 4079.0]], rtol=1e-6)
