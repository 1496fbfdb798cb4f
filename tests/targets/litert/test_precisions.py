"""Three networks at every precision in LiteRT: parity, size, and what is reported as skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from tests.targets.small_networks import NETWORKS, Pressed, pressed

from pocketpress.core.program import Program
from pocketpress.core.program.ir import Array
from pocketpress.core.record import Parity
from pocketpress.core.signature import signature_of
from pocketpress.core.target import Lowered
from pocketpress.targets.litert.spec import SPEC
from pocketpress.verify.parity import compare, is_approximate
from pocketpress.verify.reference import interpret

PROMISED_SIZE = {
    "fp16": (0.58, 0.55, 0.53),
    "w8": (0.40, 0.32, 0.31),
    "w8-block-16": (0.45, 0.36, 0.37),
    "w4": (0.43, 0.28, 0.20),
    "w4-block-16": (0.47, 0.29, 0.25),
    "palette-2": (0.51, 0.25, 0.12),
    "palette-4": (0.57, 0.31, 0.18),
    "palette-6": (0.69, 0.43, 0.30),
    "w8a8-fast": (0.46, 0.33, 0.34),
    "w4a8": (0.48, 0.29, 0.22),
    "w8a16": (0.45, 0.33, 0.34),
    "w8-dynamic": (0.39, 0.31, 0.31),
}
"""Most of the float file's bytes, by network: the CNN has 13,000 weights, its operators weigh much."""


def written(program: Program, path: Path, precision: str) -> Lowered:
    return SPEC.lower(program, signature_of(program, precision=precision), path)


def outputs(path: Path, case: Pressed) -> list[dict[str, Array]]:
    runner = SPEC.open_runner(path)
    results = [runner.run([feed[name] for name in case.program.inputs]) for feed in case.feeds]
    runner.close()
    return [dict(zip(case.program.outputs, values, strict=True)) for values in results]


def parity(path: Path, case: Pressed, precision: str) -> Parity:
    signature = signature_of(case.program, precision=precision)
    reference = [interpret(case.program, feed) for feed in case.feeds]
    exact = [interpret(case.exact, feed) for feed in case.feeds]
    approximate = is_approximate(case.program)
    return compare(outputs(path, case), reference, signature, exact, approximate=approximate)


@pytest.mark.parametrize("precision", PROMISED_SIZE)
@pytest.mark.parametrize("network", NETWORKS)
def test_it_computes_the_program_from_a_smaller_file(network: str, precision: str, tmp_path: Path) -> None:
    case = pressed(network, precision, SPEC)
    path = tmp_path / "net.tflite"
    written(case.program, path, precision)
    found = parity(path, case, precision)
    if is_approximate(case.program):
        assert found.sqnr_float_db is not None and found.required_sqnr_db is not None
        assert found.sqnr_float_db >= found.required_sqnr_db > 25
    elif found.equal is not None:
        assert found.equal == 1.0
    else:
        assert found.tolerance is not None and found.max_abs <= found.tolerance
    written(case.exact, tmp_path / "float.tflite", "fp32")
    promised = PROMISED_SIZE[precision][NETWORKS.index(network)]
    assert path.stat().st_size < promised * (tmp_path / "float.tflite").stat().st_size
