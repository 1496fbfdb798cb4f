"""Operators that move data."""

from __future__ import annotations

import numpy as np

from pocketpress.core.program import Node
from pocketpress.targets.coreml.emission import INTEGER_LIMITS, Emission, Handler
from pocketpress.targets.coreml.graph import Value


def concat(e: Emission, node: Node) -> Value:
    """``concat``."""
    values = [e.real(name) for name in node.inputs]
    if len(values) == 1:
        return values[0]
    return e.graph.op("concat", e.shape(node), values=values, axis=int(node.attrs["axis"]), interleave=False)


def reshape(e: Emission, node: Node) -> Value:
    """``reshape`` to a static shape."""
    return e.graph.op("reshape", e.shape(node), x=e.x(node), shape=[*e.shape(node)])


def permute(e: Emission, node: Node) -> Value:
    """``transpose``."""
    return e.graph.op("transpose", e.shape(node), x=e.x(node), perm=[*node.attrs["axes"]])


def slice_(e: Emission, node: Node) -> Value:
    """``slice_by_index``."""
    starts, sizes, steps = (node.attrs[key] for key in ("starts", "sizes", "steps"))
    ends = [b + (n - 1) * s + 1 for b, n, s in zip(starts, sizes, steps, strict=True)]
    return e.graph.op(
        "slice_by_index", e.shape(node), x=e.x(node), begin=[*starts], end=ends, stride=[*steps]
    )


def pad(e: Emission, node: Node) -> Value:
    """``pad`` with a constant that the integers can hold."""
    widths = [int(n) for pair in zip(node.attrs["before"], node.attrs["after"], strict=True) for n in pair]
    return e.graph.op(
        "pad", e.shape(node), x=e.x(node), pad=widths, mode="constant", constant_val=_pad_value(e, node)
    )


def _pad_value(e: Emission, node: Node) -> float:
    value, type_ = float(node.attrs["value"]), e.program.type(node.outputs[0])
    if type_.quant is None:
        return value
    low, high = INTEGER_LIMITS[type_.dtype]
    grid = np.rint(np.float32(value) / type_.quant.step) + type_.quant.zero_point
    return float(np.float32(np.clip(grid, low, high) - type_.quant.zero_point) * type_.quant.step)


def embedding(e: Emission, node: Node) -> Value:
    """``gather`` along the rows of the table."""
    index, table = e.x(node), e.x(node, 1)
    return e.graph.op(
        "gather", e.shape(node), x=table, indices=index, axis=0, batch_dims=0, validate_indices=False
    )


def cast(e: Emission, node: Node) -> Value:
    """``cast`` to float32."""
    return e.graph.op("cast", e.shape(node), x=e.x(node), dtype="fp32")


def whole(e: Emission, node: Node) -> Value:
    """``cast`` to int32."""
    return e.graph.op("cast", e.shape(node), "int32", x=e.x(node), dtype="int32")


def resize_nearest(e: Emission, node: Node) -> Value:
    """``upsample_nearest_neighbor`` for whole factors, else rows and columns gathered by index."""
    x, (height, width) = e.x(node), node.attrs["size"]
    batch, channels, rows, columns = x.shape
    if height % rows == 0 and width % columns == 0:
        return e.graph.op(
            "upsample_nearest_neighbor",
            e.shape(node),
            x=x,
            scale_factor_height=height // rows,
            scale_factor_width=width // columns,
        )
    for axis, (size, held) in ((2, (height, rows)), (3, (width, columns))):
        index = (np.arange(size) * held // size).astype(np.int32)
        shape = (batch, channels, height, columns if axis == 2 else width)
        x = e.graph.op("gather", shape, x=x, indices=index, axis=axis, batch_dims=0, validate_indices=False)
    return x


def resize_bilinear(e: Emission, node: Node) -> Value:
    """``resize_bilinear`` with aligned corners or half-pixel centres."""
    height, width = node.attrs["size"]
    mode = "STRICT_ALIGN_CORNERS" if node.attrs["align_corners"] else "UNALIGN_CORNERS"
    return e.graph.op(
        "resize_bilinear",
        e.shape(node),
        x=e.x(node),
        target_size_height=int(height),
        target_size_width=int(width),
        sampling_mode=mode,
    )


HANDLERS: dict[str, Handler] = {
    "embedding": embedding,
    "cast": cast,
    "whole": whole,
    "concat": concat,
    "reshape": reshape,
    "permute": permute,
    "slice": slice_,
    "pad": pad,
    "resize_nearest": resize_nearest,
    "resize_bilinear": resize_bilinear,
}
