"""Files whose operators compute in integers, as the real networks behind them: ONNX Runtime's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from onnxruntime import quantization
from tests.sources.onnx.models import classifier, model, saved
from tests.sources.onnx.test_quantized import Pictures

from pocketpress.core.errors import UnsupportedError
from pocketpress.sources.load import load_source
from pocketpress.targets.onnxruntime.run import session_options
from pocketpress.verify.parity import sqnr_db
from pocketpress.verify.reference import interpret

MS = "com.microsoft"
GRIDS = {
    "xs": np.float32(1 / 16), "xz": np.uint8(120), "bs": np.float32(1 / 32), "bz": np.uint8(128),
    "ys": np.float32(1 / 8), "yz": np.uint8(100),
}  # fmt: skip
rng = np.random.default_rng(0)  # weights of 7 bits: sums of two larger ones saturate on some processors
CODES = rng.integers(0, 255, (2, 4), np.uint8)


def node(op: str, inputs: str, output: str, domain: str = "", **attributes: Any) -> onnx.NodeProto:
    given = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(op, given, output.split(), output, domain=domain, **attributes)


def written(
    folder: Path, nodes: list[onnx.NodeProto], shape: tuple[int, ...], constants: dict[str, Any]
) -> Path:
    proto = model(nodes, {"x": shape}, ["y"], constants)
    proto.opset_import.append(helper.make_opsetid(MS, 1))
    return saved(folder, proto)


def answers(path: Path, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the program, and of ONNX Runtime."""
    source = load_source(str(path))
    options = session_options(1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    (wanted,) = onnxruntime.InferenceSession(str(path), options).run(None, {"x": x})
    return interpret(source.program, {"x": x})["y"], wanted


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("form", ["operators", "dynamic"])
def test_what_onnx_runtimes_quantiser_writes(tmp_path: Path, form: str, per_channel: bool) -> None:
    given, made = str(saved(tmp_path, classifier(), "float.onnx")), str(tmp_path / "net.onnx")
    if form == "dynamic":
        quantization.quantize_dynamic(given, made, per_channel=per_channel)
    else:
        kind = quantization.QuantFormat.QOperator
        int8 = quantization.QuantType.QInt8
        quantization.quantize_static(
            given, made, Pictures(), quant_format=kind, per_channel=per_channel, weight_type=int8,
            reduce_range=True,
        )  # fmt: skip
    ops = {n.op_type for n in onnx.load(made).graph.node}
    assert ops & ({"ConvInteger", "MatMulInteger"} if form == "dynamic" else {"QLinearConv", "QGemm"})
    image = np.random.default_rng(100).random((1, 3, 8, 8), np.float32)
    found = interpret(load_source(made).program, {"image": image})["scores"]
    for name in (given, made):
        (wanted,) = onnxruntime.InferenceSession(name, session_options(1)).run(None, {"image": image})
        assert sqnr_db(wanted.astype(np.float64), wanted.astype(np.float64) - found) > 36, name


QUANTIZED = node("QuantizeLinear", "x xs xz", "q")
ENDED = node("DequantizeLinear", "r ys yz", "y")
OPERATORS: dict[str, tuple[onnx.NodeProto, tuple[int, ...], dict[str, Any]]] = {
    "QLinearAdd": (node("QLinearAdd", "q xs xz b bs bz ys yz", "r", MS), (2, 4), {"b": CODES}),
    "QLinearMul": (node("QLinearMul", "q xs xz b bs bz ys yz", "r", MS), (2, 4), {"b": CODES}),
    "QLinearSigmoid": (node("QLinearSigmoid", "q xs xz ys yz", "r", MS), (2, 4), {}),
    "QLinearLeakyRelu": (node("QLinearLeakyRelu", "q xs xz ys yz", "r", MS, alpha=0.3), (2, 4), {}),
    "QLinearSoftmax": (
        node("QLinearSoftmax", "q xs xz ys yz", "r", MS, axis=1, opset=11),
        (2, 3, 4),
        {"ys": np.float32(1 / 256), "yz": np.uint8(0)},
    ),
    "QLinearGlobalAveragePool": (
        node("QLinearGlobalAveragePool", "q xs xz ys yz", "r", MS),
        (1, 2, 4, 4),
        {},
    ),
    "QLinearAveragePool": (
        node("QLinearAveragePool", "q xs xz ys yz", "r", MS, kernel_shape=[2, 2], strides=[2, 2]),
        (1, 2, 4, 4),
        {},
    ),
    "QLinearConcat": (node("QLinearConcat", "ys yz q xs xz b bs bz", "r", MS, axis=0), (2, 4), {"b": CODES}),
    "QLinearMatMul": (
        node("QLinearMatMul", "q xs xz w ws wz ys yz", "r"),
        (2, 4),
        {
            "w": rng.integers(-63, 63, (4, 3), np.int8), "ws": np.float32([0.002, 0.004, 0.006]),
            "wz": np.zeros(3, np.int8),
        },
    ),
    "QGemm": (
        node("QGemm", "q xs xz w ws wz c ys yz", "r", MS, transB=1),
        (2, 4),
        {
            "w": rng.integers(0, 255, (3, 4), np.uint8), "ws": np.float32(0.004), "wz": np.uint8(131),
            "c": rng.integers(-5000, 5000, 3, np.int32),
        },
    ),
    "QLinearConv": (
        node("QLinearConv", "q xs xz w ws wz ys yz c", "r", pads=[1, 1, 1, 1]),
        (1, 2, 5, 5),
        {
            "w": rng.integers(-63, 63, (3, 2, 3, 3), np.int8), "ws": np.float32([0.001, 0.002, 0.003]),
            "wz": np.zeros(3, np.int8), "c": rng.integers(-5000, 5000, 3, np.int32),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_of_integers_is_the_real_one(tmp_path: Path, name: str) -> None:
    one, shape, more = OPERATORS[name]
    path = written(tmp_path, [QUANTIZED, one, ENDED], shape, {**GRIDS, **more})
    codes = np.random.default_rng(5).integers(0, 256, shape)
    x = ((codes - 120) / 16).astype(np.float32)  # on the grid: the file rounds nothing but its result
    found, wanted = answers(path, x)
    assert np.abs(found - wanted).max() <= 0.51 * {**GRIDS, **more}["ys"]


def test_sums_of_integers_quantised_with_a_fixed_scale(tmp_path: Path) -> None:
    nodes = [
        QUANTIZED,
        node("QuantizeLinear", "w ws wz", "v"),
        node("MatMulInteger", "q v xz wz", "s"),
        node("Cast", "s", "f", to=1),
        node("Mul", "xs ws", "m"),
        node("Mul", "f m", "y"),
    ]
    weight = (np.random.default_rng(2).integers(-99, 99, (4, 3)) / 64).astype(np.float32)
    more = {"w": weight, "ws": np.float32(1 / 64), "wz": np.uint8(128)}
    x = ((CODES.astype(np.int64) - 120) / 16).astype(np.float32)
    found, wanted = answers(written(tmp_path, nodes, (2, 4), {**GRIDS, **more}), x)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_allclose(found, x @ weight, rtol=1e-5)


RANGE = node("DynamicQuantizeLinear", "x", "q s z")
DYNAMIC = {"w": rng.integers(0, 255, (4, 3), np.uint8), "ws": np.float32(0.01), "wz": np.uint8(120)}
BIAS = {"c": np.float32([1, 2, 3])}


@pytest.mark.parametrize(
    "nodes",
    [
        [node("DynamicQuantizeMatMul", "x w ws wz c", "y", MS)],
        [RANGE, node("MatMulIntegerToFloat", "q w s ws z wz c", "y", MS)],
        [RANGE, node("MatMulIntegerToFloat", "q w s ws z wz", "y", MS)],
        [RANGE, node("DequantizeLinear", "q s z", "y")],
    ],
    ids=lambda nodes: nodes[-1].op_type,
)
def test_ranges_of_run_time(tmp_path: Path, nodes: list[onnx.NodeProto]) -> None:
    used = {name for n in nodes for name in n.input}
    constants = {k: v for k, v in (DYNAMIC | BIAS).items() if k in used}
    x = np.random.default_rng(3).normal(size=(2, 4)).astype(np.float32)
    found, wanted = answers(written(tmp_path, nodes, (2, 4), constants), x)
    assert np.abs(found - wanted).max() < 0.02 * np.ptp(wanted)


def test_two_activations_of_run_time_ranges(tmp_path: Path) -> None:
    nodes = [
        RANGE,
        node("Transpose", "x", "t", perm=[1, 0]),
        node("DynamicQuantizeLinear", "t", "p ts tz"),
        node("MatMulInteger", "q p z tz", "i"),
        node("Cast", "i", "f", to=1),
        node("Mul", "s ts", "m"),
        node("Mul", "f m", "y"),
    ]
    x = np.random.default_rng(3).normal(size=(2, 4)).astype(np.float32)
    found, wanted = answers(written(tmp_path, nodes, (2, 4), {}), x)
    np.testing.assert_allclose(found, x @ x.T, rtol=1e-5)
    assert np.abs(found - wanted).max() < 0.02 * np.ptp(wanted)


def test_an_lstm_with_integer_weights(tmp_path: Path) -> None:
    hidden, width = 4, 3
    constants = {
        "w": rng.integers(-63, 63, (1, width, 4 * hidden), np.int8),
        "r": rng.integers(-63, 63, (1, hidden, 4 * hidden), np.int8),
        "b": rng.normal(size=(1, 8 * hidden)).astype(np.float32),
        "ws": np.float32([0.01]), "wz": np.int8([0]), "rs": np.float32([0.012]), "rz": np.int8([0]),
    }  # fmt: skip
    one = node("DynamicQuantizeLSTM", "x w r b - - - - ws wz rs rz", "y", MS, hidden_size=hidden)
    x = np.random.default_rng(3).normal(size=(6, 1, width)).astype(np.float32)
    found, wanted = answers(written(tmp_path, [one], (6, 1, width), constants), x)
    assert np.abs(found - wanted).max() < 0.02


def test_integers_may_be_padded_resized_and_joined(tmp_path: Path) -> None:
    nodes = [
        QUANTIZED,
        node("Pad", "q p xz", "a"),
        node("Pad", "q p five", "b"),
        node("Concat", "a b", "c", axis=1),
        node("Resize", "c - f", "d", mode="nearest"),
        node("DequantizeLinear", "d xs xz", "y"),
    ]
    more = {
        "p": np.array([0, 0, 1, 0, 0, 0, 0, 1]), "five": np.uint8(5), "f": np.float32([1, 1, 2, 2]),
    }  # fmt: skip
    x = np.float32([[[[1, 2], [3, -4]]]])
    found, wanted = answers(written(tmp_path, nodes, (1, 1, 2, 2), {**GRIDS, **more}), x)
    np.testing.assert_array_equal(found, wanted)
    assert found[0, 1, 0, 0] == (5 - 120) / 16


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        (
            [RANGE, node("MatMulInteger", "q w z wz", "i"), node("Cast", "i", "y", to=1)],
            "node y uses a sum of products of integers as an output: got Cast",
        ),
        (
            [
                RANGE,
                node("MatMulInteger", "q w z wz", "i"),
                node("Cast", "i", "f", to=1),
                node("Mul", "f ws", "y"),
            ],
            "node y uses a sum of products of integers: got Mul",
        ),
        (
            [RANGE, node("Cast", "q", "y", to=1)],
            "node y uses integers of a range that is found at run time: got Cast",
        ),
        (
            [RANGE, node("MatMulInteger", "q w wz wz", "i"), node("Cast", "i", "y", to=1)],
            "node i uses integers with another zero point: got MatMulInteger",
        ),
        (
            [
                node("Cast", "x", "q", to=2),
                node("MatMulInteger", "q w wz wz", "i"),
                node("Cast", "i", "y", to=1),
            ],
            "node i uses integers that no QuantizeLinear or DynamicQuantizeLinear made",
        ),
    ],
)
def test_integers_used_in_another_way_are_refused(
    tmp_path: Path, nodes: list[onnx.NodeProto], text: str
) -> None:
    path = written(tmp_path, nodes, (2, 4), DYNAMIC)
    with pytest.raises(UnsupportedError, match=text) as caught:
        load_source(str(path))
    assert "give the float network, or one in the QDQ form" in str(caught.value)
