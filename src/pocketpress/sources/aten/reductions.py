"""Pooling, means, sums and softmax."""

from __future__ import annotations

import operator

import numpy as np

from pocketpress.sources.aten.bound import Bound, axis_of, pair
from pocketpress.sources.aten.elementwise import emit_binary


def _pool_pads(
    b: Bound, x: str, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Pads that give the shape torch computed: ceil_mode grows the bottom and right."""
    h, w = pair(b["padding"])
    size, out = b.shape(x), b.out_shape
    need = [
        (out[2 + i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 - size[2 + i] - (h, w)[i]
        for i in range(2)
    ]
    return (h, w, max(need[0], 0), max(need[1], 0))


def max_pool2d(b: Bound) -> str:
    """aten::max_pool2d, ceil_mode included."""
    kernel = pair(b["kernel_size"])
    stride = pair(b["stride"]) if b["stride"] else kernel
    dilation, x = pair(b["dilation"]), b.activation()
    pads = _pool_pads(b, x, kernel, stride, dilation)
    return b.emit("max_pool2d", [x], b.out_shape, kernel=kernel, stride=stride, pads=pads, dilation=dilation)


def max_pool2d_with_indices(b: Bound) -> tuple[str, None]:
    """The decomposed form; its indices are not available."""
    if any(user.args[1] == 1 and user.users for user in b.node.users if user.target is operator.getitem):
        raise b.refuse(
            "indices of max pooling, which no runtime has", "upsample by nearest or a transposed convolution"
        )
    return max_pool2d(b), None


def avg_pool2d(b: Bound) -> str:
    """aten::avg_pool2d."""
    kernel = pair(b["kernel_size"])
    stride = pair(b["stride"]) if b["stride"] else kernel
    x = b.activation()
    if b["ceil_mode"] or b["divisor_override"]:
        raise b.refuse("avg_pool2d with ceil_mode or divisor_override")
    h, w = pair(b["padding"])
    return b.emit(
        "avg_pool2d",
        [x],
        b.out_shape,
        kernel=kernel,
        stride=stride,
        pads=(h, w, h, w),
        count_include_pad=bool(b["count_include_pad"]),
    )


def adaptive_avg_pool2d(b: Bound) -> str:
    """To 1x1 a mean; otherwise windows when the sizes divide."""
    x, out = b.activation(), b.out_shape
    h, w = b.shape(x)[2:]
    if out[2:] == (1, 1):
        return b.emit("mean", [x], out, axes=(2, 3), keepdims=True)
    if h % out[2] or w % out[3]:
        raise b.refuse(f"adaptive pooling from {h}x{w} to {out[2]}x{out[3]} has uneven windows")
    kernel = (h // out[2], w // out[3])
    return b.emit(
        "avg_pool2d", [x], out, kernel=kernel, stride=kernel, pads=(0, 0, 0, 0), count_include_pad=True
    )


def mean(b: Bound) -> str:
    """aten::mean over some or all axes."""
    x = b.activation()
    rank = len(b.shape(x))
    dims = b.args.get("dim")
    dims = dims if dims else list(range(rank))
    axes = tuple(sorted(axis_of(d, rank) for d in dims))
    return b.emit("mean", [x], b.out_shape, axes=axes, keepdims=bool(b.args.get("keepdim")))


def sum_(b: Bound) -> str:
    """aten::sum as a mean times the count."""
    x = b.activation()
    shape = b.shape(x)
    dims = b.args.get("dim")
    dims = dims if dims else list(range(len(shape)))
    axes = tuple(sorted(axis_of(d, len(shape)) for d in dims))
    average = b.emit("mean", [x], b.out_shape, last=False, axes=axes, keepdims=bool(b.args.get("keepdim")))
    return emit_binary(b, "mul", average, float(np.prod([shape[a] for a in axes])))


def softmax(b: Bound) -> str:
    """aten::softmax."""
    x = b.activation()
    return b.emit("softmax", [x], b.out_shape, axis=axis_of(int(b["dim"]), len(b.out_shape)))


def log_softmax(b: Bound) -> str:
    """log(softmax(x))."""
    x = b.activation()
    axis = axis_of(int(b["dim"]), len(b.out_shape))
    share = b.emit("softmax", [x], b.out_shape, last=False, axis=axis)
    return b.emit("log", [share], b.out_shape)


HANDLERS = {
    "aten::max_pool2d": max_pool2d,
    "aten::max_pool2d_with_indices": max_pool2d_with_indices,
    "aten::avg_pool2d": avg_pool2d,
    "aten::adaptive_avg_pool2d": adaptive_avg_pool2d,
    "aten::_adaptive_avg_pool2d": adaptive_avg_pool2d,
    "aten::mean": mean,
    "aten::sum": sum_,
    "aten::softmax": softmax,
    "aten::_softmax": softmax,
    "aten::log_softmax": log_softmax,
    "aten::_log_softmax": log_softmax,
}
