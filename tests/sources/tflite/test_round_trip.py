"""Every float operator that the LiteRT target writes comes back as what it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program.recurrent import RECURRENT
from pocketpress.core.signature import signature_of
from pocketpress.core.targets import all_targets
from pocketpress.sources.load import load_source
from pocketpress.testing import Case, all_cases
from pocketpress.verify.reference import interpret

FLOATS = [case for case in all_cases() if case.precision == "fp32"]
CASES = [case for case in FLOATS if case.op not in RECURRENT]
LOOPS = [case for case in FLOATS if case.op in RECURRENT and case.name in ("plain", "tanh")]


def written(case: Case, folder: Path) -> Path:
    path = folder / "case.tflite"
    try:
        all_targets()["litert"].lower(case.program, signature_of(case.program, precision="fp32"), path)
    except UnsupportedError as error:
        pytest.skip(f"LiteRT lacks it: {error}")
    return path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_written_operator_reads_as_itself(case: Case, tmp_path: Path) -> None:
    program = load_source(str(written(case, tmp_path))).program
    assert program.inputs == case.program.inputs
    found = interpret(program, case.feeds)
    for name, wanted in interpret(case.program, case.feeds).items():
        assert found[name].shape == wanted.shape
        scale = max(float(np.ptp(wanted.astype(np.float64))), 1e-30)
        np.testing.assert_allclose(found[name] / scale, wanted / scale, atol=1e-5)


@pytest.mark.parametrize("case", LOOPS, ids=lambda case: case.id)
def test_a_loop_is_refused_by_name(case: Case, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load_source(str(written(case, tmp_path)))
    assert "WHILE" in str(caught.value) and "\n" not in str(caught.value)
