"""Weights in few bits: packed tightly, decoded exactly, and only while the file is loaded."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.targets.onnxruntime.stored import CLAMPS, OPERATORS, WEIGHT_ONLY, feed, linear, stored
from tests.targets.onnxruntime.test_lower import lowered, run

from pocketpress.core.errors import InternalError
from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.program.decode import real_constant
from pocketpress.core.signature import signature_of
from pocketpress.targets.onnxruntime.audit import optimized_graph
from pocketpress.targets.onnxruntime.constants import fields_of_bytes, pack
from pocketpress.targets.onnxruntime.lower import to_model
from pocketpress.verify.reference import interpret

DECODING = (
    "Cast",
    "Mul",
    "Sub",
    "Gather",
    "BitShift",
    "BitwiseAnd",
    "BitwiseOr",
    "Expand",
    "Slice",
    "Transpose",
)


def test_packing_by_hand() -> None:
    assert pack(np.array([1, 2, 15]), 4) == bytes([0x21, 0x0F])
    assert pack(np.array([3, 0, 1, 2, 2]), 2) == bytes([0b10_01_00_11, 0b10])
    assert pack(np.array([1, 0, 0, 0, 0, 0, 1, 1, 1]), 1) == bytes([0b11000001, 1])
    assert pack(np.array([]), 4) == b""


def test_fields_of_a_byte_by_hand() -> None:
    assert fields_of_bytes(4)[0x2F].tolist() == [15, 2]
    assert fields_of_bytes(2)[0b10_01_00_11].tolist() == [3, 0, 1, 2]
    assert fields_of_bytes(1)[0b11000001].tolist() == [1, 0, 0, 0, 0, 0, 1, 1]


def decoded(program: Program, level: onnxruntime.GraphOptimizationLevel) -> np.ndarray:
    """The weights as the runtime's linear layer sees them: its product with the identity."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    data = to_model(program, signature_of(program, precision="w8")).SerializeToString()
    width = program.type("x").shape[-1]
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": np.eye(width, dtype=np.float32)})[0]).T


def one_layer(weight: np.ndarray, type_: TensorType) -> Program:
    b = ProgramBuilder()
    x = b.input("x", TensorType((type_.shape[1], type_.shape[1])))
    w = b.constant("w", weight, type_=type_)
    return b.build([b.node("linear", [x, w], TensorType((type_.shape[1], type_.shape[0])), clamp=None)])


