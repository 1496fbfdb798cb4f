"""ONNX files as networks: the same numbers as ONNX Runtime, and clear errors."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, external_data_helper, helper, numpy_helper
from tests.sources.onnx.models import classifier, model, saved

from pocketpress.core.errors import PocketpressError, SourceError, UnsupportedError
from pocketpress.sources.load import load_source, saved_kind
from pocketpress.sources.onnx.load import load_onnx
from pocketpress.verify.reference import interpret


def runtime(path: Path, **feeds: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)  # type: ignore[no-any-return]


def test_a_network_computes_what_onnx_runtime_does(tmp_path: Path) -> None:
    path = saved(tmp_path, classifier())
    source = load_source(str(path))
    assert (source.name, source.program.inputs, source.program.outputs) == ("net", ("image",), ("scores",))
    image = np.random.default_rng(1).random((1, 3, 8, 8), np.float32)
    (wanted,) = runtime(path, image=image)
    np.testing.assert_allclose(interpret(source.program, {"image": image})["scores"], wanted, atol=1e-5)


def test_shapes_that_follow_from_the_input_are_constants(tmp_path: Path) -> None:
    network, _ = load_onnx(saved(tmp_path, classifier()))
    assert [step.op for step in network.steps] == [
        "Conv", "Clip", "GlobalAveragePool", "Reshape", "Gemm",
    ]  # fmt: skip
    assert sum(p.numel() for p in network.parameters()) == 6 * 27 + 6 + 30 + 5 + 2


def test_open_sizes_are_set_by_input_or_are_a_batch_of_one(tmp_path: Path) -> None:
    path = saved(tmp_path, classifier("n", "side"))
    with pytest.raises(SourceError, match=r"shape of input image is open: got \?,3,\?,\?; give --input"):
        load_onnx(path)
    assert load_onnx(path, [(1, 3, 12, 12)])[1][0].shape == (1, 3, 12, 12)
    assert load_onnx(saved(tmp_path, classifier("n")))[1][0].shape == (1, 3, 8, 8)
    with pytest.raises(SourceError, match=r"another shape: got \(1, 4, 8, 8\)"):
        load_onnx(saved(tmp_path, classifier()), [(1, 4, 8, 8)])
    with pytest.raises(SourceError, match="has 1 inputs: got 2 shapes"):
        load_onnx(path, [(1, 3, 8, 8), (1,)])


def test_a_size_of_minus_one_is_open(tmp_path: Path) -> None:
    path = saved(tmp_path, model([helper.make_node("Relu", ["x"], ["y"])], {"x": (-1, 3)}, ["y"]))
    assert load_source(str(path)).program.type("x").shape == (1, 3)


def test_everything_unsupported_is_listed_at_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Unique", ["x"], ["a"], "where_is_it"),
        helper.make_node("Det", ["x"], ["b"], "volume"),
        helper.make_node("Relu", ["x"], ["y"], "fine"),
        helper.make_node("Thing", ["x"], ["c"], "mine", domain="my.domain"),
    ]
    path = saved(tmp_path, model(nodes, {"x": (1, 2)}, ["y"]))
    with pytest.raises(UnsupportedError) as caught:
        load_onnx(path)
    assert "Unique (where_is_it), Det (volume), my.domain.Thing (mine)" in str(caught.value)
    assert "Relu" not in str(caught.value)


def test_what_programs_lack_is_named_by_its_node(tmp_path: Path) -> None:
    """The importer knows the operator, the program's vocabulary does not."""
    proto = model([helper.make_node("ConvTranspose", ["x", "x"], ["y"], "up")], {"x": (1, 1, 2, 2)}, ["y"])
    with pytest.raises(UnsupportedError, match=r"node up \(ConvTranspose\): .*computed weight"):
        load_source(str(saved(tmp_path, proto)))


