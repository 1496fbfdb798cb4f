"""Clamps after an operator: nothing where saturation does it, a Clip otherwise."""

from __future__ import annotations

import numpy as np

from pocketpress.core.program import Node
from pocketpress.targets.onnxruntime.writer import SHIFT, GraphWriter

Clamp = tuple["float | None", "float | None"]


def stored_limits(w: GraphWriter, name: str, clamp: Clamp) -> tuple[int, int]:
    """Real limits as stored integers: ``round_half_even(limit * (1/scale)) + zero_point``, saturated."""
    zero, inverse = w.stored_zero_point(name), np.float32(1) / w.quant(name).step
    low, high = 0, 255
    if clamp[0] is not None:
        low = max(low, int(np.rint(np.float32(clamp[0]) * inverse)) + zero)
    if clamp[1] is not None:
        high = min(high, int(np.rint(np.float32(clamp[1]) * inverse)) + zero)
    return low, max(low, high)


def needs_clip(w: GraphWriter, node: Node) -> bool:
    """Whether the node's clamp is more than what storing the result does anyway."""
    clamp = node.attrs.get("clamp")
    if clamp is None or clamp == (None, None):
        return False
    out = node.outputs[0]
    return w.program.type(out).dtype not in SHIFT or stored_limits(w, out, clamp) != (0, 255)


def target(w: GraphWriter, node: Node) -> str:
    """The name the main ONNX node must write: the output itself, or the input of the Clip after it."""
    out = w.value(node.outputs[0])
    return w.unique(f"{out}_unclamped") if needs_clip(w, node) else out


def finish(w: GraphWriter, node: Node, written: str) -> None:
    """Append the Clip, if `target` announced one."""
    if needs_clip(w, node):
        clip(w, node, written, node.attrs["clamp"])


def clip(w: GraphWriter, node: Node, source: str, clamp: Clamp) -> None:
    """Clamp ``source`` into the node's output: Relu where it is one, else Clip with stored limits."""
    name = node.outputs[0]
    out = w.value(name)
    if w.program.type(name).quant is not None:
        low, high = stored_limits(w, name, clamp)
        limits = [w.shared("limit", np.uint8(low)), w.shared("limit", np.uint8(high))]
        w.emit("Clip", [source, *limits], name=name, out=out)
    elif clamp == (0.0, None):
        w.emit("Relu", [source], name=name, out=out)
    else:
        reals = ["" if v is None else w.shared("limit", np.float32(v)) for v in clamp]
        while reals and not reals[-1]:
            reals.pop()
        w.emit("Clip", [source, *reals], name=name, out=out)
