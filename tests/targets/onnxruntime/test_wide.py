"""16-bit activations: computed in float, rounded where the caller sees them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from tests.targets.onnxruntime.test_lower import lowered, run

from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.targets.onnxruntime.audit import optimized_graph
from pocketpress.targets.onnxruntime.spec import SPEC
from pocketpress.targets.onnxruntime.wide import on_reals
from pocketpress.verify.reference import interpret

ATTRS = {"stride": (1, 1), "pads": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "clamp": (0.0, None)}


def wide(shape: tuple[int, ...], scale: float) -> TensorType:
    return TensorType(shape, "int16", Quantization.per_tensor(scale))


def mixed(*, borders: bool = False) -> Program:
    """A convolution, an addition of a constant, a reshape and a fully connected layer in 16 bits.

    With ``borders`` the caller gives and gets 16-bit integers.
    """
    b, rng = ProgramBuilder(), np.random.default_rng(0)
    shape = (1, 6, 5, 4)
    if borders:
        q = b.input("x", wide((1, 3, 5, 4), 1e-4))
    else:
        q = b.node("quantize", [b.input("x", TensorType((1, 3, 5, 4)))], wide((1, 3, 5, 4), 1e-4))
    scales = rng.uniform(0.001, 0.003, 6)
    weight = b.constant(
        "w", rng.integers(-127, 128, (6, 3, 3, 3)).astype(np.int8), Quantization.per_channel(scales, 0)
    )
    bias = b.constant(
        "b", rng.integers(-9000, 9000, 6).astype(np.int32), Quantization.per_channel(scales * 1e-4, 0)
    )
    y = b.node("conv2d", [q, weight, bias], wide(shape, 2e-4), **ATTRS)
    offset = b.constant(
        "offset", rng.integers(-20000, 20000, shape).astype(np.int16), type_=wide(shape, 1e-4)
    )
    y = b.node("add", [y, offset], wide(shape, 3e-4), clamp=None)
    y = b.node("reshape", [y], wide((1, 120), 3e-4), shape=(1, 120))
    y = b.node("requantize", [y], wide((1, 120), 4e-4))
    steps = rng.uniform(0.001, 0.003, 7)
    weight = b.constant(
        "v", rng.integers(-127, 128, (7, 120)).astype(np.int8), Quantization.per_channel(steps, 0)
    )
    y = b.node("linear", [y, weight], wide((1, 7), 1e-3), name="q" if not borders else "y", clamp=None)
    return b.build([y if borders else b.node("dequantize", [y], TensorType((1, 7)), name="y")])


def test_only_the_output_is_rounded() -> None:
    program = on_reals(mixed())
    assert [node.op for node in program.nodes] == [
        "conv2d", "add", "reshape", "linear", "quantize", "dequantize",
    ]  # fmt: skip
    assert program.inputs == ("x",) and program.outputs == ("y",)
    assert program.type(program.nodes[0].inputs[1]).dtype == "int8"


def test_within_a_step_of_the_reference_on_its_grid(tmp_path: Path) -> None:
    program = mixed()
    path = lowered(program, tmp_path / "net.onnx", "w8a16")
    x = np.random.default_rng(1).standard_normal((1, 3, 5, 4)).astype(np.float32)
    got, expected = run(path, x)[0], interpret(program, {"x": x})["y"]
    assert np.abs(got - expected).max() <= 1.01e-3
    np.testing.assert_allclose(got / np.float32(1e-3), np.rint(got / np.float32(1e-3)), atol=1e-3)


def test_integers_of_16_bits_at_the_borders(tmp_path: Path) -> None:
    program = mixed(borders=True)
    path = lowered(program, tmp_path / "net.onnx", "w8a16")
    x = np.random.default_rng(1).integers(-32768, 32768, (1, 3, 5, 4)).astype(np.int16)
    got, expected = run(path, x)[0], interpret(program, {"x": x})["y"]
    assert got.dtype == expected.dtype == np.int16
    assert np.abs(got.astype(int) - expected).max() <= 1


def test_a_moved_input_is_an_output(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", wide((2, 3), 0.01))
    program = b.build([b.node("permute", [x], wide((3, 2), 0.01), name="y", axes=(1, 0))])
    value = np.array([[-32768, -1, 0], [1, 12345, 32767]], np.int16)
    np.testing.assert_array_equal(run(lowered(program, tmp_path / "net.onnx", "w8a16"), value)[0], value.T)


def test_pixels_become_16_bits(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 4), "uint8", Quantization.per_tensor(1.0)))
    q = b.node("requantize", [x], wide((1, 4), 0.01))
    program = b.build([b.node("dequantize", [q], TensorType((1, 4)), name="y")])
    value = np.array([[0, 1, 200, 255]], np.uint8)
    np.testing.assert_allclose(
        run(lowered(program, tmp_path / "n.onnx", "w8a16"), value)[0], value, rtol=1e-6
    )


def test_the_kernels_are_those_of_float_and_the_audit_says_so(tmp_path: Path) -> None:
    program = mixed()
    path = lowered(program, tmp_path / "net.onnx", "w8a16")
    kinds = Counter(node.op_type for node in optimized_graph(path).node)
    assert kinds["Conv"] + kinds["FusedConv"] == 1 and kinds["Gemm"] + kinds["MatMul"] == 1
    assert kinds["DequantizeLinear"] == kinds["QuantizeLinear"] == 1
    (skipped,) = SPEC.audit(path, program)
    assert skipped.reason == "ONNX Runtime has no int16 kernels: computed in float"


def test_other_programs_pass_unchanged() -> None:
    b = ProgramBuilder()
    program = b.build([b.node("exp", [b.input("x", TensorType((2,)))], TensorType((2,)))])
    assert on_reals(program) is program