@given(st.integers(1, 8), st.integers(1, 9), st.integers(1, 9), st.integers(0, 999))
def test_palettes_of_every_width_are_decoded_exactly(bits: int, rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    entries = int(rng.integers(2 ** (bits - 1) + 1, 2**bits + 1)) if bits > 1 else int(rng.integers(1, 3))
    palette = tuple(float(v) for v in rng.standard_normal(entries))
    value = rng.integers(0, entries, (rows, columns)).astype(np.uint8)
    program = one_layer(value, TensorType(value.shape, "uint8", palette=palette))
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    np.testing.assert_array_equal(decoded(program, level), real_constant(program, "w"))


@given(
    st.sampled_from(["int8", "int4"]),
    st.integers(1, 9),
    st.integers(1, 20),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_every_block_of_every_length_is_decoded_exactly(
    dtype: str, rows: int, columns: int, block: int, seed: int
) -> None:
    """Also where the last block is shorter."""
    rng = np.random.default_rng(seed)
    limit = 7 if dtype == "int4" else 127
    value = rng.integers(-limit, limit + 1, (rows, columns)).astype(np.int8)
    quant = Quantization.blockwise(rng.uniform(0.01, 2, (rows, -(-columns // block))), 0, block)
    program = one_layer(value, TensorType(value.shape, dtype, quant))
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    np.testing.assert_array_equal(decoded(program, level), real_constant(program, "w"))


@pytest.mark.parametrize("clamp", CLAMPS)
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("precision", WEIGHT_ONLY)
def test_equal_to_float_arithmetic_with_decoded_weights(
    precision: str, operator: str, clamp: object, tmp_path: Path
) -> None:
    program = stored(OPERATORS[operator](clamp), precision)
    assert program.type("w").dtype in ("int8", "int4", "uint8")
    inputs = feed(program)
    (got,) = run(lowered(program, tmp_path / "net.onnx", precision), *inputs.values())
    expected = interpret(program, inputs)["y"]
    assert np.abs(got - expected).max() <= 1e-5 * np.ptp(expected)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("precision", WEIGHT_ONLY)
def test_basic_optimisations_decode_the_weights_at_load_time(precision: str, operator: str) -> None:
    program = stored(OPERATORS[operator](None), precision)
    data = to_model(program, signature_of(program, precision=precision)).SerializeToString()
    kinds = Counter(node.op_type for node in optimised(data).node)
    assert not any(kinds[op] for op in DECODING), kinds


def optimised(data: bytes) -> onnx.GraphProto:
    """The graph after ONNX Runtime's basic optimisations, which every build of it has."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = f"{folder}/net.onnx"
        onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath).graph


@pytest.mark.parametrize(
    ("precision", "bits"),
    [("w8", 8), ("w4", 4), ("palette-1", 1), ("palette-2", 2), ("palette-3", 3), ("palette-6", 6)],
)
def test_a_weight_takes_its_bits_and_no_more(precision: str, bits: int, tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 400)))
    w = b.constant("w", np.random.default_rng(0).standard_normal((100, 400)).astype(np.float32))
    program = b.build([b.node("linear", [x, w], TensorType((1, 100)), clamp=None)])
    size = lowered(stored(program, precision), tmp_path / "net.onnx", precision).stat().st_size
    assert 0 < size - 100 * 400 * bits / 8 < 4500


def test_a_shared_weight_is_stored_once(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 64)))
    w = b.constant("w", np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32))
    y = b.node("linear", [x, w], TensorType((1, 64)), clamp=None)
    program = stored(b.build([b.node("linear", [y, w], TensorType((1, 64)), name="y", clamp=None)]), "w8")
    path = lowered(program, tmp_path / "net.onnx", "w8")
    assert path.stat().st_size < 1.5 * 64 * 64
    inputs = feed(program)
    np.testing.assert_allclose(run(path, *inputs.values())[0], interpret(program, inputs)["y"], rtol=1e-4)


def test_the_file_is_valid_and_deterministic(tmp_path: Path) -> None:
    for precision in WEIGHT_ONLY:
        program = stored(linear(), precision)
        path = lowered(program, tmp_path / "net.onnx", precision)
        onnx.checker.check_model(onnx.load(str(path)), full_check=True)
        assert lowered(program, tmp_path / "again.onnx", precision).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("precision", WEIGHT_ONLY)
def test_old_versions_can_read_the_file(precision: str) -> None:
    """No 4-bit types, which ONNX Runtime 1.20 cannot cast, and the operator set of every other file."""
    program = stored(linear(), precision)
    model = to_model(program, signature_of(program, precision=precision))
    assert model.opset_import[0].version == 18 and model.ir_version == 8
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    assert kinds <= {
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.INT8,
        onnx.TensorProto.UINT8,
        onnx.TensorProto.INT64,
    }


def test_an_integer_outside_4_bits_is_our_own_error() -> None:
    value = np.full((4, 4), 9, np.int8)
    program = one_layer(value, TensorType((4, 4), "int4", Quantization.per_channel([0.1] * 4, 0)))
    with pytest.raises(InternalError, match="4-bit constant out of range"):
        to_model(program, signature_of(program, precision="w4"))


def test_the_optimised_graph_holds_the_float_kernels(tmp_path: Path) -> None:
    program = stored(OPERATORS["conv"]((0.0, None)), "w4")
    kinds = Counter(n.op_type for n in optimized_graph(lowered(program, tmp_path / "n.onnx", "w4")).node)
    assert kinds["Conv"] + kinds["FusedConv"] == 1 and not kinds["Cast"]
