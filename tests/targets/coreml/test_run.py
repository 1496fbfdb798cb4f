"""The runner against a fake of Core ML; the real one exists on macOS only."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.targets.coreml.mil_interpreter import run_package
from tests.targets.coreml.programs import NEEDS_COREMLTOOLS, image, int8_conv, signed

from pocketpress.core.errors import ArtifactError, UnsupportedError
from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.session import Session
from pocketpress.targets.coreml import run
from pocketpress.targets.coreml.lower import lower
from pocketpress.verify.reference import interpret

pytestmark = NEEDS_COREMLTOOLS


class FakeModel:
    """``MLModel`` that computes with the slow interpreter."""

    def __init__(self, path: str, compute_units: str) -> None:
        assert compute_units == "cpu"
        self.path = Path(path)

    def predict(self, given: dict[str, Any]) -> dict[str, Any]:
        if any(np.isnan(v).any() for v in given.values()):
            raise RuntimeError("bad input\nand more")
        return run_package(self.path, given)


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with Core ML."""
    fake = SimpleNamespace(
        models=SimpleNamespace(MLModel=FakeModel), ComputeUnit=SimpleNamespace(CPU_ONLY="cpu")
    )
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(run, "import_quietly", lambda: fake)


def lowered(tmp_path: Path, program: Program) -> Path:
    lower(program, signed(program), tmp_path / "net.mlpackage")
    return tmp_path / "net.mlpackage"


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML executes here")
def test_elsewhere_it_says_so_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        run.open_runner(lowered(tmp_path, int8_conv()), 1)
    assert str(caught.value).startswith(
        "Core ML executes on macOS only: got linux; open the package on a Mac"
    )


@pytest.mark.usefixtures("mac")
def test_a_session_computes_the_program(tmp_path: Path) -> None:
    runner = run.open_runner(lowered(tmp_path, int8_conv()), 1)
    with Session(runner) as session:
        got = session(x=image())
    np.testing.assert_array_equal(got["y"], interpret(int8_conv(), {"x": image()})["y"])


@pytest.mark.usefixtures("mac")
def test_integer_borders_keep_the_signatures_dtypes(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 3), "uint8", Quantization.per_tensor(1 / 255, 0)))
    y = b.node(
        "requantize", [x], TensorType((1, 3), "int8", Quantization.per_tensor(1 / 255, -128)), name="y"
    )
    program = b.build([y])
    runner = run.open_runner(lowered(tmp_path, program), 1)
    (out,) = runner.run([np.array([[0, 100, 255]], np.uint8)])
    assert out.dtype == np.int8 and out.tolist() == [[-128, -28, 127]]


@pytest.mark.usefixtures("mac")
def test_what_core_ml_refuses_is_one_line(tmp_path: Path) -> None:
    runner = run.open_runner(lowered(tmp_path, int8_conv()), 1)
    with pytest.raises(ArtifactError) as caught:
        runner.run([image() * np.nan])
    assert str(caught.value) == "Core ML cannot run the package: got RuntimeError: bad input"


def test_a_damaged_package_is_named_before_the_machine(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"gone\.mlpackage is not a readable"):
        run.open_runner(tmp_path / "gone.mlpackage", 1)
