"""Products whose activations are quantised at run time, with int8 weights.

One vector: DynamicQuantizeMatMul.  Several rows: each has its own range, as in the reference, so the rows are
quantised by ordinary nodes around MatMulInteger, whose sums are corrected for the zero points,
``sum((q - z) * w) = sum(q * w) - z * sum(w)``.  An image: DynamicQuantizeLinear and ConvInteger.
"""

from __future__ import annotations

import numpy as np
import onnx

from pocketpress.core.program import Node
from pocketpress.targets.onnxruntime import products
from pocketpress.targets.onnxruntime.clamps import finish, target
from pocketpress.targets.onnxruntime.products import weight_of, weight_scales
from pocketpress.targets.onnxruntime.writer import MICROSOFT, GraphWriter

_CENTRE = 128
"""ConvInteger has fast kernels for uint8 weights only."""

_LEAST_WEIGHTS = 2**14
_LEAST_FAN_IN = 256
_LEAST_CHANNELS = 64
_LEAST_PRODUCTS = 2**23
"""Below these the passes around an integer kernel cost more than it saves (measured on x86 with VNNI)."""

_SLOWER = "faster in float, on decoded weights"


def linear(w: GraphWriter, node: Node) -> None:
    """DynamicQuantizeMatMul, or MatMulInteger with a range per row; in float where that is faster."""
    rows = int(np.prod(w.program.type(node.inputs[0]).shape[:-1]))
    if rows > 1 and w.program.type(node.inputs[1]).elements < _LEAST_WEIGHTS:
        w.skip(node, f"fewer than {_LEAST_WEIGHTS} weights for several rows; {_SLOWER}")
        products.linear(w, node)
        return
    written = target(w, node)
    (_one_row if rows == 1 else _rows)(w, node, written)
    finish(w, node, written)


def _one_row(w: GraphWriter, node: Node, written: str) -> None:
    weight, scales = _transposed(w, node), weight_scales(w, node)
    inputs = [w.value(node.inputs[0]), w.initializer(f"{node.name}_weight", weight), w.scale(scales)]
    inputs.append(w.shared("weight_zero", np.zeros(np.shape(scales), np.int8)))
    inputs += [w.value(name) for name in node.inputs[2:]]
    w.emit("DynamicQuantizeMatMul", inputs, name=node.outputs[0], out=written, domain=MICROSOFT)


def _transposed(w: GraphWriter, node: Node) -> np.ndarray:
    return np.ascontiguousarray(weight_of(w, node).T)


def _rows(w: GraphWriter, node: Node, written: str) -> None:
    name, weight = node.outputs[0], _transposed(w, node)
    shape, out_shape = w.program.type(node.inputs[0]).shape, w.program.type(name).shape
    x = w.value(node.inputs[0])
    if len(shape) > 2:
        x = w.emit("Reshape", [x, w.int64([-1, shape[-1]])], name=name)
    step, zero = _row_ranges(w, name, x)
    stored_zero = w.emit("Cast", [zero], name=name, to=onnx.TensorProto.UINT8)
    grid = w.emit("QuantizeLinear", [x, step, stored_zero], name=name, axis=0)
    sums = w.emit("MatMulInteger", [grid, w.initializer(f"{node.name}_weight", weight)], name=name)
    real = w.emit("Cast", [sums], name=name, to=onnx.TensorProto.FLOAT)
    columns = w.initializer(f"{node.name}_sums", weight.sum(axis=0, dtype=np.int32).astype(np.float32))
    shift = w.emit("Mul", [_column(w, name, zero), columns], name=name)
    centred = w.emit("Sub", [real, shift], name=name)
    scales = w.emit("Mul", [_column(w, name, step), w.scale(weight_scales(w, node))], name=name)
    last = len(node.inputs) < 3 and len(shape) == 2
    y = w.emit("Mul", [centred, scales], name=name, out=written if last else None)
    if len(node.inputs) > 2:
        y = w.emit("Add", [y, w.value(node.inputs[2])], name=name, out=written if len(shape) == 2 else None)
    if len(shape) > 2:
        w.emit("Reshape", [y, w.int64(out_shape)], name=name, out=written)


def _row_ranges(w: GraphWriter, name: str, x: str) -> tuple[str, str]:
    """Scale and zero point (as a real) of every row, each a vector: the range holds 0 and fills a byte."""
    zero, last = w.shared("zero", np.float32(0)), w.int64([1])
    low = w.emit("Min", [w.emit("ReduceMin", [x, last], name=name, keepdims=0), zero], name=name)
    high = w.emit("Max", [w.emit("ReduceMax", [x, last], name=name, keepdims=0), zero], name=name)
    span = w.emit("Sub", [high, low], name=name)
    step = w.emit("Mul", [span, w.shared("part", np.float32(1 / 255))], name=name)
    step = w.emit("Max", [step, w.shared("smallest", np.finfo(np.float32).tiny)], name=name)
    ratio = w.emit("Div", [low, step], name=name)
    return step, w.emit("Neg", [w.emit("Round", [ratio], name=name)], name=name)


def _column(w: GraphWriter, name: str, vector: str) -> str:
    return w.emit("Unsqueeze", [vector, w.int64([1])], name=name)


def conv2d(w: GraphWriter, node: Node) -> None:
    """DynamicQuantizeLinear and ConvInteger; a float Conv on decoded weights where those are slower."""
    reason = _why_float(w, node)
    if reason is not None:
        w.skip(node, reason)
        products.conv2d(w, node)
        return
    written = target(w, node)
    _conv_integer(w, node, written)
    finish(w, node, written)


def _why_float(w: GraphWriter, node: Node) -> str | None:
    weight, out = w.program.type(node.inputs[1]), w.program.type(node.outputs[0])
    if out.shape[0] > 1:
        return "ConvInteger has one range for all images; computed in float, on decoded weights"
    if node.attrs["groups"] > 1:
        return f"grouped; {_SLOWER}"
    fan_in = weight.elements // weight.shape[0]
    small = fan_in < _LEAST_FAN_IN or weight.shape[0] < _LEAST_CHANNELS
    if small or fan_in * out.elements < _LEAST_PRODUCTS:
        return f"{weight.shape[0]} channels of {fan_in} weights are too few; {_SLOWER}"
    return None


def _conv_integer(w: GraphWriter, node: Node, written: str) -> None:
    name, attrs = node.outputs[0], node.attrs
    weight = (weight_of(w, node).astype(np.int16) + _CENTRE).astype(np.uint8)
    grid, step, zero = w.emit_many(
        "DynamicQuantizeLinear", [w.value(node.inputs[0])], ("grid", "step", "zero"), name=name
    )
    stored = w.initializer(f"{node.name}_weight", weight)
    sums = w.emit(
        "ConvInteger",
        [grid, stored, zero, w.zero(_CENTRE)],
        name=name,
        kernel_shape=list(weight.shape[2:]),
        pads=list(attrs["pads"]),
        strides=list(attrs["stride"]),
        dilations=list(attrs["dilation"]),
    )
    scales = np.broadcast_to(weight_scales(w, node), weight.shape[0])
    scale = w.emit("Mul", [step, w.scale(scales)], name=name)
    has_bias = len(node.inputs) > 2
    y = w.emit("DequantizeLinear", [sums, scale], name=name, out=None if has_bias else written, axis=1)
    if has_bias:
        column = w.emit("Reshape", [w.value(node.inputs[2]), w.int64([1, -1, 1, 1])], name=name)
        w.emit("Add", [y, column], name=name, out=written)
