"""Apple's own loader, which infers every type again, accepts every operator as this target writes it."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

import pytest
from tests.targets.coreml.programs import NEEDS_COREMLTOOLS

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.signature import signature_of
from pocketpress.targets.coreml.lower import lower
from pocketpress.targets.coreml.package import SIGNATURE_KEY
from pocketpress.targets.coreml.run import import_quietly
from pocketpress.testing import Case, all_cases

pytestmark = [pytest.mark.slow, NEEDS_COREMLTOOLS]


@pytest.fixture(scope="module")
def coremltools() -> Any:
    return import_quietly()


def as_apple_reads_it(coremltools: Any, path: Path) -> Any:
    loader = importlib.import_module("coremltools.converters.mil.frontend.milproto.load")
    spec = coremltools.models.utils.load_spec(str(path))
    folder = str(path / "Data/com.apple.CoreML/weights")
    return loader.load(spec, specification_version=spec.specificationVersion, file_weights_dir=folder)


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.id)
def test_the_loader_accepts_the_file(coremltools: Any, case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.mlpackage"
        try:
            lower(case.program, signature_of(case.program, precision=case.precision), path)
        except UnsupportedError:
            assert case.id.startswith(("max_pool2d-dilation", "dynamic_"))
            return
        program = as_apple_reads_it(coremltools, path)
    shapes = [tuple(output.shape) for output in program.functions["main"].outputs]
    assert shapes == [case.program.type(name).shape for name in case.program.outputs]


def test_the_package_opens_as_a_model_with_its_signature(coremltools: Any, tmp_path: Path) -> None:
    case = all_cases()[0]
    lower(case.program, signature_of(case.program, precision=case.precision), tmp_path / "a.mlpackage")
    model = coremltools.models.MLModel(str(tmp_path / "a.mlpackage"), skip_model_load=True)
    assert SIGNATURE_KEY in model.user_defined_metadata
    assert list(model.get_spec().mlProgram.functions) == ["main"]
