"""Files: determinism, validity, integers equal to the reference, refusals."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from tests.targets.onnxruntime.networks import grid, residual, unary

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Program, ProgramBuilder, TensorType
from pocketpress.core.signature import Signature, signature_of
from pocketpress.targets.onnxruntime.audit import optimized_graph
from pocketpress.targets.onnxruntime.lower import to_model
from pocketpress.targets.onnxruntime.model_file import SIGNATURE_KEY
from pocketpress.targets.onnxruntime.run import saturating_cpu, session_options
from pocketpress.targets.onnxruntime.spec import SPEC
from pocketpress.verify.reference import interpret


def lowered(program: Program, path: Path, precision: str = "w8a8-static") -> Path:
    SPEC.lower(program, signature_of(program, precision=precision), path)
    return path


def run(path: Path, *feeds: np.ndarray) -> list[np.ndarray]:
    runner = SPEC.open_runner(path)
    outputs = runner.run(list(feeds))
    runner.close()
    return outputs


def test_a_residual_network_computes_the_reference(tmp_path: Path) -> None:
    program = residual()
    path = lowered(program, tmp_path / "net.onnx")
    rng = np.random.default_rng(0)
    for _ in range(20):
        image = (rng.standard_normal((1, 3, 12, 10)) * 2).astype(np.float32)
        expected = interpret(program, {"image": image})["logits"]
        np.testing.assert_array_equal(run(path, image)[0], expected)


def test_integers_do_not_depend_on_the_optimiser() -> None:
    program = residual()
    options = session_options(1)
    levels = onnxruntime.GraphOptimizationLevel
    # Where the fast kernels saturate, the optimiser (its second level) puts the exact ones in place.
    options.graph_optimization_level = (
        levels.ORT_ENABLE_EXTENDED if saturating_cpu() else levels.ORT_DISABLE_ALL
    )
    data = to_model(program, signature_of(program, precision="w8a8-static")).SerializeToString()
    session = onnxruntime.InferenceSession(data, options)
    image = (np.random.default_rng(0).standard_normal((1, 3, 12, 10)) * 2).astype(np.float32)
    expected = interpret(program, {"image": image})["logits"]
    np.testing.assert_array_equal(session.run(None, {"image": image})[0], expected)


def test_the_file_is_valid_and_carries_its_signature(tmp_path: Path) -> None:
    program = residual()
    model = onnx.load(str(lowered(program, tmp_path / "net.onnx")))
    onnx.checker.check_model(model, full_check=False)
    text = {prop.key: prop.value for prop in model.metadata_props}[SIGNATURE_KEY]
    assert Signature.from_json(text) == signature_of(program, precision="w8a8-static")
    assert [value.name for value in model.graph.input] == ["image"]
    assert [value.name for value in model.graph.output] == ["logits"]


def test_equal_programs_give_equal_bytes(tmp_path: Path) -> None:
    first = lowered(residual(), tmp_path / "a.onnx").read_bytes()
    assert lowered(residual(), tmp_path / "b.onnx").read_bytes() == first


def test_convolutions_and_additions_stay_channels_last_between_two_transposes(tmp_path: Path) -> None:
    graph = optimized_graph(lowered(residual(), tmp_path / "net.onnx"))
    kinds = Counter(node.op_type for node in graph.node)
    assert kinds["QLinearConv"] == 2 and kinds["QLinearAdd"] == 1 and kinds["QGemm"] == 1
    assert kinds["Transpose"] <= 2
    assert not kinds["Clip"] and not kinds["Conv"]


def test_weights_are_stored_as_decided() -> None:
    program = residual()
    model = to_model(program, signature_of(program, precision="w8a8-static"))
    stored = [onnx.numpy_helper.to_array(t) for t in model.graph.initializer]
    decided = [c for c in program.constants.values() if c.ndim == 4]
    assert decided and all(
        any(s.dtype == np.int8 and np.array_equal(s, c) for s in stored if s.shape == c.shape)
        for c in decided
    )


@pytest.mark.parametrize("clamp", [(0.0, 6.0), (0.0, None), (-1.0, 1.0)])
def test_a_clamp_that_saturation_implies_costs_no_node(clamp: tuple[float, float | None]) -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 2, 4, 4), "int8", grid(6 / 255, -128)))
    other = b.input("y", TensorType((1, 2, 4, 4), "int8", grid(6 / 255, -128)))
    out = TensorType((1, 2, 4, 4), "int8", grid(6 / 255, -128))
    program = b.build([b.node("add", [x, other], out, clamp=clamp)])
    model = to_model(program, signature_of(program, precision="w8a8-static"))
    clips = sum(node.op_type == "Clip" for node in model.graph.node)
    assert clips == (1 if clamp == (-1.0, 1.0) else 0)


def test_float16_weights_are_stored_in_half_the_bytes(tmp_path: Path) -> None:
    def build(dtype: str) -> Program:
        b = ProgramBuilder()
        x = b.input("x", TensorType((1, 64)))
        w = b.constant("w", np.random.default_rng(0).standard_normal((32, 64)).astype(dtype))
        return b.build([b.node("linear", [x, w], TensorType((1, 32)), clamp=None)])

    full = lowered(build("float32"), tmp_path / "full.onnx", "fp32").stat().st_size
    half = lowered(build("float16"), tmp_path / "half.onnx", "fp16").stat().st_size
    assert full - half > 0.9 * 32 * 64 * 2


def test_an_integer_version_of_a_float_operator_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        lowered(unary("exp", grid(0.02), grid(0.1, -128)), tmp_path / "net.onnx")
    assert str(caught.value) == (
        "ONNX Runtime has no integer exp (y); put it between dequantize and quantize"
    )
    assert not (tmp_path / "net.onnx").exists()


@pytest.mark.parametrize("step", [0.125, 0.13])
@pytest.mark.parametrize("clamp", [None, (0.0, None)])
@pytest.mark.parametrize("op", ["conv2d", "linear"])
def test_the_optimiser_does_not_quantise_a_float_layer_between_integers(
    op: str, clamp: object, step: float, tmp_path: Path
) -> None:
    """ONNX Runtime would: with one scale for all weights, whose channels here differ by far."""
    b, rng = ProgramBuilder(), np.random.default_rng(0)
    shape, out = ((1, 4, 6, 6), (1, 8, 6, 6)) if op == "conv2d" else ((3, 20), (3, 8))
    real = b.node("dequantize", [b.input("x", TensorType(shape, "int8", grid(0.1, 5)))], TensorType(shape))
    weight = rng.standard_normal((8, 4, 3, 3) if op == "conv2d" else (8, 20))
    weight *= np.exp(2 * rng.standard_normal((8, *([1] * (weight.ndim - 1)))))
    inputs = [real, b.constant("w", weight.astype(np.float32)), b.constant("b", np.ones(8, np.float32))]
    attrs = {"stride": (1, 1), "pads": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}
    y = b.node(op, inputs, TensorType(out), clamp=clamp, **(attrs if op == "conv2d" else {}))
    program = b.build([b.node("quantize", [y], TensorType(out, "int8", grid(step, -128)), name="y")])
    x = rng.integers(-128, 128, shape).astype(np.int8)
    path = lowered(program, tmp_path / "net.onnx")
    np.testing.assert_array_equal(run(path, x)[0], interpret(program, {"x": x})["y"])
    assert not any(node.op_type.startswith("QLinear") for node in optimized_graph(path).node)


def test_computed_weights_of_an_integer_convolution_are_refused(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 2, 4, 4), "int8", grid(0.1)))
    w = b.input("w", TensorType((2, 2, 1, 1), "int8", grid(0.1)))
    out = TensorType((1, 2, 4, 4), "int8", grid(0.1))
    attrs = {"stride": (1, 1), "pads": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1, "clamp": None}
    with pytest.raises(UnsupportedError, match="computed weights"):
        lowered(b.build([b.node("conv2d", [x, w], out, **attrs)]), tmp_path / "net.onnx")