def attention(mask: float) -> onnx.ModelProto:
    """softmax(x xT + mask), with the exporters' guard against rows that are masked altogether."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "t"], ["q"]),
        helper.make_node("Add", ["q", "mask"], ["m"]),
        helper.make_node("Softmax", ["m"], ["p"], axis=-1),
        helper.make_node("IsNaN", ["p"], ["n"], "guard"),
        helper.make_node("Where", ["n", "zero", "p"], ["y"]),
    ]
    constants = {"mask": np.full((2, 2), mask, np.float32), "zero": np.float32(0)}
    return model(nodes, {"x": (2, 3)}, ["y"], constants)


def test_a_guard_that_cannot_matter_is_dropped_and_one_that_can_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, attention(-1e4))
    x = np.random.default_rng(0).random((2, 3), np.float32)
    (wanted,) = runtime(path, x=x)
    network, _ = load_onnx(path)
    np.testing.assert_allclose(network(torch.from_numpy(x))["y"], wanted, atol=1e-6)
    with pytest.raises(UnsupportedError, match="node guard: operator IsNaN is not supported"):
        load_onnx(saved(tmp_path, attention(-np.inf)))


def test_rows_are_looked_up(tmp_path: Path) -> None:
    proto = model(
        [helper.make_node("Gather", ["w", "i"], ["y"])], {}, ["y"], {"w": np.eye(4, dtype=np.float32)}
    )
    proto.graph.input.append(helper.make_tensor_value_info("i", TensorProto.INT64, (1, 3)))
    network, _ = load_onnx(saved(tmp_path, proto))
    assert network(torch.tensor([[2, 0, 3]]))["y"].argmax(-1).tolist() == [[2, 0, 3]]


def test_logic_by_hand(tmp_path: Path) -> None:
    """(x > 0 and not y > 0) xor x > y: T xor T at (1, -1), F xor F at (-1, 1), F xor T at (-1, -2)."""
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["a"]),
        helper.make_node("Greater", ["y", "zero"], ["b"]),
        helper.make_node("Not", ["b"], ["c"]),
        helper.make_node("And", ["a", "c"], ["d"]),
        helper.make_node("Greater", ["x", "y"], ["e"]),
        helper.make_node("Xor", ["d", "e"], ["f"]),
        helper.make_node("Cast", ["f"], ["z"], to=TensorProto.FLOAT),
    ]
    proto = model(nodes, {"x": (3,), "y": (3,)}, ["z"], {"zero": np.float32(0)})
    network, _ = load_onnx(saved(tmp_path, proto))
    found = network(torch.tensor([1.0, -1.0, -1.0]), torch.tensor([-1.0, 1.0, -2.0]))["z"]
    assert found.tolist() == [0.0, 0.0, 1.0]


def test_contraction_by_hand(tmp_path: Path) -> None:
    node = helper.make_node("Einsum", ["x", "w"], ["y"], equation="ij,kj->ik")
    proto = model([node], {"x": (1, 2)}, ["y"], {"w": np.array([[1, 2], [3, 4]], np.float32)})
    network, _ = load_onnx(saved(tmp_path, proto))
    assert network(torch.tensor([[1.0, 10.0]]))["y"].tolist() == [[21.0, 43.0]]


@pytest.mark.parametrize("opset", [6, 29])
def test_an_operator_set_out_of_range(tmp_path: Path, opset: int) -> None:
    proto = model([helper.make_node("Relu", ["x"], ["y"])], {"x": (1, 2)}, ["y"], opset=opset)
    with pytest.raises(UnsupportedError, match=f"not supported: got {opset}; allowed: 7 to 28; export it"):
        load_onnx(saved(tmp_path, proto))


def external(folder: Path, location: str, length: int = 24) -> Path:
    """A product whose weights are said to lie elsewhere."""
    proto = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": (1, 2)},
        ["y"],
        {"w": np.ones((2, 3), np.float32)},
    )
    (weight,) = proto.graph.initializer
    external_data_helper.set_external_data(weight, location, offset=0, length=length)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    return saved(folder, proto)


def test_weights_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(np.arange(6, dtype=np.float32).tobytes())
    network, _ = load_onnx(external(tmp_path, "w.bin"))
    assert network(torch.ones(1, 2))["y"].tolist() == [[3.0, 5.0, 7.0]]


@pytest.mark.parametrize("way", ["parent", "absolute", "link"])
def test_weights_elsewhere_are_never_read(tmp_path: Path, way: str) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(64))
    folder = tmp_path / "model"
    folder.mkdir()
    location = {"parent": "../secret.bin", "absolute": str(secret), "link": "link.bin"}[way]
    (folder / "link.bin").symlink_to(secret)
    with pytest.raises(SourceError, match=r"from outside its folder|not a readable ONNX file"):
        load_onnx(external(folder, location))


def test_weights_that_are_missing_or_short(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"weights of w are missing: got w\.bin"):
        load_onnx(external(tmp_path, "w.bin"))
    (tmp_path / "w.bin").write_bytes(bytes(23))
    with pytest.raises(SourceError, match="a file of 24 bytes or more"):
        load_onnx(external(tmp_path, "w.bin"))


def test_a_few_bytes_cannot_ask_for_a_huge_tensor(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["c"], "huge"),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    proto = model(nodes, {"x": (1,)}, ["y"], {"s": np.array([1 << 40])})
    with pytest.raises(UnsupportedError, match=r"node huge: size of ConstantOfShape: got \[1099511627776\]"):
        load_onnx(saved(tmp_path, proto))
    tile = [helper.make_node("Tile", ["x", "s"], ["y"], "tile")]
    proto = model(tile, {"x": (1,)}, ["y"], {"s": np.array([1 << 40])})
    with pytest.raises(UnsupportedError, match="node tile: size of Tile"):
        load_onnx(saved(tmp_path, proto))


def test_files_that_are_not_networks(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        load_onnx(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(SourceError, match="not a readable ONNX file"):
        load_onnx(tmp_path / "text.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(PocketpressError):
        load_onnx(tmp_path / "empty.onnx")


def test_weights_of_another_file_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, classifier())
    with pytest.raises(SourceError, match="an ONNX file holds its weights"):
        load_source(str(path), weights=tmp_path / "w.safetensors")
    assert saved_kind("net.py:model") is None and saved_kind("a/net.onnx") == "onnx"


def test_mutated_files_give_a_network_or_one_clear_line(tmp_path: Path) -> None:
    """Flipped, cut and doubled bytes, seeded."""
    whole = classifier().SerializeToString()
    rng = random.Random(0)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(data))
            kind = rng.randrange(3)
            if kind == 0:
                data[place] = rng.randrange(256)
            elif kind == 1:
                del data[place : place + rng.randint(1, 40)]
            else:
                data[place:place] = data[place : place + rng.randint(1, 40)]
        path = tmp_path / "mutant.onnx"
        path.write_bytes(bytes(data))
        try:
            load_onnx(path)
        except PocketpressError as error:
            assert "\n" not in str(error)


def test_the_exporter_of_torch(tmp_path: Path) -> None:
    """A trained-style network through torch's own exporter, and back."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1, bias=False), torch.nn.BatchNorm2d(8), torch.nn.Hardswish(),
        torch.nn.MaxPool2d(3, 2, 1), torch.nn.Conv2d(8, 8, 3, groups=8), torch.nn.SiLU(),
        torch.nn.Upsample(scale_factor=2, mode="bilinear"), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(8, 4), torch.nn.Softmax(1),
    ).eval()  # fmt: skip
    x = torch.rand(1, 3, 16, 16)
    path = tmp_path / "torch.onnx"
    torch.onnx.export(network, (x,), path, dynamo=False, input_names=["x"], output_names=["p"])
    found, _ = load_onnx(path)
    with torch.no_grad():
        torch.testing.assert_close(found(x)["p"], network(x), rtol=1e-4, atol=1e-5)
    assert onnx.load(path).graph.output[0].name == "p" and numpy_helper is not None


