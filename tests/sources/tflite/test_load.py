"""TFLite files as networks: whole networks, 8-bit files, and clear errors."""

from __future__ import annotations

import copy
import os
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from tests.sources.tflite.models import Op, classifier, grid, litert, saved
from tests.targets.small_networks import float_program

from pocketpress.core.errors import SourceError, UnsupportedError
from pocketpress.core.program import Quantization, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.graph.simplify import simplify
from pocketpress.sources.load import load_source, saved_kind
from pocketpress.sources.tflite.load import load_tflite
from pocketpress.sources.tflite.read import FileTensor, read_file
from pocketpress.sources.tflite.values import constant
from pocketpress.targets.litert.lower import lower
from pocketpress.verify.reference import interpret, interpret_node


def test_a_network_computes_what_litert_does(tmp_path: Path) -> None:
    path = classifier(tmp_path)
    source = load_source(str(path))
    assert (source.name, source.program.inputs, source.program.outputs) == ("net", ("image",), ("scores",))
    assert source.parameters == 6 * 27 + 6 + 54 + 6 + 30 + 5 and source.skipped == ()
    image = np.random.default_rng(1).random((1, 7, 9, 3), np.float32)
    (wanted,) = litert(path, image)
    np.testing.assert_allclose(interpret(source.program, {"image": image})["scores"], wanted, atol=1e-5)


def test_same_padding_by_hand(tmp_path: Path) -> None:
    """Four pixels, kernel 3, stride 2: one zero, and it is behind them: 1+2+3 and 3+4+0."""
    op = Op("CONV_2D", ["x", "w", "b"], ["y"], "Conv2D", {"strideH": 1, "strideW": 2})
    constants = {"w": np.ones((1, 1, 3, 1), np.float32), "b": np.zeros(1, np.float32)}
    network, _ = load_tflite(saved(tmp_path, [op], {"x": (1, 1, 4, 1)}, {"y": (1, 1, 2, 1)}, constants))
    assert network(torch.tensor([1.0, 2, 3, 4]).reshape(1, 1, 4, 1))["y"].flatten().tolist() == [6.0, 7.0]


@pytest.mark.parametrize("name", ["cnn", "unet", "encoder"])
def test_what_our_own_target_writes_comes_back(name: str, tmp_path: Path) -> None:
    program = float_program(name)
    path = tmp_path / f"{name}.tflite"
    lower(program, signature_of(program, precision="fp32"), path)
    source = load_source(str(path))
    rng = np.random.default_rng(0)
    feeds = {n: rng.normal(size=program.type(n).shape).astype(np.float32) for n in program.inputs}
    wanted = litert(path, *feeds.values())
    assert source.program.inputs == program.inputs and source.program.outputs == program.outputs
    again = tmp_path / "again.tflite"
    lower(simplify(source.program, interpret_node), signature_of(source.program, precision="fp32"), again)
    assert Counter(o.op for o in read_file(again).operators) == Counter(
        o.op for o in read_file(path).operators
    )
    found = interpret(source.program, feeds)
    for output, value in zip(source.program.outputs, wanted, strict=True):
        np.testing.assert_allclose(found[output], value, atol=1e-4)


@pytest.mark.parametrize("name", ["vision", "attention"])
def test_what_litert_torch_writes(name: str) -> None:
    path = Path(__file__).parent / "files" / f"{name}.tflite"
    program = load_source(str(path)).program
    rng = np.random.default_rng(0)
    feeds = [rng.normal(size=program.type(n).shape).astype(np.float32) for n in program.inputs]
    found = interpret(program, dict(zip(program.inputs, feeds, strict=True)))
    for output, value in zip(program.outputs, litert(path, *feeds), strict=True):
        np.testing.assert_allclose(found[output], value, atol=1e-4)


def test_shapes_that_follow_from_the_input_are_constants(tmp_path: Path) -> None:
    ops = [
        Op("SHAPE", ["x"], ["s"], "Shape", {"outType": 2}),
        Op("STRIDED_SLICE", ["s", "zero", "one", "one"], ["n"], "StridedSlice", {"shrinkAxisMask": 1}),
        Op("PACK", ["n", "rest"], ["t"], "Pack", {"valuesCount": 2}),
        Op("RESHAPE", ["x", "t"], ["y"]),
    ]
    constants = {"zero": np.array([0], np.int32), "one": np.array([1], np.int32),
                 "rest": np.array(-1, np.int32)}  # fmt: skip
    network, _ = load_tflite(saved(tmp_path, ops, {"x": (2, 3, 4)}, {"y": (2, 12)}, constants))
    assert [step.op for step in network.steps] == ["RESHAPE"]
    assert network(torch.zeros(2, 3, 4))["y"].shape == (2, 12)


