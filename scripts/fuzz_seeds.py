"""Small valid files of every kind that Pocketpress reads, and what reads them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn


@dataclass(frozen=True)
class Reader:
    """How one kind of file is read.

    Attributes:
        suffix: of the file.
        read: reads it as a press or a comparison does, up to the translation of its network, without a
            child process before it.
    """

    suffix: str
    read: Callable[[Path], object]


@dataclass
class Seeds:
    """Valid files.

    Attributes:
        files: by kind.
        beside: files that lie beside a file of a kind, by name.
    """

    files: dict[str, list[bytes]] = field(default_factory=dict)
    beside: dict[str, dict[str, bytes]] = field(default_factory=dict)


def _file(kind: str) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        from pocketpress.sources.load import read_file

        return read_file(kind, path, vet=False)

    return read


def _exported(path: Path) -> object:
    from pocketpress.sources.pytorch import load_program

    return load_program(path, str(path), vet=False)


def _weights(path: Path) -> object:
    from pocketpress.sources.safe_load import load_weights

    return load_weights(path, vet=False)


def _samples(path: Path) -> object:
    from pocketpress.core.signature import Signature, TensorSpec
    from pocketpress.data.load import load_dataset

    spec = TensorSpec("x", (1, 3, 8, 8), "float32")
    signature = Signature(inputs=(spec,), outputs=(TensorSpec("y", (1, 4), "float32"),), precision="fp32")
    data = load_dataset(str(path), signature, None)
    return list(data.samples(4, 0))


def _artifact(path: Path) -> object:
    from pocketpress.devices.isolated import open_isolated

    runner = open_isolated(path, memory_limit_bytes=8 << 30)
    try:
        return runner.run([np.zeros(s.shape, s.dtype) for s in runner.signature.inputs])
    finally:
        runner.close()


READERS: dict[str, Reader] = {
    "onnx": Reader(".onnx", _file("onnx")),
    "onnx-external": Reader(".onnx", _file("onnx")),
    "tflite": Reader(".tflite", _file("tflite")),
    "keras": Reader(".keras", _file("keras")),
    "h5": Reader(".h5", _file("keras")),
    "pt2": Reader(".pt2", _exported),
    "safetensors": Reader(".safetensors", _weights),
    "pt": Reader(".pt", _weights),
    "npz": Reader(".npz", _samples),
    "artifact-litert": Reader(".tflite", _artifact),
    "artifact-executorch": Reader(".pte", _artifact),
    "artifact-onnxruntime": Reader(".onnx", _artifact),
    "artifact-pytorch-mobile": Reader(".ptl", _artifact),
}
ARTIFACTS = {"litert": ".tflite", "executorch": ".pte", "onnxruntime": ".onnx", "pytorch-mobile": ".ptl"}


class Network(nn.Module):
    """Convolution, pooling, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities of an image."""
        y = torch.relu(self.conv(x)).mean((2, 3))
        return torch.softmax(self.head(y), 1)


def small() -> tuple[nn.Module, tuple[torch.Tensor]]:
    """A factory."""
    torch.manual_seed(0)
    return Network().eval(), (torch.zeros(1, 3, 8, 8),)


def make_seeds(folder: Path, kinds: Sequence[str]) -> Seeds:
    """Valid files, made in a process of its own: torch must not have run in one that is forked.

    Args:
        folder: where they lie, or are made.
        kinds: of `READERS`.
    """
    if not all((folder / kind).is_dir() for kind in kinds):
        setup = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import write_seeds"
        script = f"{setup}; write_seeds({str(folder)!r}, {list(kinds)!r})"
        subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)
    _import_readers(kinds)
    seeds = Seeds()
    for kind in kinds:
        seeds.files[kind] = [path.read_bytes() for path in sorted((folder / kind).iterdir())]
        if (folder / f"{kind}-beside").is_dir():
            beside = (folder / f"{kind}-beside").iterdir()
            seeds.beside[kind] = {path.name: path.read_bytes() for path in beside}
    return seeds


def _import_readers(kinds: Sequence[str]) -> None:
    import onnx_ir  # noqa: F401

    from pocketpress.data import load  # noqa: F401
    from pocketpress.sources.aten import translate  # noqa: F401
    from pocketpress.sources.onnx.load import load_onnx  # noqa: F401
    from pocketpress.sources.tflite.load import load_tflite  # noqa: F401

    if {"keras", "h5"} & set(kinds):
        from pocketpress.sources.keras.backend import import_keras
        from pocketpress.sources.keras.load import load_keras  # noqa: F401

        import_keras()


def write_seeds(folder: str, kinds: Sequence[str]) -> None:
    """The part that makes them: a folder for every kind."""
    seeds, place = Seeds(), Path(folder)
    for makes, make in MAKERS:
        if set(makes) & set(kinds):
            make(seeds, place)
    for kind, contents in seeds.files.items():
        (place / kind).mkdir(exist_ok=True)
        for index, content in enumerate(contents):
            (place / kind / str(index)).write_bytes(content)
    for kind, named in seeds.beside.items():
        (place / f"{kind}-beside").mkdir(exist_ok=True)
        for name, content in named.items():
            (place / f"{kind}-beside" / name).write_bytes(content)


def _samples_files(seeds: Seeds, folder: Path) -> None:
    rng = np.random.default_rng(0)
    plain, compressed = folder / "seed.npz", folder / "seed-c.npz"
    np.savez(plain, x=rng.normal(size=(6, 3, 8, 8)).astype(np.float32), y=rng.integers(0, 4, 6))
    np.savez_compressed(compressed, x=rng.normal(size=(6, 3, 8, 8)).astype(np.float32))
    seeds.files["npz"] = [plain.read_bytes(), compressed.read_bytes()]


def _press_artifacts(seeds: Seeds, folder: Path) -> None:
    from pocketpress.pipeline.options import PressOptions
    from pocketpress.pipeline.press import press

    rng = np.random.default_rng(0)
    data = folder / "data.npz"
    np.savez(data, x=rng.normal(size=(34, 3, 8, 8)).astype(np.float32))
    common: dict[str, Any] = {"data": str(data), "measure": False, "cache": None}
    source = f"{__name__}:small"
    press(
        PressOptions(source=source, targets=",".join(ARTIFACTS), precision="fp32", out=folder / "f", **common)
    )
    quantised = [t for t in ARTIFACTS if t != "pytorch-mobile"]
    press(
        PressOptions(
            source=source, targets=",".join(quantised), precision="w8a8-fast", out=folder / "q", **common
        )
    )
    for target, suffix in ARTIFACTS.items():
        found = [folder / part / f"small{suffix}" for part in ("f", "q")]
        found = [p for p in found if p.exists()]
        seeds.files[f"artifact-{target}"] = [p.read_bytes() for p in found]
    seeds.files["tflite"] = seeds.files["artifact-litert"]


def _onnx_model() -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "b": np.zeros(4, np.float32),
        "size": np.array([1, 4], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        helper.make_node("Reshape", ["p", "size"], ["f"], "flat"),
        helper.make_node("Softmax", ["f"], ["y"], "probabilities", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "seed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _onnx_control() -> onnx.ModelProto:
    """A loop of three repetitions, a scan over its rows, and a choice by their sum."""

    def value(name: str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, None)

    truth, number = TensorProto.BOOL, TensorProto.INT64
    repeated = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Add", ["v", "x"], ["w"])],
        "repeated",
        [value("i", number), value("c", truth), value("v")],
        [value("d", truth), value("w")],
    )
    scanned = helper.make_graph(
        [helper.make_node("Add", ["s", "row"], ["t"]), helper.make_node("Neg", ["t"], ["u"])],
        "scanned",
        [value("s"), value("row")],
        [value("t"), value("u")],
    )
    ways = {
        key: helper.make_graph([helper.make_node(op, ["rows"], [key])], key, [], [value(key)])
        for key, op in (("then_branch", "Relu"), ("else_branch", "Abs"))
    }
    nodes = [
        helper.make_node("Loop", ["three", "yes", "x"], ["sum"], body=repeated),
        helper.make_node("Scan", ["start", "sum"], ["last", "rows"], body=scanned, num_scan_inputs=1),
        helper.make_node("ReduceSum", ["last"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "zero"], ["above"]),
        helper.make_node("If", ["above"], ["y"], **ways),
    ]
    constants = {"three": np.array(3), "yes": np.array(True), "start": np.zeros(2, np.float32)}
    constants["zero"] = np.array(0, np.float32)
    graph = helper.make_graph(
        nodes,
        "control",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (4, 2))],
        [value("y")],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _onnx_files(seeds: Seeds, folder: Path) -> None:
    seeds.files["onnx"] = [_onnx_model().SerializeToString(), _onnx_control().SerializeToString()]


def _external(seeds: Seeds, folder: Path) -> None:
    path = folder / "external.onnx"
    onnx.save_model(_onnx_model(), path, save_as_external_data=True, location="file.data", size_threshold=16)
    seeds.files["onnx-external"] = [path.read_bytes()]
    seeds.beside["onnx-external"] = {"file.data": (folder / "file.data").read_bytes()}


def _torch_files(seeds: Seeds, folder: Path) -> None:
    from safetensors.torch import save

    module, examples = small()
    exported = folder / "seed.pt2"
    torch.export.save(torch.export.export(module, examples), exported)
    plain, old = folder / "seed.pt", folder / "old.pt"
    torch.save(module.state_dict(), plain)
    torch.save(module.state_dict(), old, _use_new_zipfile_serialization=False)
    seeds.files["pt2"] = [exported.read_bytes()]
    seeds.files["pt"] = [plain.read_bytes(), old.read_bytes()]
    seeds.files["safetensors"] = [save(module.state_dict())]


def _keras_files(seeds: Seeds, folder: Path) -> None:
    from pocketpress.sources.keras.backend import import_keras

    keras = import_keras()
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    for kind, name in (("keras", "seed.keras"), ("h5", "seed.h5")):
        path = folder / name
        model.save(path)
        seeds.files[kind] = [path.read_bytes()]


MAKERS: tuple[tuple[tuple[str, ...], Callable[[Seeds, Path], None]], ...] = (
    (("tflite", *(f"artifact-{name}" for name in ARTIFACTS)), _press_artifacts),
    (("onnx",), _onnx_files),
    (("onnx-external",), _external),
    (("pt2", "pt", "safetensors"), _torch_files),
    (("keras", "h5"), _keras_files),
    (("npz",), _samples_files),
)
"""Kinds, and what makes files of them."""
