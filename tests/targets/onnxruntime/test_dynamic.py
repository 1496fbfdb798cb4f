"""Activations quantised at run time: ranges per row or image, integer kernels where they pay."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.targets.onnxruntime.stored import CLAMPS
from tests.targets.onnxruntime.test_lower import lowered, run

from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.core.signature import signature_of
from pocketpress.core.target import Lowered
from pocketpress.targets.onnxruntime.audit import optimized_graph
from pocketpress.targets.onnxruntime.spec import SPEC
from pocketpress.verify.parity import sqnr_db
from pocketpress.verify.reference import interpret


def linear(
    shape: tuple[int, ...], outputs: int = 128, *, bias: bool = True, clamp: object = None, seed: int = 0
) -> Program:
    b, rng = ProgramBuilder(), np.random.default_rng(seed)
    weight = rng.integers(-127, 128, (outputs, shape[-1])).astype(np.int8)
    quant = Quantization.per_channel(rng.uniform(0.001, 0.004, outputs), 0)
    inputs = [b.input("x", TensorType(shape)), b.constant("w", weight, quant)]
    if bias:
        inputs.append(b.constant("b", rng.normal(0, 0.5, outputs).astype(np.float32)))
    out = TensorType((*shape[:-1], outputs))
    return b.build([b.node("dynamic_linear", inputs, out, name="y", clamp=clamp)])


def conv(
    shape: tuple[int, ...] = (1, 32, 24, 24), outputs: int = 64, *, bias: bool = True, **changes: object
) -> Program:
    b, rng = ProgramBuilder(), np.random.default_rng(1)
    attrs = {"stride": (1, 1), "pads": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "clamp": None}
    attrs.update(changes)  # type: ignore[arg-type]
    weight = rng.integers(-127, 128, (outputs, shape[1] // int(str(attrs["groups"])), 3, 3)).astype(np.int8)
    quant = Quantization.per_channel(rng.uniform(0.001, 0.004, outputs), 0)
    inputs = [b.input("x", TensorType(shape)), b.constant("w", weight, quant)]
    if bias:
        inputs.append(b.constant("b", rng.normal(0, 0.5, outputs).astype(np.float32)))
    (sy, sx), (dy, dx), (top, left, bottom, right) = attrs["stride"], attrs["dilation"], attrs["pads"]  # type: ignore[misc]
    height = (shape[2] + top + bottom - 2 * dy - 1) // sy + 1
    width = (shape[3] + left + right - 2 * dx - 1) // sx + 1
    out = TensorType((shape[0], outputs, height, width))
    return b.build([b.node("dynamic_conv2d", inputs, out, name="y", **attrs)])


def noise(got: Array, expected: Array) -> float:
    return sqnr_db(expected.astype(np.float64), (got - expected).astype(np.float64))


def kinds(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in optimized_graph(path).node)


def skipped(program: Program, folder: Path) -> list[str]:
    done: Lowered = SPEC.lower(program, signature_of(program, precision="w8-dynamic"), folder / "net.onnx")
    return [f"{s.name}: {s.reason}" for s in done.skipped]


def test_a_row_by_hand(tmp_path: Path) -> None:
    """Range -1 to 4 in 255 steps: the step is 5/255, zero is 51, and all four values lie on the grid."""
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 4)))
    w = b.constant(
        "w", np.array([[1, 0, 0, 0], [2, -3, 4, 127]], np.int8), Quantization.per_channel([1, 0.5], 0)
    )
    program = b.build([b.node("dynamic_linear", [x, w], TensorType((1, 2)), clamp=None)])
    row = np.array([[-1, 0, 1, 4]], np.float32)
    got = run(lowered(program, tmp_path / "net.onnx", "w8-dynamic"), row)[0]
    np.testing.assert_allclose(got, [[-1, (-2 + 4 + 508) / 2]], rtol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("clamp", CLAMPS)
@pytest.mark.parametrize("shape", [(1, 128), (1, 1, 200), (7, 128), (2, 5, 160)])
def test_linear_equals_the_reference_up_to_rounding(
    shape: tuple[int, ...], clamp: object, bias: bool, tmp_path: Path
) -> None:
    program = linear(shape, bias=bias, clamp=clamp)
    path = lowered(program, tmp_path / "net.onnx", "w8-dynamic")
    spread = np.exp(np.random.default_rng(3).standard_normal((*shape[:-1], 1)) * 2)
    x = (np.random.default_rng(2).standard_normal(shape) * spread + 0.3).astype(np.float32)
    assert noise(run(path, x)[0], interpret(program, {"x": x})["y"]) > 55
    kernel = "DynamicQuantizeMatMul" if np.prod(shape[:-1]) == 1 else "MatMulInteger"
    assert kinds(path)[kernel] == 1


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("value", [0.0, 3.5, -2.0])
def test_constant_rows(value: float, rows: int, tmp_path: Path) -> None:
    program = linear((rows, 128))
    x = np.full((rows, 128), value, np.float32)
    got = run(lowered(program, tmp_path / "net.onnx", "w8-dynamic"), x)[0]
    expected = interpret(program, {"x": x})["y"]
    np.testing.assert_allclose(got, expected, atol=1e-4 * max(1.0, float(np.abs(expected).max())))


def test_rows_do_not_share_a_range(tmp_path: Path) -> None:
    """A row 10,000 times smaller than its neighbour keeps its 8 bits."""
    program = linear((2, 128), bias=False)
    x = np.random.default_rng(0).standard_normal((2, 128)).astype(np.float32) * np.float32([[1e4], [1]])
    got = run(lowered(program, tmp_path / "net.onnx", "w8-dynamic"), x)[0]
    real = x @ (program.constants["w"] * program.type("w").quant.spread((128, 128))).T  # type: ignore[union-attr]
    assert noise(got[1], real[1]) > 35


CONVOLUTIONS = {
    "plain": conv(),
    "no bias": conv(bias=False),
    "clamped": conv(clamp=(0.0, 6.0)),
    "strided": conv((1, 32, 64, 48), stride=(2, 1), pads=(0, 1, 1, 0)),
    "dilated": conv((1, 32, 26, 26), dilation=(2, 3), pads=(2, 3, 2, 3)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_equals_the_reference_up_to_rounding(name: str, tmp_path: Path) -> None:
    program = CONVOLUTIONS[name]
    path = lowered(program, tmp_path / "net.onnx", "w8-dynamic")
    x = np.random.default_rng(2).standard_normal(program.type("x").shape).astype(np.float32) + 0.3
    assert noise(run(path, x)[0], interpret(program, {"x": x})["y"]) > 55
    assert kinds(path)["ConvInteger"] == 1 and skipped(program, tmp_path) == []


SLOWER = {
    "grouped": conv(groups=2),
    "depthwise": conv((1, 64, 24, 24), groups=64),
    "small image": conv((1, 32, 8, 8)),
    "few channels": conv((1, 32, 64, 64), 16),
    "several images": conv((2, 32, 24, 24)),
    "small linear": linear((4, 32), 16),
}


@pytest.mark.parametrize("name", SLOWER)
def test_what_is_slower_in_integers_is_computed_in_float_and_reported(name: str, tmp_path: Path) -> None:
    program = SLOWER[name]
    path = lowered(program, tmp_path / "net.onnx", "w8-dynamic")
    x = np.random.default_rng(2).standard_normal(program.type("x").shape).astype(np.float32)
    weight = program.constants["w"]
    decoded = (weight * program.type("w").quant.spread(weight.shape)).astype(np.float32)  # type: ignore[union-attr]
    (node,) = program.nodes
    b = ProgramBuilder()
    inputs = [
        b.input("x", program.type("x")),
        b.constant("w", decoded),
        b.constant("b", program.constants["b"]),
    ]
    real = b.build(
        [b.node(node.op.removeprefix("dynamic_"), inputs, program.type("y"), name="y", **node.attrs)]
    )
    expected = interpret(real, {"x": x})["y"]
    assert np.abs(run(path, x)[0] - expected).max() <= 1e-5 * np.ptp(expected)
    (line,) = skipped(program, tmp_path)
    assert line.startswith(f"{node.op} y: ") and "in float" in line and "decoded weights" in line
    assert path.stat().st_size < weight.size + 2500
