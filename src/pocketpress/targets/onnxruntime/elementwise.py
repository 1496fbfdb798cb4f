"""Element-by-element arithmetic and reductions."""

from __future__ import annotations

import numpy as np

from pocketpress.core.program import Node
from pocketpress.targets.onnxruntime.clamps import clip, finish, target
from pocketpress.targets.onnxruntime.products import is_integer
from pocketpress.targets.onnxruntime.writer import MICROSOFT, GraphWriter


def add(w: GraphWriter, node: Node) -> None:
    """QLinearAdd, or Add."""
    _binary(w, node, "QLinearAdd", "Add")


def mul(w: GraphWriter, node: Node) -> None:
    """QLinearMul, or Mul."""
    _binary(w, node, "QLinearMul", "Mul")


def _binary(w: GraphWriter, node: Node, integer: str, real: str) -> None:
    (a, b), out, written = node.inputs, node.outputs[0], target(w, node)
    if is_integer(w, node):
        inputs = [w.value(a), w.scale_of(a), w.zero_of(a), w.value(b), w.scale_of(b), w.zero_of(b)]
        w.emit(integer, [*inputs, w.scale_of(out), w.zero_of(out)], name=out, out=written, domain=MICROSOFT)
    else:
        w.emit(real, [w.value(a), w.value(b)], name=out, out=written)
    finish(w, node, written)


def sub(w: GraphWriter, node: Node) -> None:
    """Sub; in integers QLinearAdd of the complement: ``255 - q`` with zero point ``255 - z`` is ``-b``."""
    (a, b), out, written = node.inputs, node.outputs[0], target(w, node)
    if is_integer(w, node):
        negative = w.emit("BitwiseNot", [w.value(b)], name=out)
        inputs = [w.value(a), w.scale_of(a), w.zero_of(a)]
        inputs += [negative, w.scale_of(b), w.zero(255 - w.stored_zero_point(b))]
        w.emit(
            "QLinearAdd", [*inputs, w.scale_of(out), w.zero_of(out)], name=out, out=written, domain=MICROSOFT
        )
    else:
        w.emit("Sub", [w.value(a), w.value(b)], name=out, out=written)
    finish(w, node, written)


def clamp(w: GraphWriter, node: Node) -> None:
    """Clip, on the stored integers or on reals."""
    clip(w, node, w.value(node.inputs[0]), (node.attrs["low"], node.attrs["high"]))


def mean(w: GraphWriter, node: Node) -> None:
    """QLinearGlobalAveragePool over the reduced axes; in float GlobalAveragePool or ReduceMean."""
    source, out = node.inputs[0], node.outputs[0]
    shape, axes = (
        w.program.type(source).shape,
        [int(a) % len(w.program.type(source).shape) for a in node.attrs["axes"]],
    )
    image = len(shape) == 4 and sorted(axes) == [2, 3]
    if is_integer(w, node):
        _integer_mean(w, node, axes, image)
    elif image and node.attrs["keepdims"]:
        w.emit("GlobalAveragePool", [w.value(source)], name=out, out=w.value(out))
    else:
        keep = int(node.attrs["keepdims"])
        w.emit("ReduceMean", [w.value(source), w.int64(axes)], name=out, out=w.value(out), keepdims=keep)


def _integer_mean(w: GraphWriter, node: Node, axes: list[int], image: bool) -> None:
    source, out = node.inputs[0], node.outputs[0]
    shape, out_shape = w.program.type(source).shape, w.program.type(out).shape
    x = w.value(source)
    if not image:
        kept = [a for a in range(len(shape)) if a not in axes]
        order, count = [*kept, *axes], int(np.prod([shape[a] for a in axes]))
        if order != sorted(order):
            x = w.emit("Transpose", [x], name=out, perm=order)
        x = w.emit("Reshape", [x, w.int64([1, -1, count, 1])], name=out)
    same_shape = image and node.attrs["keepdims"]
    inputs = [x, w.scale_of(source), w.zero_of(source), w.scale_of(out), w.zero_of(out)]
    pooled = w.emit(
        "QLinearGlobalAveragePool",
        inputs,
        name=out,
        out=w.value(out) if same_shape else None,
        domain=MICROSOFT,
        channels_last=0,
    )
    if not same_shape:
        w.emit("Reshape", [pooled, w.int64(out_shape)], name=out, out=w.value(out))
