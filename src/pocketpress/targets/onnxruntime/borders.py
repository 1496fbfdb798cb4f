"""Where real values become integers, integers become real values, or change their scale."""

from __future__ import annotations

import numpy as np
import onnx

from pocketpress.core.program import Node
from pocketpress.targets.onnxruntime.lookup import apply_table
from pocketpress.targets.onnxruntime.writer import MICROSOFT, SHIFT, GraphWriter

_TIE_MARGIN = 1e-3
"""Least distance of every entry of a table from a rounding tie for a float32 kernel to be trusted with it."""


def quantize(w: GraphWriter, node: Node) -> None:
    """``x * (1/scale)``, then QuantizeLinear with scale 1: QuantizeLinear itself would divide.

    To 16 bits it may divide: those results are not held to equality.
    """
    name = node.outputs[0]
    if w.program.type(name).dtype == "int16":
        inputs = [w.value(node.inputs[0]), *_wide_grid(w, name)]
        w.emit("QuantizeLinear", inputs, name=name, out=w.value(name))
        return
    source, step = w.value(node.inputs[0]), w.quant(name).step
    inverse = np.float32(1) / step
    power_of_two = np.frexp(step)[0] == 0.5
    if not power_of_two:
        source = w.emit("Mul", [source, w.shared("reciprocal", inverse)], name=name)
    scale = w.scale(step if power_of_two else 1.0)
    w.emit("QuantizeLinear", [source, scale, w.zero_of(name)], name=name, out=w.value(name))


def dequantize(w: GraphWriter, node: Node) -> None:
    """``scale * (q - zero_point)``, which is what DequantizeLinear computes."""
    source, out = node.inputs[0], node.outputs[0]
    if w.program.type(source).dtype == "int16":
        w.emit("DequantizeLinear", [w.value(source), *_wide_grid(w, source)], name=out, out=w.value(out))
        return
    scale, zero, axis = w.scale_of(source), w.zero_of(source), _repeated_axis(w, out)
    if axis is not None:
        length = w.program.type(out).shape[axis]
        scale = w.scale(np.full(length, w.quant(source).step))
        zero = w.shared("zero_point", np.full(length, w.stored_zero_point(source), np.uint8))
    w.emit("DequantizeLinear", [w.value(source), scale, zero], name=out, out=w.value(out), axis=axis)


def _repeated_axis(w: GraphWriter, out: str) -> int | None:
    """Axis along which the one scale is repeated where a float product reads the result, else None.

    Between a DequantizeLinear with a single scale and a QuantizeLinear, ONNX Runtime would quantise the float
    weights of that product itself, with one scale for all of them.
    """
    products = ("conv2d", "conv_transpose2d", "linear")
    if not any(node.op in products for node in w.readers(out)):
        return None
    return next((axis for axis, size in enumerate(w.program.type(out).shape) if size > 1), None)


def _wide_grid(w: GraphWriter, name: str) -> tuple[str, str]:
    """Scale and zero point of 16-bit activations, which operator set 21 brought."""
    w.needs_opset(21)
    return w.scale_of(name), w.shared("zero_i16", np.int16(w.quant(name).zero_point))


def requantize(w: GraphWriter, node: Node) -> None:
    """Nothing where scale and stored zero point agree; else a table, the runtime's own if it is safe."""
    source, out = node.inputs[0], node.outputs[0]
    same = w.quant(source).step == w.quant(out).step
    if same and w.stored_zero_point(source) == w.stored_zero_point(out):
        _alias(w, source, out)
        return
    stored = np.arange(256, dtype=np.int64) - w.stored_zero_point(source)
    ratio = np.float64(w.quant(source).step) / np.float64(w.quant(out).step)
    exact = stored * ratio
    if np.abs(np.abs(exact - np.floor(exact)) - 0.5).min() > _TIE_MARGIN:
        inputs = [w.scale_of(out), w.zero_of(out), w.value(source), w.scale_of(source), w.zero_of(source)]
        w.emit("QLinearConcat", inputs, name=out, out=w.value(out), domain=MICROSOFT, axis=0)
        return
    grid = np.rint(exact) + w.stored_zero_point(out)
    apply_table(w, node, np.clip(grid, 0, 255).astype(np.uint8))


def _alias(w: GraphWriter, source: str, out: str) -> None:
    if w.is_border(out):
        w.emit("Identity", [w.value(source)], name=out, out=w.value(out))
    else:
        w.set_value(out, w.value(source))


def enter(w: GraphWriter, name: str) -> None:
    """An int8 input of the file becomes the uint8 the graph computes with."""
    if w.program.type(name).dtype != "int8":
        return
    zero = w.shared("zero_i8", np.int8(0))
    wide = w.emit("DequantizeLinear", [name, w.scale(1.0), zero], name=f"border_{name}")
    w.emit(
        "QuantizeLinear",
        [wide, w.scale(1.0), w.zero(SHIFT["int8"])],
        name=f"border_{name}",
        out=w.value(name),
    )


def leave(w: GraphWriter, name: str) -> None:
    """The uint8 the graph computed becomes the int8 output of the file."""
    if w.program.type(name).dtype != "int8" or name in w.program.inputs:
        return
    wide = w.emit(
        "DequantizeLinear", [w.value(name), w.scale(1.0), w.zero(SHIFT["int8"])], name=f"border_{name}"
    )
    w.emit(
        "QuantizeLinear",
        [wide, w.scale(1.0), w.shared("zero_i8", np.int8(0))],
        name=f"border_{name}",
        out=name,
    )


ONNX_DTYPES = {
    "float32": onnx.TensorProto.FLOAT,
    "float16": onnx.TensorProto.FLOAT16,
    "int8": onnx.TensorProto.INT8,
    "uint8": onnx.TensorProto.UINT8,
    "int16": onnx.TensorProto.INT16,
    "int32": onnx.TensorProto.INT32,
    "int64": onnx.TensorProto.INT64,
    "bool": onnx.TensorProto.BOOL,
}
