"""Small TFLite files for the tests of the importer, and LiteRT's own answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from pocketpress.core.program import Quantization, TensorType
from pocketpress.targets.litert.graph import Graph

Array = np.ndarray


@dataclass(frozen=True)
class Op:
    """An operator: its code, tensors by name ("" is left out), and options by the schema's names."""

    code: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    options: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)


def options(kind: str, attributes: Mapping[str, Any]) -> Any:
    """The schema's table with some fields set."""
    if not kind:
        return None
    table = getattr(schema, f"{kind}OptionsT")()
    for name, value in attributes.items():
        assert hasattr(table, name), name
        setattr(table, name, value)
    return table


def saved(
    folder: Path,
    ops: Sequence[Op],
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    constants: Mapping[str, Any] | None = None,
    name: str = "net.tflite",
) -> Path:
    """Write a file.

    Args:
        folder: where to.
        ops: in order.
        inputs: shape, or type, by name.
        outputs: the same, of whatever operators make; "_a" says it of "a", which is no output.
        constants: arrays, or (array, quantisation), by name.
        name: of the file.
    """
    graph = Graph()
    made = {op_out for op in ops for op_out in op.outputs}
    index: dict[str, int] = {"": -1}
    for key, value in inputs.items():
        index[key] = graph.tensor(key, _type(value))
    for key, value in (constants or {}).items():
        array, quant = value if isinstance(value, tuple) else (value, None)
        index[key] = graph.constant(key, np.asarray(array), quant)
    for key in made:
        index[key] = graph.tensor(key, _type(outputs.get(key, outputs.get(f"_{key}", ()))))
    for op in ops:
        graph.operator(
            op.code, [index[i] for i in op.inputs], [index[i] for i in op.outputs],
            options(op.options, op.attributes),
        )  # fmt: skip
    asked = [key for key in outputs if not key.startswith("_")]
    content = graph.pack([(k, index[k]) for k in inputs], [(k, index[k]) for k in asked], "{}")
    path = folder / name
    path.write_bytes(content)
    return path


def _type(value: Any) -> TensorType:
    return value if isinstance(value, TensorType) else TensorType(tuple(value))


def litert(path: Path, *feeds: Array) -> list[Array]:
    """What LiteRT's own kernels compute."""
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    for detail, feed in zip(interpreter.get_input_details(), feeds, strict=True):
        interpreter.set_tensor(detail["index"], feed)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def grid(scale: float, zero_point: int = 0) -> Quantization:
    """One scale per tensor."""
    return Quantization.per_tensor(scale, zero_point)


def classifier(folder: Path, channels: int = 6, classes: int = 5) -> Path:
    """Convolution of stride 2, depthwise convolution, mean, linear layer, softmax: 7 x 9 images."""
    rng = np.random.default_rng(0)
    conv = {"strideH": 2, "strideW": 2, "fusedActivationFunction": 3}
    ops = [
        Op("CONV_2D", ["image", "w", "b"], ["a"], "Conv2D", conv),
        Op("DEPTHWISE_CONV_2D", ["a", "d", "e"], ["c"], "DepthwiseConv2D",
           {"strideH": 2, "strideW": 2, "depthMultiplier": 1, "fusedActivationFunction": 1}),
        Op("MEAN", ["c", "axes"], ["m"], "Reducer"),
        Op("FULLY_CONNECTED", ["m", "f", "g"], ["l"], "FullyConnected"),
        Op("SOFTMAX", ["l"], ["scores"], "Softmax", {"beta": 1.0}),
    ]  # fmt: skip
    constants = {
        "w": rng.normal(0, 0.4, (channels, 3, 3, 3)).astype(np.float32),
        "b": rng.normal(0, 0.4, channels).astype(np.float32),
        "d": rng.normal(0, 0.4, (1, 3, 3, channels)).astype(np.float32),
        "e": rng.normal(0, 0.4, channels).astype(np.float32),
        "axes": np.array([1, 2], np.int32),
        "f": rng.normal(0, 0.4, (classes, channels)).astype(np.float32),
        "g": rng.normal(0, 0.4, classes).astype(np.float32),
    }
    middle = {"_a": (1, 4, 5, channels)}
    return saved(folder, ops, {"image": (1, 7, 9, 3)}, {"scores": (1, classes), **middle}, constants)


