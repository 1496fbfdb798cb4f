"""Operators that are always computed in float."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import TensorProto

from pocketpress.core.program import Node
from pocketpress.targets.onnxruntime.writer import GraphWriter

Translate = Callable[[GraphWriter, Node], None]


def simple(op: str) -> Translate:
    """A translator to one ONNX node with the same inputs and no attributes."""

    def translate(w: GraphWriter, node: Node) -> None:
        out = node.outputs[0]
        w.emit(op, [w.value(name) for name in node.inputs], name=out, out=w.value(out))

    return translate


def pow_(w: GraphWriter, node: Node) -> None:
    """Pow with a constant exponent."""
    out = node.outputs[0]
    exponent = w.shared("exponent", np.float32(node.attrs["exponent"]))
    w.emit("Pow", [w.value(node.inputs[0]), exponent], name=out, out=w.value(out))


def gelu(w: GraphWriter, node: Node) -> None:
    """Gelu, an operator since set 20."""
    w.needs_opset(20)
    out = node.outputs[0]
    w.emit(
        "Gelu", [w.value(node.inputs[0])], name=out, out=w.value(out), approximate=node.attrs["approximate"]
    )


def rsqrt(w: GraphWriter, node: Node) -> None:
    """Reciprocal of Sqrt."""
    out = node.outputs[0]
    root = w.emit("Sqrt", [w.value(node.inputs[0])], name=out)
    w.emit("Reciprocal", [root], name=out, out=w.value(out))


def prelu(w: GraphWriter, node: Node) -> None:
    """PRelu; the slope gets trailing axes of size 1 so that it lies along the channels."""
    x, slope = node.inputs
    out, rank = node.outputs[0], len(w.program.type(node.inputs[0]).shape)
    shape = w.int64([-1, *([1] * (rank - 2))])
    turned = w.emit("Reshape", [w.value(slope), shape], name=out)
    w.emit("PRelu", [w.value(x), turned], name=out, out=w.value(out))


def embedding(w: GraphWriter, node: Node) -> None:
    """Gather along the rows of the table."""
    index, table = (w.value(name) for name in node.inputs)
    out = node.outputs[0]
    w.emit("Gather", [table, index], name=out, out=w.value(out), axis=0)


def cast(w: GraphWriter, node: Node) -> None:
    """Cast to float32."""
    out = node.outputs[0]
    w.emit("Cast", [w.value(node.inputs[0])], name=out, out=w.value(out), to=TensorProto.FLOAT)


def whole(w: GraphWriter, node: Node) -> None:
    """Cast to int32."""
    out = node.outputs[0]
    w.emit("Cast", [w.value(node.inputs[0])], name=out, out=w.value(out), to=TensorProto.INT32)


def argmax(w: GraphWriter, node: Node) -> None:
    """ArgMax, cast to float32."""
    out = node.outputs[0]
    places = w.emit(
        "ArgMax",
        [w.value(node.inputs[0])],
        name=out,
        axis=int(node.attrs["axis"]),
        keepdims=int(bool(node.attrs["keepdims"])),
    )
    w.emit("Cast", [places], name=out, out=w.value(out), to=TensorProto.FLOAT)


def step(w: GraphWriter, node: Node) -> None:
    """Greater than 0, cast to float32."""
    out = node.outputs[0]
    above = w.emit("Greater", [w.value(node.inputs[0]), w.shared("zero", np.float32(0))], name=out)
    w.emit("Cast", [above], name=out, out=w.value(out), to=TensorProto.FLOAT)


def avg_pool2d(w: GraphWriter, node: Node) -> None:
    """AveragePool."""
    a, out = node.attrs, node.outputs[0]
    w.emit(
        "AveragePool",
        [w.value(node.inputs[0])],
        name=out,
        out=w.value(out),
        kernel_shape=list(a["kernel"]),
        pads=list(a["pads"]),
        strides=list(a["stride"]),
        count_include_pad=int(a["count_include_pad"]),
    )


def softmax(w: GraphWriter, node: Node) -> None:
    """Softmax along one axis."""
    out = node.outputs[0]
    w.emit("Softmax", [w.value(node.inputs[0])], name=out, out=w.value(out), axis=node.attrs["axis"])


def layer_norm(w: GraphWriter, node: Node) -> None:
    """LayerNormalization over the trailing axes."""
    out, rank = node.outputs[0], len(w.program.type(node.inputs[0]).shape)
    first = min(int(axis) % rank for axis in node.attrs["axes"])
    w.emit(
        "LayerNormalization",
        [w.value(name) for name in node.inputs],
        name=out,
        out=w.value(out),
        axis=first,
        epsilon=float(node.attrs["eps"]),
    )


def resize_bilinear(w: GraphWriter, node: Node) -> None:
    """Resize, linear; half-pixel centres unless the corners are aligned."""
    out, shape = node.outputs[0], w.program.type(node.inputs[0]).shape
    mode = "align_corners" if node.attrs["align_corners"] else "half_pixel"
    sizes = w.int64([*shape[:2], *node.attrs["size"]])
    w.emit(
        "Resize",
        [w.value(node.inputs[0]), "", "", sizes],
        name=out,
        out=w.value(out),
        mode="linear",
        coordinate_transformation_mode=mode,
    )
