"""Three networks at every precision, in the real runtime: parity, size, and what is reported as skipped."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.targets.onnxruntime.test_lower import lowered
from tests.targets.small_networks import NETWORKS, Pressed, pressed

from pocketpress.core.program.ir import Array
from pocketpress.core.record import Parity
from pocketpress.core.signature import signature_of
from pocketpress.targets.onnxruntime.spec import SPEC
from pocketpress.verify.parity import compare, is_approximate
from pocketpress.verify.reference import interpret

PROMISED_SIZE = {
    "fp16": 0.6,
    "w8": 0.4,
    "w8-block-16": 0.5,
    "w4": 0.3,
    "w4-block-16": 0.35,
    "palette-2": 0.3,
    "palette-4": 0.4,
    "palette-6": 0.5,
    "w8a8-fast": 0.5,
    "w4a8": 0.4,
    "w8a16": 0.45,
    "w8-dynamic": 0.5,
}
"""Most of the float file's bytes; nodes, names, biases and scales weigh much in networks this small."""


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
    path = lowered(case.program, tmp_path / "net.onnx", precision)
    found = parity(path, case, precision)
    if is_approximate(case.program):
        assert found.sqnr_float_db is not None and found.required_sqnr_db is not None
        assert found.sqnr_float_db >= found.required_sqnr_db > 25
    elif found.equal is not None:
        assert found.equal == 1.0
    else:
        assert found.tolerance is not None and found.max_abs <= found.tolerance
    whole = lowered(case.exact, tmp_path / "float.onnx", "fp32").stat().st_size
    assert path.stat().st_size < PROMISED_SIZE[precision] * whole
