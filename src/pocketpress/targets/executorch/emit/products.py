"""Convolutions and matrix products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pocketpress.core.program.decode import decode
from pocketpress.core.program.ir import Array
from pocketpress.targets.executorch.emit.filters import Form, float_bias, form_of, integer_bias, is_depthwise
from pocketpress.targets.executorch.emit.rows import conv2d_rows, conv_transpose2d_rows, linear_rows
from pocketpress.targets.executorch.emit.site import Emitter, Site
from pocketpress.targets.executorch.graph import FP16, FP32, QCINT8


def conv2d(site: Site) -> None:
    """Convolution; depthwise ones take the kernel that wants the channels last."""
    form = form_of(site.graph.program, site.node)
    if form is Form.ROWS:
        conv2d_rows(site)
        return
    weight = site.constant(1)
    groups = int(site.attr("groups"))
    out_channels, group_inputs, height, width = weight.shape
    depthwise = is_depthwise(site.graph.program, site.node)
    order = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
    top, left, bottom, right = site.attr("pads")
    _product(
        site,
        form,
        "XNNDepthwiseConv2d" if depthwise else "XNNConv2d",
        lambda values: values.transpose(order),
        channel_dim=3 if depthwise else 0,
        channels=out_channels,
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
    )


def conv_transpose2d(site: Site) -> None:
    """Transposed convolution; XNNPACK's filter is (groups * O, kh, kw, I per group)."""
    form = form_of(site.graph.program, site.node)
    if form is Form.ROWS:
        conv_transpose2d_rows(site)
        return
    groups = int(site.attr("groups"))
    inputs, group_outputs, height, width = site.constant(1).shape

    def layout(values: Array) -> Array:
        split = values.reshape(groups, inputs // groups, group_outputs, height, width)
        return split.transpose(0, 2, 3, 4, 1).reshape(groups * group_outputs, height, width, inputs // groups)

    top, left, bottom, right = site.attr("pads")
    grow_h, grow_w = site.attr("output_padding")
    _product(
        site,
        form,
        "XNNConvTranspose2d",
        layout,
        channel_dim=0,
        channels=groups * group_outputs,
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
    )


def linear(site: Site) -> None:
    """Fully connected layer over the last axis."""
    if not site.graph.program.is_constant(site.node.inputs[1]):
        raise site.unsupported("the weight is not a constant", "use torch.matmul for two activations")
    form = form_of(site.graph.program, site.node)
    if form is Form.ROWS:
        linear_rows(site)
        return
    channels = site.constant(1).shape[0]
    _product(site, form, "XNNFullyConnected", lambda values: values, channel_dim=0, channels=channels)


def matmul(site: Site) -> None:
    """Batched product of two activations."""
    site.binary("XNNBatchMatrixMultiply", site.value(0), site.value(1), site.out_type, site.out)


def _product(
    site: Site,
    form: Form,
    member: str,
    layout: Callable[[Array], Array],
    *,
    channel_dim: int,
    channels: int,
    **fields: Any,
) -> None:
    """Append the operator with its filter and bias.

    Args:
        site: the node.
        form: of the filter, any but rows.
        member: XNNPACK's operator.
        layout: brings the program's weight into XNNPACK's order.
        channel_dim: axis of the output channels in that order.
        channels: their number.
        fields: of the operator.
    """
    weight, bias = site.constant(1), site.constant(2) if len(site.node.inputs) > 2 else None
    limits, value, out = site.limits(site.attr("clamp")), site.value(0), site.out
    if site.quantized:
        if site.type(1).quant is None or weight.dtype != np.int8:
            raise site.unsupported("integer activations with float weights")
        scales = _scales(site, channels)
        filter_id = site.graph.packed(layout(weight), QCINT8, scales, channel_dim)
        bias_id = integer_bias(site, bias, scales)
    elif form is Form.DYNAMIC:
        value = _quantized_rows(site)
        filter_id = site.graph.packed(layout(weight), QCINT8, _scales(site, channels), channel_dim)
        bias_id = float_bias(site, bias)
    elif form is Form.WHOLE_HALVES:
        scales = _scales(site, channels)
        filter_id = site.graph.packed(layout(weight).astype(np.float16), FP16)
        bias_id = float_bias(site, None if bias is None else bias / scales)
        out = site.graph.new(site.out_type)
    else:
        real = weight if weight.dtype == np.float16 else decode(weight, site.type(1))
        filter_id = site.graph.packed(layout(real), FP16 if real.dtype == np.float16 else FP32)
        bias_id = float_bias(site, bias)
    scaled = form is Form.WHOLE_HALVES
    site.graph.node(
        member,
        limits=None if scaled else limits,
        **fields,
        input1_id=value,
        filter_id=filter_id,
        bias_id=bias_id,
        output_id=out,
    )
    if scaled:
        factors = site.graph.constant(_scales(site, channels))
        site.graph.node("XNNMultiply", limits=limits, input1_id=out, input2_id=factors, output_id=site.out)


def _scales(site: Site, channels: int) -> Array:
    """One scale per output channel, also where groups or all channels share them."""
    held = site.quant(1).scales()
    return np.tile(held, channels // len(held))


def _quantized_rows(site: Site) -> int:
    """The input as 8-bit integers with a range per row, or per image."""
    type_ = site.type(0)
    value = site.graph.row_quantized(type_.shape, 1 if site.node.op == "dynamic_linear" else 3)
    site.graph.node("XNNConvert", input_id=site.value(0), output_id=value)
    return value


EMITTERS: dict[str, Emitter] = {
    "conv2d": conv2d,
    "dynamic_conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "linear": linear,
    "dynamic_linear": linear,
    "matmul": matmul,
}
