"""QDQ graphs as float networks: clipping stays, rounding goes, everything else is refused."""

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

from pocketpress.core.errors import UnsupportedError
from pocketpress.sources.load import load_source
from pocketpress.sources.onnx.quantized import NOTE
from pocketpress.targets.onnxruntime.run import session_options
from pocketpress.verify.parity import sqnr_db
from pocketpress.verify.reference import interpret

GRID = {"s": np.float32(0.5), "z": np.uint8(10)}


class Pictures(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.feeds = iter([{"image": rng.random((1, 3, 8, 8), np.float32)} for _ in range(16)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def quantised(folder: Path, **options: Any) -> Path:
    quantization.quantize_static(
        str(saved(folder, classifier(), "float.onnx")), str(folder / "net.onnx"), Pictures(),
        quant_format=quantization.QuantFormat.QDQ, **options,
    )  # fmt: skip
    return folder / "net.onnx"


def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], output, **attributes)


def program(folder: Path, *nodes: onnx.NodeProto, shape: tuple[int, ...] = (1, 4), **more: Any) -> Any:
    constants = GRID | more
    return load_source(str(saved(folder, model(list(nodes), {"x": shape}, ["y"], constants)))).program


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_file_of_onnx_runtimes_quantiser_is_its_float_network(tmp_path: Path, per_channel: bool) -> None:
    source = load_source(str(quantised(tmp_path, per_channel=per_channel)))
    image = np.random.default_rng(100).random((1, 3, 8, 8), np.float32)
    found = interpret(source.program, {"image": image})["scores"]
    for name, least in (("float.onnx", 40), ("net.onnx", 40)):
        session = onnxruntime.InferenceSession(str(tmp_path / name), session_options(1))  # exact everywhere
        (wanted,) = session.run(None, {"image": image})
        assert sqnr_db(wanted.astype(np.float64), wanted.astype(np.float64) - found) > least, name
    assert {note for _, note in source.skipped} == {NOTE}


def test_clipping_stays_and_rounding_goes(tmp_path: Path) -> None:
    found = program(tmp_path, node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "y"))
    x = np.array([[-9.0, -5.0, 0.3, 200.0]], np.float32)
    # integers 0 to 255 around 10 stand for -5 to 122.5
    np.testing.assert_array_equal(interpret(found, {"x": x})["y"], np.float32([[-5.0, -5.0, 0.3, 122.5]]))


def test_integers_may_be_moved_and_chosen(tmp_path: Path) -> None:
    found = program(
        tmp_path,
        node("QuantizeLinear", "x s z", "q"),
        node("MaxPool", "q", "m", kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", "m t", "r"),
        node("DequantizeLinear", "r s z", "y"),
        shape=(1, 1, 2, 2),
        t=np.array([1, 1]),
    )
    x = np.array([[[[1.2, -3.0], [0.0, 1.3]]]], np.float32)
    np.testing.assert_array_equal(interpret(found, {"x": x})["y"], np.float32([[1.3]]))


@pytest.mark.parametrize("axis", [0, 1])
def test_weights_are_dequantised_channel_by_channel(tmp_path: Path, axis: int) -> None:
    found = program(
        tmp_path,
        node("DequantizeLinear", "w ws wz", "d", axis=axis),
        node("MatMul", "x d", "y"),
        shape=(1, 2),
        w=np.array([[1, -2], [3, 4]], np.int8), ws=np.float32([0.5, 2.0]), wz=np.array([0, 1], np.int8),
    )  # fmt: skip
    wanted = [[0.5, -1.0], [4.0, 6.0]] if axis == 0 else [[0.5, -6.0], [1.5, 6.0]]
    got = interpret(found, {"x": np.float32([[1, 10]])})["y"]
    np.testing.assert_allclose(got, np.float32([[1, 10]]) @ np.float32(wanted))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("QuantizeLinear", "x s z", "y")], "the network's outputs are quantised integers: got"),
        (
            [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q t z", "y")],
            "node y reads integers of another grid: got scale 0.25, zero point 10; allowed: scale 0.5",
        ),
        (
            [
                node("QuantizeLinear", "x s z", "q"),
                node("Add", "q q", "a"),
                node("DequantizeLinear", "a s z", "y"),
            ],
            "node a computes with quantised integers: got Add",
        ),
        (
            [node("QuantizeLinear", "x v z", "q"), node("DequantizeLinear", "q v z", "y")],
            "node q quantises an activation channel by channel: got 4 scales",
        ),
        (
            [node("QuantizeLinear", "x x z", "q"), node("DequantizeLinear", "q x z", "y")],
            "node q: a scale that depends on the network's inputs",
        ),
    ],
)
def test_what_is_not_a_float_network_in_disguise_is_refused(
    tmp_path: Path, nodes: list[onnx.NodeProto], message: str
) -> None:
    with pytest.raises(UnsupportedError, match=message):
        program(tmp_path, *nodes, t=np.float32(0.25), v=np.ones(4, np.float32))
