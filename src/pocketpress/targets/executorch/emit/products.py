"""Convolutions and matrix products."""

from __future__ import annotations

import numpy as np

from pocketpress.core.program.ir import Array
from pocketpress.targets.executorch.emit.site import Emitter, Site
from pocketpress.targets.executorch.graph import FP16, FP32, INVALID_ID, QCINT8, QCINT32

MAX_MULTIPLIER = 256.0
"""XNNPACK refuses a requantisation multiplier this large (convolution-nhwc.c)."""


def conv2d(site: Site) -> None:
    """Convolution; depthwise ones take the kernel that wants the channels last."""
    weight = site.constant(1)
    groups = int(site.attr("groups"))
    out_channels, group_inputs, height, width = weight.shape
    depthwise = group_inputs == 1 and groups > 1
    if depthwise:
        filter_id, bias_id = _weights(site, weight.transpose(1, 2, 3, 0), 3, out_channels)
    else:
        filter_id, bias_id = _weights(site, weight.transpose(0, 2, 3, 1), 0, out_channels)
    top, left, bottom, right = site.attr("pads")
    site.graph.node(
        "XNNDepthwiseConv2d" if depthwise else "XNNConv2d",
        limits=site.limits(site.attr("clamp")),
        padding_top=top,
        padding_right=right,
        padding_bottom=bottom,
        padding_left=left,
        kernel_height=height,
        kernel_width=width,
        subsampling_height=site.attr("stride")[0],
        subsampling_width=site.attr("stride")[1],
        dilation_height=site.attr("dilation")[0],
        dilation_width=site.attr("dilation")[1],
        group_input_channels=group_inputs,
        group_output_channels=out_channels // groups,
        groups=groups,
        input1_id=site.value(0),
        filter_id=filter_id,
        bias_id=bias_id,
        output_id=site.out,
    )


def conv_transpose2d(site: Site) -> None:
    """Transposed convolution; XNNPACK's filter is (groups * O, kh, kw, I per group)."""
    weight = site.constant(1)
    groups = int(site.attr("groups"))
    inputs, group_outputs, height, width = weight.shape
    layout = weight.reshape(groups, inputs // groups, group_outputs, height, width)
    layout = layout.transpose(0, 2, 3, 4, 1).reshape(groups * group_outputs, height, width, inputs // groups)
    filter_id, bias_id = _weights(site, layout, 0, groups * group_outputs)
    top, left, bottom, right = site.attr("pads")
    grow_h, grow_w = site.attr("output_padding")
    site.graph.node(
        "XNNConvTranspose2d",
        limits=site.limits(site.attr("clamp")),
        padding_top=top,
        padding_right=right,
        padding_bottom=bottom,
        padding_left=left,
        kernel_height=height,
        kernel_width=width,
        subsampling_height=site.attr("stride")[0],
        subsampling_width=site.attr("stride")[1],
        dilation_height=1,
        dilation_width=1,
        group_input_channels=inputs // groups,
        group_output_channels=group_outputs,
        groups=groups,
        adjustment_height=grow_h,
        adjustment_width=grow_w,
        input1_id=site.value(0),
        filter_id=filter_id,
        bias_id=bias_id,
        output_id=site.out,
    )


def linear(site: Site) -> None:
    """Fully connected layer over the last axis."""
    if not site.graph.program.is_constant(site.node.inputs[1]):
        raise site.unsupported("the weight is not a constant", "use torch.matmul for two activations")
    weight = site.constant(1)
    filter_id, bias_id = _weights(site, weight, 0, weight.shape[0])
    site.graph.node(
        "XNNFullyConnected",
        limits=site.limits(site.attr("clamp")),
        input1_id=site.value(0),
        filter_id=filter_id,
        bias_id=bias_id,
        output_id=site.out,
    )


def matmul(site: Site) -> None:
    """Batched product of two activations."""
    site.binary("XNNBatchMatrixMultiply", site.value(0), site.value(1), site.out_type, site.out)


def _weights(site: Site, filter_: Array, channel_dim: int, channels: int) -> tuple[int, int]:
    """Store filter and bias; returns their ids.

    A float16 filter stays float16 in the file; XNNPACK widens it while packing and computes in float32.
    """
    bias = site.constant(2) if len(site.node.inputs) > 2 else None
    if site.quantized:
        return _integer_weights(site, filter_, bias, channel_dim, channels)
    if filter_.dtype == np.float16:
        filter_id = site.graph.packed(filter_, FP16)
    else:
        filter_id = site.graph.packed(filter_.astype(np.float32, copy=False), FP32)
    if bias is None:
        return filter_id, INVALID_ID
    return filter_id, site.graph.packed(bias.astype(np.float32, copy=False), FP32)


def _integer_weights(
    site: Site, filter_: Array, bias: Array | None, channel_dim: int, channels: int
) -> tuple[int, int]:
    """int8 filter and int32 bias, with one scale per output channel even where all are equal."""
    held = site.type(1).quant
    if held is None or filter_.dtype != np.int8:
        raise site.unsupported("integer activations with float weights")
    scales = np.broadcast_to(held.scales(), channels) if len(held.scale) == 1 else held.scales()
    if len(scales) != channels:
        scales = np.tile(scales, channels // len(scales))
    bias_scales = site.quant(0).step * scales
    if float((bias_scales / site.out_quant.step).max()) >= MAX_MULTIPLIER:
        raise site.unsupported(
            f"output scale {site.out_quant.step} too small for its input and weight scales",
            "calibrate with more varied samples",
        )
    filter_id = site.graph.packed(filter_, QCINT8, scales, channel_dim)
    if bias is None:
        return filter_id, INVALID_ID
    return filter_id, site.graph.packed(bias.astype(np.int32, copy=False), QCINT32, bias_scales)


EMITTERS: dict[str, Emitter] = {
    "conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "linear": linear,
    "matmul": matmul,
}