def int8_network(
    folder: Path,
    channels: int = 8,
    classes: int = 6,
    *,
    image: tuple[int, int, int] = (7, 9, 3),
    unsigned: bool = False,
    weight_zero: int = 128,
) -> Path:
    """As converters write: int8 from input to output, weights per channel, a residual block.

    ``image`` has 7 or 8 rows and 9 or 10 columns.  ``unsigned`` writes the same reals as TensorFlow 1 did, in
    uint8 with weights per tensor around ``weight_zero``.
    """
    rng = np.random.default_rng(1)
    kind, shift = ("uint8", 128) if unsigned else ("int8", 0)

    def weight(shape: tuple[int, ...], axis: int) -> tuple[Array, Quantization]:
        scales = rng.uniform(0.002, 0.006, shape[axis])
        if unsigned:
            lowest = max(-127, -weight_zero)
            integers = rng.integers(lowest, min(127, 255 - weight_zero) + 1, shape)
            return (integers + weight_zero).astype(np.uint8), grid(float(scales[0]), weight_zero)
        return rng.integers(-127, 128, shape).astype(np.int8), Quantization.per_channel(scales, axis)

    def bias(step: float, of: tuple[Array, Quantization]) -> tuple[Array, Quantization]:
        scales = np.float32(step) * of[1].scales()
        if unsigned:
            count = of[0].shape[3] if of[0].shape[0] == 1 and of[0].ndim == 4 else of[0].shape[0]
            return rng.integers(-500, 500, count).astype(np.int32), grid(float(scales[0]))
        return rng.integers(-500, 500, scales.size).astype(np.int32), Quantization.per_channel(scales, 0)

    def tensor(shape: tuple[int, ...], scale: float, zero_point: int = 0) -> TensorType:
        return TensorType(shape, kind, grid(scale, zero_point + shift))

    first, deep = weight((channels, 3, 3, image[2]), 0), weight((1, 3, 3, channels), 3)
    last, dense = weight((channels, 1, 1, channels), 0), weight((classes, channels), 0)
    stride = {"strideH": 2, "strideW": 2, "fusedActivationFunction": 3}
    ops = [
        Op("CONV_2D", ["image", "w", "b"], ["a"], "Conv2D", stride),
        Op("DEPTHWISE_CONV_2D", ["a", "d", "e"], ["c"], "DepthwiseConv2D",
           {"strideH": 1, "strideW": 1, "depthMultiplier": 1}),
        Op("CONV_2D", ["c", "f", "g"], ["h"], "Conv2D", {"strideH": 1, "strideW": 1}),
        Op("ADD", ["a", "h"], ["s"], "Add", {"fusedActivationFunction": 1}),
        Op("MEAN", ["s", "axes"], ["m"], "Reducer"),
        Op("FULLY_CONNECTED", ["m", "j", "k"], ["scores"], "FullyConnected"),
    ]  # fmt: skip
    constants = {
        "w": first, "b": bias(1 / 64, first), "d": deep, "e": bias(6 / 255, deep), "f": last,
        "g": bias(0.03119, last), "axes": np.array([1, 2], np.int32), "j": dense, "k": bias(0.01717, dense),
    }  # fmt: skip
    made = {
        "scores": tensor((1, classes), 1 / 16, 5), "_a": tensor((1, 4, 5, channels), 6 / 255, -128),
        "_c": tensor((1, 4, 5, channels), 0.03119, -128), "_h": tensor((1, 4, 5, channels), 0.02371, 10),
        "_s": tensor((1, 4, 5, channels), 0.04193, -128), "_m": tensor((1, channels), 0.01717, -128),
    }  # fmt: skip
    return saved(folder, ops, {"image": tensor((1, *image), 1 / 64, -3)}, made, constants)
