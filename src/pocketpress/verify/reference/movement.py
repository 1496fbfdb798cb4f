"""Operators that move or compare values and compute nothing: the same code for integers and floats."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from pocketpress.core.program.ir import Array
from pocketpress.verify.reference.context import Context


def max_pool2d(c: Context) -> Array:
    """Maximum over windows; padding never wins."""
    x = torch.from_numpy(np.ascontiguousarray(c.inputs[0])).to(torch.float32)
    top, left, bottom, right = c.attr("pads")
    x = torch.nn.functional.pad(x, (left, right, top, bottom), value=-torch.inf)
    out = torch.nn.functional.max_pool2d(
        x, tuple(c.attr("kernel")), stride=tuple(c.attr("stride")), dilation=tuple(c.attr("dilation"))
    )
    return np.asarray(out.numpy().astype(c.out_type.dtype))


def concat(c: Context) -> Array:
    """Concatenate along an axis."""
    return np.concatenate(c.inputs, axis=c.attr("axis"))


def reshape(c: Context) -> Array:
    """Same elements, new shape."""
    return c.inputs[0].reshape(c.attr("shape"))


def permute(c: Context) -> Array:
    """Reorder axes."""
    return np.transpose(c.inputs[0], c.attr("axes"))


def slice_(c: Context) -> Array:
    """Strided window."""
    starts, sizes, steps = c.attr("starts"), c.attr("sizes"), c.attr("steps")
    window = tuple(slice(b, b + (n - 1) * s + 1, s) for b, n, s in zip(starts, sizes, steps, strict=True))
    return c.inputs[0][window]


def pad(c: Context) -> Array:
    """Constant padding; the value is rounded to the input's grid when quantised."""
    value = c.attr("value")
    quant = c.in_type(0).quant
    if quant is not None:
        low, high = np.iinfo(c.inputs[0].dtype).min, np.iinfo(c.inputs[0].dtype).max
        value = int(np.clip(np.rint(np.float32(value) / quant.step) + quant.zero_point, low, high))
    widths = list(zip(c.attr("before"), c.attr("after"), strict=True))
    return np.pad(c.inputs[0], widths, constant_values=value)


def resize_nearest(c: Context) -> Array:
    """``out[i] = in[floor(i * in_size / out_size)]`` on both image axes."""
    x = c.inputs[0]
    rows, cols = c.attr("size")
    row = np.arange(rows) * x.shape[2] // rows
    col = np.arange(cols) * x.shape[3] // cols
    return x[:, :, row][:, :, :, col]


KERNELS: dict[str, Callable[[Context], Array]] = {
    "max_pool2d": max_pool2d,
    "concat": concat,
    "reshape": reshape,
    "permute": permute,
    "slice": slice_,
    "pad": pad,
    "resize_nearest": resize_nearest,
}
