"""Convolutions and matrix products."""

from __future__ import annotations

import numpy as np

from pocketpress.core.program import Node
from pocketpress.targets.coreml.emission import Emission, Handler
from pocketpress.targets.coreml.graph import Value

_LINEAR_RANK = 3
"""Most axes of the input of ``linear``."""


def conv2d(e: Emission, node: Node) -> Value:
    """``conv`` with explicit padding."""
    top, left, bottom, right = node.attrs["pads"]
    return e.graph.op(
        "conv",
        e.shape(node),
        x=e.x(node),
        weight=e.x(node, 1),
        bias=_bias(e, node),
        strides=[*node.attrs["stride"]],
        pad_type="custom",
        pad=[top, bottom, left, right],
        dilations=[*node.attrs["dilation"]],
        groups=int(node.attrs["groups"]),
    )


def conv_transpose2d(e: Emission, node: Node) -> Value:
    """``conv_transpose``; what the full result lacks at its end is filled with the bias."""
    top, left, bottom, right = node.attrs["pads"]
    grow_h, grow_w = node.attrs["output_padding"]
    cut_h, cut_w = bottom - grow_h, right - grow_w
    more_h, more_w = max(0, -cut_h), max(0, -cut_w)
    batch, channels, height, width = e.shape(node)
    grows = more_h > 0 or more_w > 0
    out = e.graph.op(
        "conv_transpose",
        (batch, channels, height - more_h, width - more_w),
        x=e.x(node),
        weight=e.x(node, 1),
        bias=None if grows else _bias(e, node),
        strides=[*node.attrs["stride"]],
        pad_type="custom",
        pad=[top, max(0, cut_h), left, max(0, cut_w)],
        dilations=[1, 1],
        groups=int(node.attrs["groups"]),
    )
    if not grows:
        return out
    pad = [0, 0, 0, 0, 0, more_h, 0, more_w]
    out = e.graph.op("pad", e.shape(node), x=out, pad=pad, mode="constant", constant_val=0.0)
    if len(node.inputs) > 2:
        bias = np.ascontiguousarray(_bias_array(e, node).reshape(1, -1, 1, 1))
        out = e.graph.op("add", e.shape(node), x=out, y=bias)
    return out


def linear(e: Emission, node: Node) -> Value:
    """``linear``; of inputs with more axes than it takes, a matrix product."""
    x, weight = e.x(node), e.x(node, 1)
    if len(x.shape) <= _LINEAR_RANK:
        bias = _bias(e, node) or e.graph.constant(np.zeros(weight.shape[0], np.float32))
        return e.graph.op("linear", e.shape(node), x=x, weight=weight, bias=bias)
    out = e.graph.op("matmul", e.shape(node), x=x, y=weight, transpose_x=False, transpose_y=True)
    added = _bias(e, node)
    return out if added is None else e.graph.op("add", e.shape(node), x=out, y=added)


def matmul(e: Emission, node: Node) -> Value:
    """``matmul`` of two activations."""
    return e.graph.op(
        "matmul", e.shape(node), x=e.x(node), y=e.x(node, 1), transpose_x=False, transpose_y=False
    )


def _bias(e: Emission, node: Node) -> Value | None:
    return e.x(node, 2) if len(node.inputs) > 2 else None


def _bias_array(e: Emission, node: Node) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.asarray(e.real_constant(node.inputs[2]), dtype=np.float32)


HANDLERS: dict[str, Handler] = {
    "conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "linear": linear,
    "matmul": matmul,
}
