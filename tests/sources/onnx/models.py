"""Small ONNX models for the tests of the importer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[Any, ...]],
    outputs: list[str],
    constants: dict[str, Any] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """A model of float inputs; sizes may be names."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def saved(folder: Path, proto: onnx.ModelProto, name: str = "net.onnx") -> Path:
    """On disk."""
    path = folder / name
    path.write_bytes(proto.SerializeToString())
    return path


def classifier(batch: Any = 1, side: Any = 8, channels: int = 6, classes: int = 5) -> onnx.ModelProto:
    """Convolution with uneven padding, ReLU6, pooling, a shape computed at run time, and a linear layer."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["image", "w", "b"], ["a"], "first", pads=[0, 0, 1, 1], strides=[2, 2]),
        helper.make_node("Clip", ["a", "zero", "six"], ["c"], "clip"),
        helper.make_node("GlobalAveragePool", ["c"], ["p"], "pool"),
        helper.make_node("Shape", ["p"], ["s"], "shape"),
        helper.make_node("Gather", ["s", "first_axis"], ["n"], "count"),
        helper.make_node("Concat", ["n", "rest"], ["t"], "sizes", axis=0),
        helper.make_node("Reshape", ["p", "t"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "m", "d"], ["scores"], "classify", transB=1),
    ]
    constants = {
        "w": rng.normal(0, 0.4, (channels, 3, 3, 3)).astype(np.float32),
        "b": rng.normal(0, 0.4, channels).astype(np.float32),
        "m": rng.normal(0, 0.4, (classes, channels)).astype(np.float32),
        "d": rng.normal(0, 0.4, classes).astype(np.float32),
        "zero": np.float32(0),
        "six": np.float32(6),
        "first_axis": np.array([0]),
        "rest": np.array([-1]),
    }
    return model(nodes, {"image": (batch, 3, side, side)}, ["scores"], constants)
