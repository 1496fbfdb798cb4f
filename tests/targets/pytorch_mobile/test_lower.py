"""Files: determinism, what they hold, refusals."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.targets.pytorch_mobile.spec import SPEC
from pocketpress.verify.reference import interpret


def two_outputs() -> Program:
    """A convolution with uneven padding, read by two outputs."""
    rng = np.random.default_rng(0)
    b = ProgramBuilder()
    x = b.input("image", TensorType((1, 3, 9, 8)))
    w = b.constant("w", rng.standard_normal((5, 3, 3, 3)).astype(np.float32))
    bias = b.constant("b", rng.standard_normal(5).astype(np.float32))
    attrs = {"stride": (2, 2), "pads": (0, 0, 1, 1), "dilation": (1, 1), "groups": 1, "clamp": (0.0, 6.0)}
    features = b.node("conv2d", [x, w, bias], TensorType((1, 5, 4, 4)), name="features", **attrs)
    pooled = b.node("mean", [features], TensorType((1, 5)), name="pooled", axes=(2, 3), keepdims=False)
    return b.build([features, pooled])


def lowered(program: Program, path: Path) -> Path:
    SPEC.lower(program, signature_of(program, precision="fp32"), path)
    return path


def test_it_computes_the_reference(tmp_path: Path) -> None:
    program = two_outputs()
    runner = SPEC.open_runner(lowered(program, tmp_path / "net.ptl"))
    image = np.random.default_rng(1).standard_normal((1, 3, 9, 8)).astype(np.float32)
    expected = interpret(program, {"image": image})
    for name, got in zip(program.outputs, runner.run([image]), strict=True):
        np.testing.assert_allclose(got, expected[name], rtol=1e-5, atol=1e-5)


def test_equal_programs_give_equal_bytes(tmp_path: Path) -> None:
    first = lowered(two_outputs(), tmp_path / "a.ptl").read_bytes()
    assert lowered(two_outputs(), tmp_path / "other_name.ptl").read_bytes() == first


def test_the_file_holds_no_path_of_this_machine(tmp_path: Path) -> None:
    path = lowered(two_outputs(), tmp_path / "net.ptl")
    with zipfile.ZipFile(path) as archive:
        assert not [name for name in archive.namelist() if "debug" in name]
        contents = b"".join(archive.read(name) for name in archive.namelist())
    assert str(Path(__file__).parents[3]).encode() not in contents
    assert b"operators.py" not in contents


def test_int8_is_refused_in_one_line(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 4)))
    q = b.node("quantize", [x], TensorType((1, 4), "int8", Quantization.per_tensor(0.1)), name="q")
    program = b.build([b.node("dequantize", [q], TensorType((1, 4)))])
    with pytest.raises(UnsupportedError) as caught:
        lowered(program, tmp_path / "net.ptl")
    assert str(caught.value) == (
        "PyTorch Mobile: tensor q: got int8; allowed: fp32; press with --precision fp32, or to executorch"
    )
    assert not (tmp_path / "net.ptl").exists()