@pytest.mark.parametrize("mode", ["reflect", "edge"])
def test_any_axis_can_be_padded_by_its_border(tmp_path: Path, mode: str) -> None:
    pads = np.array([0, 2, 0, 0, 1, 3])
    node = helper.make_node("Pad", ["x", "p"], ["y"], mode=mode)
    path = saved(tmp_path, model([node], {"x": (2, 3, 4)}, ["y"], {"p": pads}))
    x = np.random.default_rng(0).random((2, 3, 4), np.float32)
    found = interpret(load_source(str(path)).program, {"x": x})["y"]
    np.testing.assert_array_equal(found, runtime(path, x=x)[0])


@pytest.mark.parametrize(("strides", "group"), [([1, 1], 1), ([1, 1], 2), ([2, 1], 1)])
def test_a_dilated_transposed_convolution(tmp_path: Path, strides: list[int], group: int) -> None:
    rng = np.random.default_rng(0)
    weight, bias = (rng.normal(size=s).astype(np.float32) for s in ((4, 3, 3, 2), (3 * group,)))
    more = {"dilations": [2, 3], "pads": [2, 1, 1, 2], "strides": strides, "group": group}
    node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], **more)
    path = saved(tmp_path, model([node], {"x": (1, 4, 5, 6)}, ["y"], {"w": weight, "b": bias}))
    x = rng.random((1, 4, 5, 6), np.float32)
    found = interpret(load_source(str(path)).program, {"x": x})["y"]
    np.testing.assert_allclose(found, runtime(path, x=x)[0], atol=1e-5)
