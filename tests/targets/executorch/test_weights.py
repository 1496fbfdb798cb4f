"""Weights of 8 and 4 bits between float activations, 4 bits between integers, activations of run time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.targets.executorch.harness import run_both
from tests.targets.onnxruntime.stored import CLAMPS, OPERATORS, feed, stored
from tests.targets.onnxruntime.test_w4a8 import CASES, coarse

from pocketpress.compress.weight_only.dynamic import DYNAMIC as DYNAMIC_OPS
from pocketpress.compress.weight_only.dynamic import quantize_at_run_time
from pocketpress.core.program import Program
from pocketpress.testing import Case
from pocketpress.verify.reference import interpret

BITS = ("w8", "w8-block-8", "w4", "w4-block-8")


def check_close(program: Program, folder: Path) -> None:
    expected, got = run_both(program, folder, feeds=feed(program))
    for want, have in zip(expected, got, strict=True):
        assert have.shape == want.shape
        assert np.abs(have - want).max() <= 2e-6 * np.ptp(want)


@pytest.mark.parametrize("precision", BITS)
@pytest.mark.parametrize("clamp", CLAMPS)
@pytest.mark.parametrize("operator", OPERATORS)
def test_weights_are_decoded(operator: str, clamp: object, precision: str, tmp_path: Path) -> None:
    program = stored(OPERATORS[operator](clamp), precision)
    check_close(program, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=[c.id for c in CASES])
def test_four_bit_weights_give_the_integers_of_the_reference(case: Case, tmp_path: Path) -> None:
    expected, got = run_both(coarse(case.program), tmp_path, feeds=dict(case.feeds), precision="w4a8")
    for want, have in zip(expected, got, strict=True):
        np.testing.assert_array_equal(have, want)


DYNAMIC = {name: make for name, make in OPERATORS.items() if name != "transposed"}


@pytest.mark.parametrize("clamp", CLAMPS)
@pytest.mark.parametrize("operator", DYNAMIC)
def test_activations_of_run_time_err_no_more_than_the_reference(
    operator: str, clamp: object, tmp_path: Path
) -> None:
    exact = stored(DYNAMIC[operator](clamp), "w8")
    program, skipped = quantize_at_run_time(exact, frozenset(DYNAMIC_OPS.values()))
    assert not skipped and program.nodes[0].op.startswith("dynamic_")
    feeds = feed(exact)
    truth = interpret(exact, feeds)["y"]
    (expected,), (got,) = run_both(program, tmp_path, feeds=feeds)
    assert rms(got - truth) <= 1.2 * rms(expected - truth)
    assert rms(expected - truth) > 0


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))