def test_everything_unsupported_is_listed_at_once(tmp_path: Path) -> None:
    ops = [
        Op("TOPK_V2", ["x", "k"], ["best", "place"]),
        Op("UNIQUE", ["x"], ["b", "c"]),
        Op("RELU", ["x"], ["fine"]),
        Op("CUSTOM", ["x"], ["mine"]),
    ]
    path = saved(tmp_path, ops, {"x": (4,)}, {"fine": (4,)}, {"k": np.array(1, np.int32)})
    with pytest.raises(UnsupportedError) as caught:
        load_tflite(path)
    assert "TOPK_V2 (best), UNIQUE (b), custom (mine)" in str(caught.value)
    assert "RELU" not in str(caught.value)


def _changed(path: Path, change: Callable[[Any], None]) -> Path:
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    change(model)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def test_open_sizes_are_set_by_input_or_are_a_batch_of_one(tmp_path: Path) -> None:
    def open_(*signature: int) -> Callable[[Any], None]:
        def change(model: Any) -> None:
            model.subgraphs[0].tensors[0].shapeSignature = np.array(signature, np.int32)

        return change

    path = _changed(classifier(tmp_path), open_(-1, 7, 9, 3))
    assert load_tflite(path)[1][0].shape == (1, 7, 9, 3)
    path = _changed(path, open_(-1, -1, -1, 3))
    with pytest.raises(SourceError, match=r"the shape of input image is open: got \?,\?,\?,3"):
        load_tflite(path)
    network, (example,) = load_tflite(path, [(2, 12, 8, 3)])
    assert network(example)["scores"].shape == (2, 5)


def test_the_first_signature_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    def change(model: Any) -> None:
        model.signatureDefs.append(copy.deepcopy(model.signatureDefs[0]))
        model.signatureDefs[1].signatureKey = "decode"
        model.signatureDefs[0].outputs[0].name = "probabilities"
        model.subgraphs[0].tensors[0].name = "serving_default_image:0"

    source = load_source(str(_changed(classifier(tmp_path), change)))
    assert (source.program.inputs, source.program.outputs) == (("image",), ("probabilities",))
    assert source.skipped == (("signature decode", "the first signature is read"),)


def test_another_shape_and_weights_beside_the_file(tmp_path: Path) -> None:
    path = classifier(tmp_path)
    with pytest.raises(SourceError, match=r"input image has another shape: got \(1, 3, 7, 9\)"):
        load_tflite(path, [(1, 3, 7, 9)])
    with pytest.raises(SourceError, match="a TFLite file holds its weights"):
        load_source(str(path), weights=tmp_path / "w.safetensors")
    assert saved_kind("a/net.TFLITE") == "tflite"


# --- 8-bit files --------------------------------------------------------------------------------------


def _int8(shape: tuple[int, ...], scale: float, zero_point: int = 0) -> TensorType:
    return TensorType(shape, "int8", grid(scale, zero_point))


def test_weights_of_8_bits_are_made_real(tmp_path: Path) -> None:
    """Two channels of scales 0.5 and 0.25: y = 0.5 * (2 x0 + 4 x1) + 1 and 0.25 * (8 x0) - 0.5."""
    weight = np.array([[2, 4], [8, 0]], np.int8)
    constants = {
        "w": (weight, Quantization.per_channel([0.5, 0.25], 0)),
        "b": (np.array([16, -16], np.int32), Quantization.per_channel([1 / 16, 1 / 32], 0)),
    }
    op = Op("FULLY_CONNECTED", ["x", "w", "b"], ["y"], "FullyConnected")
    path = saved(tmp_path, [op], {"x": _int8((1, 2), 0.125)}, {"y": _int8((1, 2), 0.5, 3)}, constants)
    source = load_source(str(path))
    assert source.program.type("x").dtype == "float32"
    found = interpret(source.program, {"x": np.array([[1, 10]], np.float32)})["y"]
    assert found.tolist() == [[22.0, 1.5]]
    ((name, reason),) = source.skipped
    assert name == "quantized" and "compressed anew" in reason


def test_a_relu_that_the_range_kept_is_put_back(tmp_path: Path) -> None:
    """Zero point -128: the file's integers stand for nothing below 0."""
    op = Op("ADD", ["x", "x"], ["y"], "Add")
    for zero_point, wanted in ((-128, [[0.0, 8.0]]), (-127, [[-2.0, 8.0]])):
        path = saved(tmp_path, [op], {"x": _int8((1, 2), 0.1)}, {"y": _int8((1, 2), 0.1, zero_point)})
        assert load_tflite(path)[0](torch.tensor([[-1.0, 4.0]]))["y"].tolist() == wanted
    path = saved(tmp_path, [op], {"x": _int8((1, 2), 0.1)}, {"y": _int8((1, 2), 6 / 255, -128)})
    assert load_tflite(path)[0](torch.tensor([[-1.0, 4.0]]))["y"].tolist() == [[0.0, 6.0]]


