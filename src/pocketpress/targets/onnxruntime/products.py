"""Convolutions and matrix products."""

from __future__ import annotations

import numpy as np

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Node
from pocketpress.core.program.ir import Array
from pocketpress.targets.onnxruntime.clamps import finish, target
from pocketpress.targets.onnxruntime.constants import integer_weight, real_value
from pocketpress.targets.onnxruntime.writer import MICROSOFT, GraphWriter


def is_integer(w: GraphWriter, node: Node) -> bool:
    """Whether the node computes in integers."""
    return w.program.type(node.outputs[0]).is_quantized


def weight_of(w: GraphWriter, node: Node) -> Array:
    """The stored weights: int8, those of 4 bits too."""
    name = node.inputs[1]
    if not w.program.is_constant(name):
        raise UnsupportedError(
            f"ONNX Runtime: {node.op} {node.name} has computed weights",
            allowed="constant weights",
            next_step="keep this layer in float",
        )
    return w.program.constants[name]


def weight_scales(w: GraphWriter, node: Node) -> Array:
    """The weight scales, one per output channel or a single one."""
    return w.quant(node.inputs[1]).scales()


def _scale_inputs(w: GraphWriter, scales: Array) -> tuple[str, str]:
    vector = scales[0] if scales.size == 1 else scales
    # Not shared between layers: ONNX Runtime's int8-to-uint8 weight rewrite (x86 without VNNI) renames the
    # zero point by layer and fails when it meets the same one twice.
    return w.scale(vector), w.initializer("weight_zero", np.zeros(np.shape(vector), np.int8))


def qlinear_conv(
    w: GraphWriter,
    node: Node,
    weight: Array,
    scales: Array,
    bias: Array | None,
    *,
    out: str,
    pads: tuple[int, int, int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> None:
    """Append a QLinearConv from the node's input to ``out``, which has the scale of the node's output."""
    source, result = node.inputs[0], node.outputs[0]
    stored = integer_weight(w, f"{result}_weight", weight, w.program.type(node.inputs[1]).dtype)
    scale, zero = _scale_inputs(w, scales)
    inputs = [w.value(source), w.scale_of(source), w.zero_of(source), stored, scale, zero]
    inputs += [w.scale_of(result), w.zero_of(result)]
    if bias is not None:
        inputs.append(w.initializer(f"{result}_bias", bias))
    w.emit(
        "QLinearConv",
        inputs,
        name=result,
        out=out,
        kernel_shape=list(weight.shape[2:]),
        pads=list(pads),
        strides=list(stride),
        dilations=list(dilation),
        group=groups,
    )


def bias_of(w: GraphWriter, node: Node) -> Array | None:
    """The stored int32 bias, if any."""
    return w.program.constants[node.inputs[2]] if len(node.inputs) > 2 else None


def conv2d(w: GraphWriter, node: Node) -> None:
    """QLinearConv, or Conv."""
    attrs, written = node.attrs, target(w, node)
    if is_integer(w, node):
        qlinear_conv(
            w,
            node,
            weight_of(w, node),
            weight_scales(w, node),
            bias_of(w, node),
            out=written,
            pads=attrs["pads"],
            stride=attrs["stride"],
            dilation=attrs["dilation"],
            groups=attrs["groups"],
        )
    else:
        w.emit(
            "Conv",
            [real_value(w, name) for name in node.inputs],
            name=node.outputs[0],
            out=written,
            kernel_shape=list(w.program.type(node.inputs[1]).shape[2:]),
            pads=list(attrs["pads"]),
            strides=list(attrs["stride"]),
            dilations=list(attrs["dilation"]),
            group=attrs["groups"],
        )
    finish(w, node, written)


def linear(w: GraphWriter, node: Node) -> None:
    """QGemm, or Gemm (MatMul and Add above rank 2)."""
    written = target(w, node)
    if is_integer(w, node):
        _qgemm(w, node, written)
    elif len(w.program.type(node.inputs[0]).shape) == 2:
        inputs = [real_value(w, name) for name in node.inputs]
        w.emit("Gemm", inputs, name=node.outputs[0], out=written, transB=1)
    else:
        _float_matmul(w, node, written)
    finish(w, node, written)


def _qgemm(w: GraphWriter, node: Node, written: str) -> None:
    source, result = node.inputs[0], node.outputs[0]
    shape, out_shape = w.program.type(source).shape, w.program.type(result).shape
    flat = len(shape) == 2
    weight = np.ascontiguousarray(weight_of(w, node).T)
    scale, zero = _scale_inputs(w, weight_scales(w, node))
    x = w.value(source)
    if not flat:
        x = w.emit("Reshape", [x, w.int64([-1, shape[-1]])], name=result)
    bias = bias_of(w, node)
    inputs = [
        x,
        w.scale_of(source),
        w.zero_of(source),
        integer_weight(w, f"{result}_weight", weight, w.program.type(node.inputs[1]).dtype),
        scale,
        zero,
    ]
    inputs += ["" if bias is None else w.initializer(f"{result}_bias", bias)]
    inputs += [w.scale_of(result), w.zero_of(result)]
    out = w.emit("QGemm", inputs, name=result, out=written if flat else None, domain=MICROSOFT)
    if not flat:
        w.emit("Reshape", [out, w.int64(out_shape)], name=result, out=written)


def _float_matmul(w: GraphWriter, node: Node, written: str) -> None:
    result = node.outputs[0]
    turned = w.emit("Transpose", [real_value(w, node.inputs[1])], name=result, perm=[1, 0])
    has_bias = len(node.inputs) > 2
    inputs = [w.value(node.inputs[0]), turned]
    product = w.emit("MatMul", inputs, name=result, out=None if has_bias else written)
    if has_bias:
        w.emit("Add", [product, real_value(w, node.inputs[2])], name=result, out=written)


def matmul(w: GraphWriter, node: Node) -> None:
    """QLinearMatMul, or MatMul."""
    a, b = node.inputs
    out = node.outputs[0]
    if not is_integer(w, node):
        w.emit("MatMul", [w.value(a), w.value(b)], name=out, out=w.value(out))
        return
    inputs = [w.value(a), w.scale_of(a), w.zero_of(a), w.value(b), w.scale_of(b), w.zero_of(b)]
    w.emit("QLinearMatMul", [*inputs, w.scale_of(out), w.zero_of(out)], name=out, out=w.value(out))
