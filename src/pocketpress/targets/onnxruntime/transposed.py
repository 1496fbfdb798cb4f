"""Transposed convolution; in integers as one convolution over sub-pixels and an interleave, which is equal.

ONNX Runtime has no integer transposed convolution.  Along one axis with stride s and kernel K, output
``y = s*m + r`` is ``sum_t x[m - t] * w[r + s*t]``: for each phase r an ordinary convolution with
``T = ceil(K/s)`` taps.  The s*s phases are s*s groups of output channels of one T x T convolution
(Shi et al. 2016, arXiv:1609.07009); reshape, transpose and slice put them into place.
"""

from __future__ import annotations

import numpy as np

from pocketpress.core.program import Node
from pocketpress.core.program.ir import Array
from pocketpress.targets.onnxruntime.clamps import finish, target
from pocketpress.targets.onnxruntime.constants import real_value
from pocketpress.targets.onnxruntime.products import (
    bias_of,
    is_integer,
    qlinear_conv,
    weight_of,
    weight_scales,
)
from pocketpress.targets.onnxruntime.writer import GraphWriter


def conv_transpose2d(w: GraphWriter, node: Node) -> None:
    """ConvTranspose, or its exact integer equivalent."""
    written = target(w, node)
    if is_integer(w, node):
        _sub_pixels(w, node, written)
    else:
        attrs = node.attrs
        w.emit(
            "ConvTranspose",
            [real_value(w, name) for name in node.inputs],
            name=node.outputs[0],
            out=written,
            kernel_shape=list(w.program.type(node.inputs[1]).shape[2:]),
            pads=list(attrs["pads"]),
            strides=list(attrs["stride"]),
            output_padding=list(attrs["output_padding"]),
            group=attrs["groups"],
        )
    finish(w, node, written)


def phase_weights(weight: Array, stride: tuple[int, int], groups: int) -> Array:
    """IOHW weights of the transposed convolution to OIHW weights of the convolution over phases.

    Args:
        weight: shape (I, O/groups, KH, KW).
        stride: (SH, SW).
        groups: number of groups.

    Returns:
        Shape (O*SH*SW, I/groups, TH, TW); output channel ``(o*SH + rh)*SW + rw`` is phase (rh, rw) of o.
    """
    (sh, sw), (inputs, per_group, kh, kw) = stride, weight.shape
    th, tw = -(-kh // sh), -(-kw // sw)
    padded = np.zeros((inputs, per_group, th * sh, tw * sw), weight.dtype)
    padded[:, :, :kh, :kw] = weight
    taps = padded.reshape(groups, inputs // groups, per_group, th, sh, tw, sw)[:, :, :, ::-1, :, ::-1, :]
    ordered = taps.transpose(0, 2, 4, 6, 1, 3, 5)
    return np.ascontiguousarray(ordered.reshape(groups * per_group * sh * sw, inputs // groups, th, tw))


def _sub_pixels(w: GraphWriter, node: Node, written: str) -> None:
    attrs, out = node.attrs, node.outputs[0]
    (sh, sw), (top, left, _, _) = attrs["stride"], attrs["pads"]
    batch, channels, out_h, out_w = w.program.type(out).shape
    in_h, in_w = w.program.type(node.inputs[0]).shape[2:]
    weight = phase_weights(weight_of(w, node), attrs["stride"], attrs["groups"])
    th, tw = weight.shape[2:]
    rows, cols = -(-(top + out_h) // sh), -(-(left + out_w) // sw)
    scales, bias = weight_scales(w, node), bias_of(w, node)
    stacked = w.unique(f"{out}_phases")
    qlinear_conv(
        w,
        node,
        weight,
        np.repeat(scales, sh * sw) if scales.size > 1 else scales,
        None if bias is None else np.repeat(bias, sh * sw),
        out=stacked,
        pads=(th - 1, tw - 1, rows - in_h, cols - in_w),
        stride=(1, 1),
        dilation=(1, 1),
        groups=attrs["groups"],
    )
    split = w.emit("Reshape", [stacked, w.int64([batch, channels, sh, sw, rows, cols])], name=out)
    mixed = w.emit("Transpose", [split], name=out, perm=[0, 1, 4, 2, 5, 3])
    whole = (rows * sh, cols * sw) == (out_h, out_w) and (top, left) == (0, 0)
    shape = w.int64([batch, channels, rows * sh, cols * sw])
    full = w.emit("Reshape", [mixed, shape], name=out, out=written if whole else None)
    if not whole:
        window = [w.int64([top, left]), w.int64([top + out_h, left + out_w]), w.int64([2, 3])]
        w.emit("Slice", [full, *window], name=out, out=written)