def test_four_bits_and_halves_are_unpacked(tmp_path: Path) -> None:
    ops = [Op("DEQUANTIZE", ["h"], ["w"]), Op("FULLY_CONNECTED", ["x", "w", ""], ["y"], "FullyConnected")]
    half = np.array([[0.5, -2.0]], np.float16)
    network, _ = load_tflite(saved(tmp_path, ops, {"x": (1, 2)}, {"y": (1, 1)}, {"h": half}))
    assert network(torch.tensor([[4.0, 1.0]]))["y"].tolist() == [[0.0]]
    tensor = FileTensor("w", "INT4", (3,), None, (0.5,), (0,))
    assert constant(tensor, np.array([0x87, 0x0F], np.uint8), real=True).tolist() == [3.5, -4.0, -0.5]


def test_scales_are_told_by_node(tmp_path: Path) -> None:
    """uint8 is int8 with a zero point 128 higher; weights with a zero point are not of the contract."""
    x, y = TensorType((1, 2), "uint8", grid(0.125, 130)), TensorType((1, 2), "uint8", grid(0.5, 0))
    weight = np.array([[2, 4], [8, 0]], np.int8)
    node = "node y (FULLY_CONNECTED)"
    for stored, zero_point, told in (
        (weight, 0, {node: (0.5,)}),
        (weight, 1, {}),
        (weight.astype(np.uint8), 128, {}),  # it holds 0, which is -128
        ((weight + 1).astype(np.uint8), 128, {node: (0.5,)}),
        ((weight + 1).astype(np.uint8), 120, {}),
    ):
        constants = {"w": (stored, grid(0.5, zero_point))}
        op = Op("FULLY_CONNECTED", ["x", "w", ""], ["y"], "FullyConnected")
        given = load_source(str(saved(tmp_path, [op], {"x": x}, {"y": y}, constants))).given
        assert given is not None and given.inputs == (grid(0.125, 2),) and given.weights == told
        assert given.anew == (frozenset() if told else {node})
        assert given.results == {node: grid(0.5, -128)}
    assert load_source(str(classifier(tmp_path))).given is None


MOBILENET = Path(os.environ.get("POCKETPRESS_DATA", "../shared/data")) / "mobilenet"


