"""Small networks at every precision of the card: the file is small and computes the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.targets.executorch.harness import run_both
from tests.targets.small_networks import NETWORKS, pressed

from pocketpress.core.signature import signature_of
from pocketpress.targets.executorch.lower import audit, lower
from pocketpress.targets.executorch.spec import SPEC
from pocketpress.verify.parity import is_approximate, sqnr_db
from pocketpress.verify.reference import interpret

PROMISED = {
    "w8": 0.50,
    "w8-block-16": 0.58,
    "w4": 0.38,
    "w4-block-16": 0.46,
    "w8-dynamic": 0.40,
    "w4a8": 0.36,
}
"""Size of the file beside float; the CNN, whose graph is a quarter of its int8 file, is the worst."""
LEARNED_LAST = [*(name for name in PROMISED if name != "w4a8"), pytest.param("w4a8", marks=pytest.mark.slow)]
"""Rounding is learned for ``w4a8``, which takes many seconds."""


@pytest.mark.parametrize("precision", LEARNED_LAST)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_small_file_computes_the_reference(network: str, precision: str, tmp_path: Path) -> None:
    made = pressed(network, precision, SPEC)
    lower(made.exact, signature_of(made.exact, precision="fp32"), tmp_path / "float.pte")
    (name,) = made.exact.outputs
    for feed in made.feeds[:3]:
        (expected,), (got,) = run_both(made.program, tmp_path, feeds=feed, precision=precision)
        if is_approximate(made.program):
            truth = interpret(made.exact, feed)[name]
            assert sqnr_db(truth, got - truth) >= sqnr_db(truth, expected - truth) - 3
        elif made.program.is_quantized:
            np.testing.assert_array_equal(got, expected)
        else:
            assert np.abs(got - expected).max() <= 1e-6 * np.ptp(expected)
    small, full = ((tmp_path / file).stat().st_size for file in ("program.pte", "float.pte"))
    assert small <= PROMISED[precision] * full
    audit(tmp_path / "program.pte", made.program)


def test_every_family_of_the_card_is_tested() -> None:
    tested = {name.removesuffix("-16") for name in PROMISED}
    assert tested | {"fp32", "fp16", "w8a8-static"} == set(SPEC.families)
