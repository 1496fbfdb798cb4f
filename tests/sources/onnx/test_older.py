"""Operator sets 7 to 12: what ONNX Runtime computes with the same file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper
from tests.sources.onnx.models import model, saved

from pocketpress.core.errors import PocketpressError, SourceError, UnsupportedError
from pocketpress.pipeline.inspection import inspect_network
from pocketpress.sources.load import load_source
from pocketpress.sources.onnx.load import load_onnx
from pocketpress.sources.onnx.older import CHANGES
from pocketpress.sources.vetted import check_readable
from pocketpress.verify.reference import interpret

IMAGE, CHANNELS, ROWS = (1, 4, 5, 6), (1, 8, 1, 1), (3, 4, 5)
RNG = np.random.default_rng(3)


def _norm(**attributes: Any) -> tuple[str, tuple[int, ...], dict[str, Any], dict[str, Any]]:
    constants = {
        "scale": np.array([1, 2, 3, 4], np.float32),
        "bias": np.array([4, 3, 2, 1], np.float32),
        "mean": np.array([0.1, 0.2, 0.3, 0.4], np.float32),
        "var": np.array([1, 2, 1, 2], np.float32),
    }
    return "BatchNormalization", IMAGE, attributes, constants


Form = tuple[str, tuple[int, ...], dict[str, Any], dict[str, Any]]

SCALES = {"scales": np.array([1, 1, 2, 3], np.float32)}
UNEVEN = {"scales": np.array([1, 1, 1.7, 0.6], np.float32)}
FORMS: dict[str, tuple[tuple[int, ...], Form]] = {
    "softmax of an image": ((7, 12), ("Softmax", IMAGE, {}, {})),
    "softmax of channels": ((7, 11), ("Softmax", CHANNELS, {}, {})),
    "softmax from the last axis but one": ((7, 11), ("Softmax", ROWS, {"axis": -2}, {})),
    "softmax from the first axis": ((7, 11), ("Softmax", ROWS, {"axis": 0}, {})),
    "log of a softmax": ((7, 11), ("LogSoftmax", ROWS, {"axis": 2}, {})),
    "clip": ((7, 10), ("Clip", IMAGE, {"min": -0.5, "max": 0.25}, {})),
    "clip from below": ((7, 10), ("Clip", IMAGE, {"min": 0.1}, {})),
    "clip by inputs": ((11,), ("Clip", IMAGE, {}, {"low": np.float32(-0.5), "high": np.float32(1)})),
    "pad": ((7, 10), ("Pad", IMAGE, {"pads": [0, 0, 1, 2, 0, 0, 0, 3], "value": 1.5}, {})),
    "pad by reflection": ((7, 10), ("Pad", IMAGE, {"pads": [0, 0, 1, 2] * 2, "mode": "reflect"}, {})),
    "upsample": ((7, 8), ("Upsample", IMAGE, {"scales": [1.0, 1.0, 2.0, 3.0]}, {})),
    "upsample by an input": ((9,), ("Upsample", IMAGE, {}, SCALES)),
    "upsample smoothly": ((7,), ("Upsample", IMAGE, {"scales": [1.0, 1.0, 2.0, 2.0], "mode": "linear"}, {})),
    "upsample smoothly by an input": ((9,), ("Upsample", IMAGE, {"mode": "linear"}, SCALES)),
    "resize": ((10,), ("Resize", IMAGE, {}, SCALES)),
    "resize unevenly": ((10,), ("Resize", IMAGE, {}, UNEVEN)),
    "resize smoothly": ((10,), ("Resize", IMAGE, {"mode": "linear"}, UNEVEN)),
    "batch norm": ((7, 9), _norm(epsilon=1e-3)),
    "batch norm of channels": ((7,), _norm(spatial=1)),
    "squeeze": ((7, 11), ("Squeeze", CHANNELS, {"axes": [2, 3]}, {})),
    "unsqueeze": ((7, 11), ("Unsqueeze", ROWS, {"axes": [0, 4]}, {})),
    "sum": ((7, 11), ("ReduceSum", ROWS, {"axes": [1], "keepdims": 0}, {})),
    "mean": ((7, 11, 12), ("ReduceMean", IMAGE, {"axes": [2, 3]}, {})),
    "slice": ((7, 9), ("Slice", IMAGE, {"axes": [2, 3], "starts": [1, -4], "ends": [4, 6]}, {})),
    "dropout": ((7, 10, 12), ("Dropout", IMAGE, {}, {})),
    "parts": ((7, 11), ("Split", ROWS, {"axis": 1, "split": [1, 3]}, {})),
}


def written(form: Form, opset: int) -> onnx.ModelProto:
    op, shape, attributes, constants = form
    outputs = ["y", "z"] if op == "Split" else ["y"]
    node = helper.make_node(op, ["x", *constants], outputs, "node", **attributes)
    proto = model([node], {"x": shape}, outputs, constants, opset)
    if opset < 9:  # such files list their weights among the inputs
        proto.ir_version = 3
        for name, value in constants.items():
            proto.graph.input.append(
                helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, np.shape(value))
            )
    return proto


@pytest.mark.parametrize(
    ("form", "opset"),
    [
        pytest.param(form, opset, id=f"{name}, {opset}")
        for name, (sets, form) in FORMS.items()
        for opset in sets
    ],
)
def test_the_numbers_of_onnx_runtime(tmp_path: Path, form: Form, opset: int) -> None:
    path = saved(tmp_path, written(form, opset))
    x = RNG.normal(0, 1, form[1]).astype(np.float32)
    wanted = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})
    network, _ = load_onnx(path)
    for found, numbers in zip(network(torch.from_numpy(x)).values(), wanted, strict=True):
        np.testing.assert_allclose(found.numpy(), numbers, rtol=1e-5, atol=1e-6)


def test_every_change_is_tested() -> None:
    assert {form[0] for _, form in FORMS.values()} >= set(CHANGES)


def test_a_softmax_over_all_axes_by_hand(tmp_path: Path) -> None:
    """Set 12 sums all 2 x 2 numbers of the one row, set 13 only the last two: 1/4 and 1/2 of equal ones."""
    node = helper.make_node("Softmax", ["x"], ["y"], axis=1)
    for opset, share in ((12, 0.25), (13, 0.5)):
        network, _ = load_onnx(saved(tmp_path, model([node], {"x": (1, 2, 2)}, ["y"], opset=opset)))
        assert network(torch.ones(1, 2, 2))["y"].flatten().tolist() == [share] * 4


def old_classifier() -> onnx.ModelProto:
    """Operator set 8 as exporters wrote it: weights among the inputs, attributes, a softmax at the end."""
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.normal(0, 0.4, (6, 3, 3, 3)).astype(np.float32),
        "scale": rng.uniform(0.5, 1.5, 6).astype(np.float32),
        "bias": rng.normal(0, 0.4, 6).astype(np.float32),
        "mean": rng.normal(0, 0.4, 6).astype(np.float32),
        "var": rng.uniform(0.5, 1.5, 6).astype(np.float32),
        "m": rng.normal(0, 0.4, (5, 6)).astype(np.float32),
        "d": rng.normal(0, 0.4, 5).astype(np.float32),
    }
    nodes = [
        helper.make_node("Pad", ["image"], ["q"], "edge", pads=[0, 0, 0, 0, 0, 0, 1, 1]),
        helper.make_node("Conv", ["q", "w"], ["a"], "first", strides=[2, 2]),
        helper.make_node(
            "BatchNormalization", ["a", "scale", "bias", "mean", "var"], ["n"], "norm", spatial=1
        ),
        helper.make_node("Clip", ["n"], ["c"], "clip", min=0.0, max=6.0),
        helper.make_node("Upsample", ["c"], ["u"], "up", scales=[1.0, 1.0, 2.0, 2.0]),
        helper.make_node("GlobalAveragePool", ["u"], ["p"], "pool"),
        helper.make_node("Squeeze", ["p"], ["f"], "flat", axes=[2, 3]),
        helper.make_node("Dropout", ["f"], ["o", "mask"], "drop", ratio=0.2),
        helper.make_node("Gemm", ["o", "m", "d"], ["s"], "classify", transB=1),
        helper.make_node("Softmax", ["s"], ["scores"], "share"),
    ]
    proto = model(nodes, {"image": (1, 3, 8, 8)}, ["scores"], constants, 8)
    proto.ir_version, proto.producer_name, proto.producer_version = 3, "old exporter", "1.0"
    for name, value in constants.items():
        proto.graph.input.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, value.shape))
    return proto


def test_a_whole_network_and_its_format(tmp_path: Path) -> None:
    path = saved(tmp_path, old_classifier())
    image = np.random.default_rng(1).random((1, 3, 8, 8), np.float32)
    (wanted,) = onnxruntime.InferenceSession(str(path)).run(None, {"image": image})
    source = load_source(str(path))
    np.testing.assert_allclose(interpret(source.program, {"image": image})["scores"], wanted, atol=1e-6)
    assert source.program.inputs == ("image",)
    found = inspect_network(str(path), targets="onnxruntime")
    assert found.format == "ONNX, operator set 8, written by old exporter 1.0"


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (
            _norm(spatial=0),
            r"node node: spatial of BatchNormalization: got 0; allowed: 1: one mean per channel",
        ),
        (("Upsample", IMAGE, {"mode": "bad", "scales": [1.0] * 4}, {}), "node node: mode of Resize: got bad"),
        (("Upsample", IMAGE, {"scales": [1.0, 1.0]}, {}), "node node: sizes or scales of Resize"),
        (("Upsample", IMAGE, {"scales": [1.0, 1.0, 1e9, 1e9]}, {}), "node node: size of Resize"),
        (("Upsample", IMAGE, {"scales": [1.0, 1.0, -1.0, 1.0]}, {}), "positive numbers"),
    ],
)
def test_what_cannot_be_said_today(tmp_path: Path, form: Form, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        load_onnx(saved(tmp_path, written(form, 8)))


def test_training_shows_in_the_outputs(tmp_path: Path) -> None:
    proto = written(_norm(), 7)
    proto.graph.node[0].output.extend(["m", "v"])
    with pytest.raises(UnsupportedError, match="training_mode of BatchNormalization: got 1"):
        load_onnx(saved(tmp_path, proto))


def test_damaged_old_files_end_in_one_line_in_the_child_too(tmp_path: Path) -> None:
    """Attributes and inputs that the old forms need and the file lacks."""
    for proto in (
        model([helper.make_node("Upsample", ["x"], ["y"], "up")], {"x": IMAGE}, ["y"], opset=8),
        model([helper.make_node("Resize", ["x"], ["y"], "up")], {"x": IMAGE}, ["y"], opset=10),
        model([helper.make_node("Clip", [], ["y"], "clip")], {"x": IMAGE}, ["y"], opset=8),
        model([helper.make_node("Pad", ["x"], ["y"], "pad")], {"x": IMAGE}, ["y"], opset=8),
        model([helper.make_node("Softmax", ["x"], [], "s")], {"x": IMAGE}, ["x"], opset=8),
    ):
        path = saved(tmp_path, proto)
        check_readable("onnx", path)
        with pytest.raises(PocketpressError) as caught:
            load_source(str(path))
        assert "\n" not in str(caught.value) and isinstance(caught.value, SourceError | UnsupportedError)
