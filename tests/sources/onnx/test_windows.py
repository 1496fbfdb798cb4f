"""Rare forms of pooling, transposed convolution, padding, reversal and writing: ONNX Runtime's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import helper
from tests.sources.onnx.models import model, saved

from pocketpress.core.errors import UnsupportedError
from pocketpress.sources.load import load_source
from pocketpress.verify.reference import interpret

IMAGE, LINE, ROWS = (2, 3, 7, 8), (2, 3, 11), (4, 5)
WEIGHT = np.random.default_rng(1).normal(size=(3, 4, 3, 3)).astype(np.float32)
BIAS = np.asarray([1, -2, 3, 0.5], np.float32)


def node(op: str, inputs: str, outputs: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), outputs.split()[0], **attributes)


def average(shape: tuple[int, ...] = IMAGE, **attributes: Any) -> tuple[Any, ...]:
    window = {"kernel_shape": [3, 2][: len(shape) - 2], "dilations": [2, 3][: len(shape) - 2]}
    return shape, [node("AveragePool", "x", **{**window, **attributes})], {}, ["y"]


def places(shape: tuple[int, ...] = IMAGE, **attributes: Any) -> tuple[Any, ...]:
    """The places of maxima as real numbers, since the models' outputs are."""
    window = {"kernel_shape": [3, 2][: len(shape) - 2], **attributes}
    nodes = [node("MaxPool", "x", "m p", **window), node("Cast", "p", "y", to=onnx.TensorProto.FLOAT)]
    return shape, nodes, {}, ["y", "m"]


def transposed(**attributes: Any) -> tuple[Any, ...]:
    nodes = [node("ConvTranspose", "x w b", **attributes)]
    return IMAGE, nodes, {"w": WEIGHT, "b": BIAS}, ["y"]


def wrapped(shape: tuple[int, ...], pads: list[int]) -> tuple[Any, ...]:
    return shape, [node("Pad", "x pads", mode="wrap")], {"pads": np.asarray(pads)}, ["y"]


def written(reduction: str, at: list[list[int]], *, scale: float = 2) -> tuple[Any, ...]:
    """Rows or elements of the same tensor, scaled, are combined with those at ``at``."""
    rows = np.asarray([[2], [0], [3]]) if len(at[0]) == 1 else np.asarray([[2, 1], [0, 4], [3, 0]])
    nodes = [
        node("Mul", "x scale", "s"), node("GatherND", "s from", "u"),
        node("ScatterND", "x at u", "y", reduction=reduction),
    ]  # fmt: skip
    return ROWS, nodes, {"scale": np.float32(scale), "from": rows, "at": np.asarray(at)}, ["y"]


TWICE, APART = [[1], [3], [1]], [[0, 0], [3, 4], [0, 0]]
CASES: dict[str, tuple[Any, ...]] = {
    "dilated average": average(),
    "dilated average, padded": average(pads=[1, 1, 2, 1], strides=[2, 1]),
    "dilated average, padding counted": average(pads=[1, 1, 2, 1], count_include_pad=1),
    "dilated average of a line": average(LINE, pads=[1, 1]),
    "dilated average, the last windows cut": average(strides=[2, 2], ceil_mode=1),
    "places": places(),
    "places, padded and far apart": places(pads=[1, 1, 1, 0], strides=[2, 3], dilations=[2, 1]),
    "places by columns": places(storage_order=1, strides=[2, 2]),
    "places in a line": places(LINE, strides=[2]),
    "places, the last windows cut": places(strides=[2, 2], ceil_mode=1),
    "as large as it is said": transposed(output_shape=[16, 18], strides=[2, 2]),
    "larger and smaller": transposed(output_shape=[16, 12], strides=[2, 2], auto_pad="SAME_UPPER"),
    "wrapped": wrapped(IMAGE, [0, 1, 2, 3, 1, 0, 4, 2]),
    "wrapped and cut": wrapped(ROWS, [3, -1, 2, -2]),
    "reversed": (ROWS, [node("ReverseSequence", "x n")], {"n": np.array([4, 1, 0, 3, 2])}, ["y"]),
    "reversed along rows": (
        ROWS,
        [node("ReverseSequence", "x n", batch_axis=0, time_axis=1)],
        {"n": np.array([3, 3, 3, 3])},
        ["y"],
    ),
    "read sample by sample": (
        IMAGE,
        [node("GatherND", "x at", batch_dims=1)],
        {"at": np.array([[[0, -1], [2, 3]], [[1, 0], [1, 6]]])},
        ["y"],
    ),
    "added": written("add", TWICE),
    "multiplied": written("mul", TWICE),
    "larger": written("max", TWICE, scale=-3),
    "smaller": written("min", TWICE),
    "added elements": written("add", APART),
    "multiplied elements": written("mul", [[1, 1], [2, 2], [0, 3]]),
    "larger elements": written("max", APART, scale=-3),
}  # fmt: skip


def image(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def computed(folder: Path, case: tuple[Any, ...]) -> tuple[Path, dict[str, Any]]:
    shape, nodes, constants, outputs = case
    path = saved(folder, model(nodes, {"x": shape}, outputs, constants, opset=19))
    return path, dict(interpret(load_source(str(path)).program, {"x": image(shape)}))


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("wrapped")])
def test_the_numbers_of_onnx_runtime(tmp_path: Path, name: str) -> None:
    path, found = computed(tmp_path, CASES[name])
    wanted = onnxruntime.InferenceSession(str(path)).run(None, {"x": image(CASES[name][0])})
    for key, value in zip(CASES[name][3], wanted, strict=True):
        np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-5)


def test_padding_that_goes_round_is_numpys(tmp_path: Path) -> None:
    x = image(IMAGE)
    wanted = np.pad(x, [(0, 1), (1, 0), (2, 4), (3, 2)], mode="wrap")
    np.testing.assert_array_equal(computed(tmp_path, CASES["wrapped"])[1]["y"], wanted)
    wanted = np.pad(image(ROWS), [(3, 2), (0, 0)], mode="wrap")[:, 1:-2]
    np.testing.assert_array_equal(computed(tmp_path, CASES["wrapped and cut"])[1]["y"], wanted)


def test_of_equal_numbers_the_first_has_the_place(tmp_path: Path) -> None:
    x = np.asarray([0, 2, 2, 1, 1, 1], np.float32).reshape(1, 1, 6)
    nodes = [node("MaxPool", "x", "m p", kernel_shape=[3], strides=[3])]
    proto = model(nodes, {"x": x.shape}, ["m", "p"])
    proto.graph.output[1].type.tensor_type.elem_type = onnx.TensorProto.INT64
    path = saved(tmp_path, proto)
    found = interpret(load_source(str(path)).program, {"x": x})
    assert found["p"].tolist() == [[[1, 3]]] and found["p"].dtype == np.int32
    assert onnxruntime.InferenceSession(str(path)).run(None, {"x": x})[1].tolist() == [[[1, 3]]]


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    for case, text in (
        ((ROWS, [node("ReverseSequence", "x n")], {"n": np.array([9] * 5)}, ["y"]), "sequence_lens of Rev"),
        ((ROWS, [node("ReverseSequence", "x n")], {"n": np.array([1])}, ["y"]), "5 lengths of at most 4"),
        (written("sub", TWICE), "reduction of ScatterND"),
        (places((1, 1, 20, 20), kernel_shape=[9, 9]), "window of which places are asked"),
        (transposed(output_shape=[17, 12], strides=[2, 2]), "less than a stride above"),
    ):
        with pytest.raises(UnsupportedError, match=text):
            computed(tmp_path, case)
