"""Operators that move or compare values: the same ONNX node for integers and floats."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketpress.core.program import Node
from pocketpress.core.program.ir import Array
from pocketpress.targets.onnxruntime.writer import SHIFT, GraphWriter


def _emit(w: GraphWriter, node: Node, op: str, *extra: str, **attrs: Any) -> None:
    out = node.outputs[0]
    w.emit(op, [w.value(node.inputs[0]), *extra], name=out, out=w.value(out), **attrs)


def max_pool2d(w: GraphWriter, node: Node) -> None:
    """MaxPool, which ignores the padding."""
    a = node.attrs
    _emit(
        w,
        node,
        "MaxPool",
        kernel_shape=list(a["kernel"]),
        pads=list(a["pads"]),
        strides=list(a["stride"]),
        dilations=list(a["dilation"]),
    )


def concat(w: GraphWriter, node: Node) -> None:
    """Concat; scales are tied, so integers are only copied."""
    _emit(w, node, "Concat", *(w.value(n) for n in node.inputs[1:]), axis=node.attrs["axis"])


def reshape(w: GraphWriter, node: Node) -> None:
    """Reshape to the static shape."""
    _emit(w, node, "Reshape", w.int64(w.program.type(node.outputs[0]).shape))


def permute(w: GraphWriter, node: Node) -> None:
    """Transpose."""
    _emit(w, node, "Transpose", perm=list(node.attrs["axes"]))


def slice_(w: GraphWriter, node: Node) -> None:
    """Slice along the axes that are cut."""
    shape, a = w.program.type(node.inputs[0]).shape, node.attrs
    windows = zip(a["starts"], a["sizes"], a["steps"], strict=True)
    cut = [
        (axis, start, start + (size - 1) * step + 1, step)
        for axis, (start, size, step) in enumerate(windows)
        if size != shape[axis]
    ]
    if not cut:
        _emit(w, node, "Identity")
        return
    axes, starts, ends, steps = (w.int64(column) for column in zip(*cut, strict=True))
    _emit(w, node, "Slice", starts, ends, axes, steps)


def pad(w: GraphWriter, node: Node) -> None:
    """Pad with a constant, rounded to the grid when quantised."""
    a, name = node.attrs, node.inputs[0]
    pads = w.int64([*a["before"], *a["after"]])
    _emit(w, node, "Pad", pads, w.shared("pad_value", _pad_value(w, name, a["value"])))


def _pad_value(w: GraphWriter, name: str, value: float) -> Array:
    type_ = w.program.type(name)
    if type_.quant is None:
        return np.asarray(value, np.float32 if type_.dtype == "float32" else type_.dtype)
    shift = SHIFT[type_.dtype]
    grid = int(np.rint(np.float32(value) / type_.quant.step)) + type_.quant.zero_point + shift
    return np.asarray(np.clip(grid, 0, 255), np.uint8)


def resize_nearest(w: GraphWriter, node: Node) -> None:
    """Resize when both factors are whole, else a Gather per axis: Resize computes positions in float."""
    shape, size = w.program.type(node.inputs[0]).shape, node.attrs["size"]
    if all(new % old == 0 for new, old in zip(size, shape[2:], strict=True)):
        sizes = w.int64([*shape[:2], *size])
        mode = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        _emit(w, node, "Resize", "", "", sizes, **mode)
        return
    out, rows, cols = (
        node.outputs[0],
        *(
            w.int64([int(i) * old // new for i in range(new)])
            for new, old in zip(size, shape[2:], strict=True)
        ),
    )
    tall = w.emit("Gather", [w.value(node.inputs[0]), rows], name=out, axis=2)
    w.emit("Gather", [tall, cols], name=out, out=w.value(out), axis=3)