@pytest.mark.skipif(not MOBILENET.is_dir(), reason="the public MobileNet files are not there")
def test_a_public_8_bit_network_is_made_real(tmp_path: Path) -> None:
    """Its own integers are about a percent of the largest probability away from real numbers."""
    path = MOBILENET / "mobilenet_v1_0.25_128_quant.tflite"
    network, _ = load_tflite(path)
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(0, 256, (1, 16, 16, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)
    (wanted,) = litert(path, pixels)
    real = (pixels.astype(np.float32) - 128) / 128
    found = network(torch.from_numpy(real))["MobilenetV1/Predictions/Reshape_1"].numpy()
    np.testing.assert_allclose(found, wanted.astype(np.float32) / 256, atol=0.03)


# --- hostile files ------------------------------------------------------------------------------------


def test_files_that_are_not_networks(tmp_path: Path) -> None:
    path = tmp_path / "bad.tflite"
    with pytest.raises(SourceError, match="no such file"):
        load_tflite(path)
    for content in (b"", b"hello", b"\0" * 64, b"\0\0\0\0TFL3" + b"\xff" * 60):
        path.write_bytes(content)
        with pytest.raises(SourceError):
            load_tflite(path)


def test_a_few_bytes_cannot_ask_for_a_huge_tensor(tmp_path: Path) -> None:
    huge = np.array([1 << 20, 1 << 20], np.int32)
    fill = [Op("FILL", ["s", "v"], ["c"]), Op("ADD", ["x", "c"], ["y"], "Add")]
    path = saved(tmp_path, fill, {"x": (1,)}, {"y": (1,)}, {"s": huge, "v": np.float32(1)})
    tile = [Op("TILE", ["x", "s"], ["y"])]
    tiled = saved(tmp_path, tile, {"x": (1, 1)}, {"y": (1,)}, {"s": huge}, name="tile.tflite")
    resize = [Op("RESIZE_BILINEAR", ["x", "s"], ["y"], "ResizeBilinear")]
    resized = saved(tmp_path, resize, {"x": (1, 1, 1, 1)}, {"y": (1,)}, {"s": huge}, name="resize.tflite")
    add = [Op("ADD", ["x", "x"], ["y"], "Add")]
    given = saved(tmp_path, add, {"x": (1 << 20, 1 << 20)}, {"y": (1,)}, name="x.tflite")
    outer = [Op("ADD", ["a", "b"], ["y"], "Add")]
    spread = saved(tmp_path, outer, {"a": (1 << 16, 1), "b": (1 << 16,)}, {"y": (1,)}, name="o.tflite")
    window = {"strideH": 1, "strideW": 1, "filterHeight": 1 << 30, "filterWidth": (1 << 30) - 1}
    wide = [Op("MAX_POOL_2D", ["x"], ["y"], "Pool2D", window)]
    pooled = saved(tmp_path, wide, {"x": (1, 8, 8, 3)}, {"y": (1,)}, name="pool.tflite")
    joined = [Op("CONCATENATION", ["x"] * 600, ["y"], "Concatenation")]
    many = saved(tmp_path, joined, {"x": (1 << 19,)}, {"y": (1,)}, name="concat.tflite")
    tracemalloc.start()
    for hostile in (path, tiled, resized, given, spread, pooled, many):
        with pytest.raises((SourceError, UnsupportedError), match=r"size|too large"):
            load_tflite(hostile)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_scales_of_a_bias_along_the_axis_of_its_weight(tmp_path: Path) -> None:
    """As converters of 2019 wrote it; a bias has one axis."""
    quant = Quantization.per_channel([0.5, 0.25], 0)
    constants = {
        "w": (np.array([[2, 4], [8, 0]], np.int8), quant),
        "b": (np.array([2, -2], np.int32), quant),
    }
    op = Op("FULLY_CONNECTED", ["x", "w", "b"], ["y"], "FullyConnected")
    path = saved(tmp_path, [op], {"x": _int8((1, 2), 0.125)}, {"y": _int8((1, 2), 0.5, 3)}, constants)

    def along(model: Any) -> None:
        (bias,) = [t for t in model.subgraphs[0].tensors if t.name == b"b"]
        bias.quantization.quantizedDimension = 3

    found = interpret(
        load_source(str(_changed(path, along))).program, {"x": np.array([[1, 10]], np.float32)}
    )["y"]
    assert found.tolist() == [[22.0, 1.5]]


@pytest.mark.parametrize(("padding", "kernel"), [(1, (2, 2)), (1, (3, 4)), (2, (3, 4))])
def test_the_transposed_convolution_of_mediapipe(
    padding: int, kernel: tuple[int, int], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.normal(size=(5, *kernel, 4)).astype(np.float32),
        "b": rng.normal(size=5).astype(np.float32),
    }
    shape = (1, 8, 12, 5) if padding == 1 else (1, 9, 14, 5)
    path = saved(
        tmp_path, [Op("CUSTOM", ["x", "w", "b"], ["y"])], {"x": (1, 4, 6, 4)}, {"y": shape}, constants
    )

    def named(model: Any) -> None:
        model.operatorCodes[0].customCode = "Convolution2DTransposeBias"
        options = np.frombuffer(np.array([padding, 2, 2], "<i4").tobytes(), np.uint8)
        model.subgraphs[0].operators[0].customOptions = options

    program = load_source(str(_changed(path, named))).program
    x = rng.normal(size=(1, 4, 6, 4)).astype(np.float32)
    found, (wanted,) = interpret(program, {"x": x})["y"], litert(path, x)  # XNNPACK has the operator
    assert found.shape == shape
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_an_input_that_is_made_whole_is_whole(tmp_path: Path) -> None:
    """Token indices, which converters of 2019 declared real."""
    ops = [
        Op("CAST", ["x"], ["i"], "Cast", {"inDataType": 0, "outDataType": 2}),
        Op("GATHER", ["table", "i"], ["y"], "Gather"),
    ]
    table = np.arange(12, dtype=np.float32).reshape(6, 2)
    path = saved(
        tmp_path, ops, {"x": (1, 3)}, {"y": (1, 3, 2), "_i": TensorType((1, 3), "int32")}, {"table": table}
    )
    program = load_source(str(path)).program
    assert program.type("x").dtype == "int32"
    found = interpret(program, {"x": np.array([[5, 0, 2]], np.int32)})["y"]
    assert found.tolist() == [[[10, 11], [0, 1], [4, 5]]]


@pytest.mark.parametrize(
    ("code", "advice"),
    [("ethos-u", "from before that compiler"), ("edgetpu-custom-op", "from before that compiler"),
     ("FlexRFFT", "end the network before it")],
)  # fmt: skip
def test_custom_operators_are_refused_with_a_next_step(code: str, advice: str, tmp_path: Path) -> None:
    def named(model: Any) -> None:
        model.operatorCodes[0].customCode = code

    path = _changed(saved(tmp_path, [Op("CUSTOM", ["x"], ["y"])], {"x": (4,)}, {"y": (4,)}), named)
    with pytest.raises(UnsupportedError, match=f"custom {code} is not supported; .*{advice}"):
        load_tflite(path)
