"""One operator at a time: the numbers of LiteRT's own kernels, from torch and from the program."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.sources.tflite.models import Array, Op, litert, saved

from pocketpress.core.errors import UnsupportedError
from pocketpress.sources.load import load_source
from pocketpress.sources.pytorch import export_module
from pocketpress.sources.tflite.load import load_tflite
from pocketpress.verify.reference import interpret

IMAGE = (1, 7, 9, 4)


@dataclass(frozen=True)
class Case:
    """An operator, its inputs x0, x1, ..., constants before or after them, and the rank of its outputs."""

    label: str
    code: str
    shapes: tuple[tuple[int, ...], ...]
    options: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    order: str = ""
    outputs: int = 1
    positive: bool = False
    exported: bool = True


def _w(*shape: int) -> Array:
    return (np.random.default_rng(3).normal(size=shape) * 0.5).astype(np.float32)


def _i(*values: Any) -> Array:
    return np.array(values, np.int32)


def conv(label: str, shape: tuple[int, ...], code: str = "CONV_2D", **attributes: Any) -> Case:
    given = {"strideH": 1, "strideW": 1, **attributes}
    channels = shape[0] if code == "CONV_2D" else shape[3]
    kind = "Conv2D" if code == "CONV_2D" else "DepthwiseConv2D"
    return Case(label, code, (IMAGE,), kind, given, {"w": _w(*shape), "b": _w(channels)}, "x0 w b")


def pool(label: str, code: str, **attributes: Any) -> Case:
    given = {"strideH": 2, "strideW": 2, "filterHeight": 3, "filterWidth": 3, **attributes}
    return Case(label, code, (IMAGE,), "Pool2D", given, positive=code == "L2_POOL_2D")


def transposed(label: str, out: tuple[int, ...], kernel: int, **attributes: Any) -> Case:
    given = {"strideH": 2, "strideW": 2, **attributes}
    constants = {"s": _i(*out), "w": _w(out[3], kernel, kernel, 4), "b": _w(out[3])}
    return Case(label, "TRANSPOSE_CONV", (IMAGE,), "TransposeConv", given, constants, "s w x0 b")


def resize(code: str, size: tuple[int, int], **attributes: bool) -> Case:
    kind = "ResizeBilinear" if "BILINEAR" in code else "ResizeNearestNeighbor"
    label = f"{size} {' '.join(attributes)}"
    return Case(label, code, (IMAGE,), kind, dict(attributes), {"s": _i(*size)}, "x0 s")


def reduction(code: str, axes: tuple[int, ...], keep: bool = False, **more: Any) -> Case:
    constants = {"a": _i(*axes)}
    return Case(f"{axes} {keep}", code, (IMAGE,), "Reducer", {"keepDims": keep}, constants, "x0 a", **more)


def plain(code: str, **more: Any) -> Case:
    return Case("", code, (IMAGE,), **more)


def strided(label: str, begin: Any, end: Any, step: Any, **masks: int) -> Case:
    constants = {"b": _i(*begin), "e": _i(*end), "s": _i(*step)}
    return Case(label, "STRIDED_SLICE", (IMAGE,), "StridedSlice", dict(masks), constants, "x0 b e s")


PADS = np.array([[0, 0], [1, 2], [0, 3], [1, 0]], np.int32)
CASES = [
    conv("same", (6, 3, 3, 4)),
    conv("same stride 2", (6, 3, 3, 4), strideH=2, strideW=2),
    conv("same stride 2 even kernel", (6, 2, 4, 4), strideH=2, strideW=3, fusedActivationFunction=1),
    conv("same stride over kernel", (6, 1, 1, 4), strideH=2, strideW=2, fusedActivationFunction=3),
    conv("valid", (6, 3, 2, 4), padding=1, strideH=2, fusedActivationFunction=2),
    conv("dilated", (6, 3, 3, 4), dilationHFactor=2, dilationWFactor=2),
    conv("grouped", (6, 3, 3, 2)),
    conv("depthwise", (1, 3, 3, 4), "DEPTHWISE_CONV_2D", depthMultiplier=1),
    conv("depthwise stride 2", (1, 3, 3, 4), "DEPTHWISE_CONV_2D", depthMultiplier=1, strideH=2, strideW=2),
    conv("multiplier", (1, 5, 2, 8), "DEPTHWISE_CONV_2D", depthMultiplier=2, padding=1),
    conv("depthwise dilated", (1, 3, 3, 4), "DEPTHWISE_CONV_2D", depthMultiplier=1, dilationHFactor=2),
    transposed("same k3", (1, 14, 18, 5), 3),
    transposed("same k4", (1, 14, 18, 5), 4, fusedActivationFunction=1),
    transposed("same k2", (1, 14, 18, 5), 2),
    transposed("same odd size", (1, 13, 17, 5), 3),
    transposed("valid", (1, 15, 19, 5), 3, padding=1),
    transposed("valid and more", (1, 16, 20, 5), 3, padding=1),
    transposed("valid k1", (1, 13, 17, 5), 1, padding=1),
    transposed("stride 1", (1, 7, 9, 5), 3, strideH=1, strideW=1),
    pool("same", "MAX_POOL_2D"),
    pool("valid", "MAX_POOL_2D", padding=1, fusedActivationFunction=1),
    pool("stride 1", "MAX_POOL_2D", strideH=1, strideW=1),
    pool("same", "AVERAGE_POOL_2D"),
    pool("same even", "AVERAGE_POOL_2D", filterHeight=2, filterWidth=4),
    pool("stride 1", "AVERAGE_POOL_2D", strideH=1, strideW=1, fusedActivationFunction=3),
    pool("valid", "AVERAGE_POOL_2D", padding=1),
    pool("whole", "AVERAGE_POOL_2D", padding=1, filterHeight=7, filterWidth=9),
    pool("whole same", "AVERAGE_POOL_2D", filterHeight=7, filterWidth=9, strideH=7, strideW=9),
    pool("same", "L2_POOL_2D"),
    *[
        Case(str(shapes), code, shapes, kind, {"fusedActivationFunction": act} if kind else {}, positive=True)
        for code, kind, act in (
            ("ADD", "Add", 1), ("SUB", "Sub", 3), ("MUL", "Mul", 0), ("DIV", "Div", 0), ("MAXIMUM", "", 0),
            ("MINIMUM", "", 0), ("SQUARED_DIFFERENCE", "", 0),
        )
        for shapes in ((IMAGE, IMAGE), (IMAGE, (9, 1)), ((1, 1, 1, 4), IMAGE))
    ],
    *[plain(code) for code in (
        "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LOGISTIC", "TANH", "HARD_SWISH", "ELU", "EXP",
        "ABS", "NEG", "SQUARE", "LOG_SOFTMAX",
    )],
    *[plain(code, positive=True) for code in ("LOG", "SQRT", "RSQRT")],
    *[plain(code, exported=False) for code in ("FLOOR", "CEIL", "ROUND", "SIN", "COS", "SIGN")],
    plain("LEAKY_RELU", options="LeakyRelu", attributes={"alpha": 0.2}),
    plain("GELU", options="Gelu", attributes={"approximate": True}),
    plain("GELU", options="Gelu", attributes={"approximate": False}),
    plain("SOFTMAX", options="Softmax", attributes={"beta": 1.0}),
    plain("SOFTMAX", options="Softmax", attributes={"beta": 0.7}),
    plain("L2_NORMALIZATION", options="L2Norm"),
    plain("LOCAL_RESPONSE_NORMALIZATION", options="LocalResponseNormalization",
          attributes={"radius": 1, "bias": 1.0, "alpha": 0.1, "beta": 0.75}),
    Case("channels", "PRELU", (IMAGE,), constants={"a": _w(1, 1, 4)}, order="x0 a"),
    Case("one", "PRELU", (IMAGE,), constants={"a": _w(1, 1, 1)}, order="x0 a"),
    Case("rows", "PRELU", (IMAGE,), constants={"a": _w(7, 1, 1)}, order="x0 a"),
    Case("", "POW", (IMAGE,), constants={"e": np.float32(3)}, order="x0 e", positive=True),
    Case("", "FULLY_CONNECTED", ((3, 8),), "FullyConnected", {"fusedActivationFunction": 1},
         {"w": _w(5, 8), "b": _w(5)}, "x0 w b"),
    Case("flattened", "FULLY_CONNECTED", ((2, 3, 8),), "FullyConnected", {}, {"w": _w(5, 8)}, "x0 w"),
    Case("kept", "FULLY_CONNECTED", ((2, 3, 8),), "FullyConnected", {"keepNumDims": True},
         {"w": _w(5, 8), "b": _w(5)}, "x0 w b"),
    Case("", "BATCH_MATMUL", ((2, 3, 4), (2, 4, 5)), "BatchMatMul"),
    Case("adjoint", "BATCH_MATMUL", ((2, 4, 3), (2, 5, 4)), "BatchMatMul", {"adjX": True, "adjY": True}),
    Case("", "RESHAPE", (IMAGE,), "Reshape", {}, {"s": _i(1, -1, 4)}, "x0 s"),
    Case("option", "RESHAPE", (IMAGE,), "Reshape", {"newShape": [1, 63, 4]}),
    Case("", "TRANSPOSE", (IMAGE,), constants={"p": _i(0, 3, 1, 2)}, order="x0 p"),
    Case("", "CONCATENATION", (IMAGE, (1, 7, 9, 2)), "Concatenation",
         {"axis": -1}),
    Case("", "PAD", (IMAGE,), constants={"p": PADS}, order="x0 p"),
    Case("", "PADV2", (IMAGE,), constants={"p": PADS, "v": np.float32(1.5)}, order="x0 p v"),
    Case("reflect", "MIRROR_PAD", (IMAGE,), "MirrorPad", {"mode": 0}, {"p": PADS}, "x0 p"),
    Case("far", "MIRROR_PAD", ((1, 90, 2),), "MirrorPad", {"mode": 0},
         {"p": _i((0, 0), (80, 70), (1, 0))}, "x0 p"),
    Case("symmetric", "MIRROR_PAD", (IMAGE,), "MirrorPad", {"mode": 1}, {"p": PADS}, "x0 p"),
    reduction("MEAN", (1, 2)),
    reduction("MEAN", (1, 2), keep=True),
    reduction("MEAN", (-1,), keep=True),
    reduction("SUM", (2,)),
    reduction("SUM", (1, 2), keep=True),
    reduction("REDUCE_MAX", (1, 2)),
    reduction("REDUCE_MAX", (2, 1), keep=True),
    reduction("REDUCE_MIN", (1, 2)),
    reduction("REDUCE_MAX", (3,), exported=False),
    reduction("REDUCE_PROD", (3,), exported=False),
    Case("", "SLICE", (IMAGE,), constants={"b": _i(0, 1, 2, 0), "s": _i(1, 3, -1, 2)}, order="x0 b s"),
    strided("steps", (0, 1, 8, 0), (1, 7, 9, 4), (1, 2, 1, 3)),
    strided("masks", (0, 2, 2, 2), (0, 5, 5, 3), (1, 1, 1, 1), beginMask=1, endMask=5),
    strided("negative", (0, -3, 0, -1), (1, -1, 9, 4), (1, 1, 1, 1)),
    strided("shrink", (0, -2, 1, 1), (1, 3, 9, 2), (1, 1, 2, 1), shrinkAxisMask=10),
    strided("ellipsis", (0, 1), (0, 3), (1, 1), ellipsisMask=1),
    strided("ellipsis first", (0, 0, 1), (1, 0, 3), (1, 1, 1), ellipsisMask=2, shrinkAxisMask=4),
    strided("new axis", (0, 0, 2), (0, 0, 5), (1, 1, 1), newAxisMask=2, beginMask=1, endMask=1),
    Case("", "SPLIT", (IMAGE,), "Split", {"numSplits": 3}, {"a": np.array(2, np.int32)}, "a x0", outputs=3),
    Case("", "SPLIT_V", (IMAGE,), "SplitV", {"numSplits": 2}, {"s": _i(2, -1), "a": np.array(1, np.int32)},
         "x0 s a", outputs=2),
    Case("", "PACK", ((3, 4), (3, 4)), "Pack", {"axis": 1, "valuesCount": 2}),
    Case("", "UNPACK", ((3, 4),), "Unpack", {"axis": 0, "num": 3}, outputs=3),
    Case("", "SQUEEZE", ((1, 3, 1, 4),), "Squeeze", {"squeezeDims": [-2]}),
    Case("all", "SQUEEZE", ((1, 3, 1, 4),), "Squeeze"),
    Case("", "EXPAND_DIMS", ((3, 4),), constants={"a": np.array(-1, np.int32)}, order="x0 a"),
    *[
        resize(code, size, **attributes)
        for code in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
        for size in ((14, 18), (10, 5))
        for attributes in ({}, {"alignCorners": True}, {"halfPixelCenters": True})
    ],
    resize("RESIZE_BILINEAR", (14, 1), alignCorners=True),
    Case("scalar", "GATHER", (IMAGE,), "Gather", {"axis": 2}, {"i": np.array(3, np.int32)}, "x0 i"),
    Case("rows", "GATHER", (IMAGE,), "Gather", {"axis": 1}, {"i": _i(1, 3, 5)}, "x0 i"),
    Case("any", "GATHER", (IMAGE,), "Gather", {"axis": 3}, {"i": _i(3, 0, 0)}, "x0 i", exported=False),
    Case("", "DEPTH_TO_SPACE", (IMAGE,), "DepthToSpace", {"blockSize": 2}),
    Case("", "SPACE_TO_DEPTH", ((1, 6, 4, 3),), "SpaceToDepth", {"blockSize": 2}),
    Case("", "SPACE_TO_BATCH_ND", (IMAGE,),
         constants={"b": _i(2, 2), "p": _i([1, 0], [0, 1])}, order="x0 b p"),
    Case("", "BATCH_TO_SPACE_ND", ((4, 3, 4, 2),),
         constants={"b": _i(2, 2), "p": _i([1, 0], [0, 2])}, order="x0 b p"),
    Case("", "TILE", ((3, 4),), constants={"m": _i(2, 3)}, order="x0 m", exported=False),
    Case("", "CUMSUM", ((3, 4),), "Cumsum", {}, {"a": np.array(1, np.int32)}, "x0 a", exported=False),
    Case("", "ADD_N", ((3, 4), (3, 4), (3, 4)), "AddN"),
    Case("", "REVERSE_V2", ((3, 4),), "ReverseV2", {}, {"a": _i(1)}, "x0 a", exported=False),
]  # fmt: skip


def written(case: Case, folder: Path) -> Path:
    names = [f"x{i}" for i in range(len(case.shapes))]
    order = [name for name in (case.order or " ".join(names)).split(" ")]
    outputs = {f"y{i}": () for i in range(case.outputs)}
    op = Op(case.code, order, list(outputs), case.options, case.attributes)
    return saved(folder, [op], dict(zip(names, case.shapes, strict=True)), outputs, case.constants)


def feeds_of(case: Case) -> list[Array]:
    rng = np.random.default_rng(0)
    feeds = [(rng.normal(size=shape) * 2).astype(np.float32) for shape in case.shapes]
    return [np.abs(feed) + np.float32(0.1) for feed in feeds] if case.positive else feeds


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code} {case.label}".strip())
def test_the_numbers_of_litert(case: Case, tmp_path: Path) -> None:
    path, feeds = written(case, tmp_path), feeds_of(case)
    network, _ = load_tflite(path)
    found = network(*map(torch.from_numpy, feeds))
    for name, value in zip(found, litert(path, *feeds), strict=True):
        assert found[name].shape == value.shape
        np.testing.assert_allclose(found[name], value, atol=1e-4, rtol=1e-5)


class Together(torch.nn.Module):
    """Many networks side by side: one export is much faster than one each."""

    def __init__(self, networks: list[torch.nn.Module], inputs: list[int]) -> None:
        super().__init__()
        self.networks, self.inputs = torch.nn.ModuleList(networks), inputs

    def forward(self, *values: torch.Tensor) -> list[torch.Tensor]:
        rest, found = list(values), []
        for network, count in zip(self.networks, self.inputs, strict=True):
            found += network(*rest[:count]).values()
            rest = rest[count:]
        return found


def test_the_numbers_of_litert_as_a_program(tmp_path: Path) -> None:
    cases = [case for case in CASES if case.exported]
    networks, feeds, wanted = [], [], []
    for case in cases:
        path, own = written(case, tmp_path), feeds_of(case)
        networks.append(load_tflite(path)[0])
        feeds.append(own)
        wanted += [(case, value) for value in litert(path, *own)]
    flat = [feed for own in feeds for feed in own]
    together = Together(networks, [len(own) for own in feeds]).eval()
    program = export_module(together, tuple(map(torch.from_numpy, flat)), "forms").program
    values = interpret(program, dict(zip(program.inputs, flat, strict=True)))
    for name, (case, value) in zip(program.outputs, wanted, strict=True):
        np.testing.assert_allclose(
            values[name], value, atol=1e-4, rtol=1e-5, err_msg=f"{case.code} {case.label}"
        )


def test_what_programs_lack_is_named_by_its_node(tmp_path: Path) -> None:
    ops = [Op("REDUCE_PROD", ["x", "axis"], ["product"])]
    path = saved(tmp_path, ops, {"x": (1, 99)}, {"product": (1,)}, {"axis": np.asarray([1], np.int32)})
    with pytest.raises(UnsupportedError, match=r"node product \(REDUCE_PROD\): operator aten::prod is not"):
        load_source(str(path))


def test_a_power_of_two_tensors_is_litert_s(tmp_path: Path) -> None:
    path = saved(tmp_path, [Op("POW", ["x", "y"], ["z"])], {"x": (2, 3), "y": (2, 3)}, {"z": (2, 3)})
    program = load_source(str(path)).program
    x, y = np.asarray([[2, -2, -2], [4, 0, 0.25]]), np.asarray([[10, 3, 2], [-0.5, 0, -2]])
    feeds = {name: value.astype(np.float32) for name, value in zip(program.inputs, (x, y), strict=True)}
    (found,) = interpret(program, feeds).values()
    np.testing.assert_array_equal(found, [[1024, -8, 4], [0.5, 1, 16]])


def test_an_activation_that_litert_ignores_is_refused(tmp_path: Path) -> None:
    case = conv("tanh", (6, 3, 3, 4), fusedActivationFunction=4)
    with pytest.raises(
        UnsupportedError, match="node y0: fused activation of CONV_2D: got 4; allowed: 0, 1, 2, 3"
    ):
        load_tflite(written(case, tmp_path))
    given = {"axis": 3, "fusedActivationFunction": 1}
    case = Case("", "CONCATENATION", (IMAGE, IMAGE), "Concatenation", given)
    with pytest.raises(UnsupportedError, match="fused activation of CONCATENATION: got 1; allowed: NONE"):
        load_tflite(written(case, tmp_path))


def test_copies_by_hand(tmp_path: Path) -> None:
    case = Case("", "BROADCAST_TO", ((2, 1),), "BroadcastTo", {}, {"s": _i(2, 2, 3)}, "x0 s")
    network, _ = load_tflite(written(case, tmp_path))
    found = network(torch.tensor([[1.0], [2.0]]))["y0"]
    assert found.tolist() == [[[1.0] * 3, [2.0] * 3]] * 2
