"""Convolutions and matrix products.  Weights: conv OHWI, depthwise 1HWO, linear OI."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pocketpress.core.program import Node, Quantization
from pocketpress.core.target import Skipped
from pocketpress.targets.litert import activation, matrices
from pocketpress.targets.litert.emission import Emission
from pocketpress.targets.litert.padding import Window, padded
from pocketpress.targets.litert.unfold import is_pointwise, unfolded
from pocketpress.targets.litert.weights import Weight, real, stored, transposed, widened

WORTH_UNFOLDING = 4096
"""Packing fewer weights to 4 bits saves less than 2 KB, of which windows take 1.1 KB, and they cost time."""
STRIDED = 3
"""Windows that skip pixels cost so many times as much."""

_FLOAT_DEPTHWISE = "float arithmetic on 8-bit weights: XNNPACK quantises no depthwise image at run time"


def conv2d(e: Emission, node: Node) -> None:
    """CONV_2D (grouped ones too), DEPTHWISE_CONV_2D, or a matrix product where the weight wants one."""
    shape, groups = e.program.type(node.inputs[1]).shape, int(node.attrs["groups"])
    window = conv_window(e, node)
    if groups > 1 and shape[1] == 1:
        _depthwise(e, node, window, shape[0] // groups)
        return
    weight = transposed(e, node.inputs[1], (0, 2, 3, 1))
    worth = 0 if is_pointwise(window) else WORTH_UNFOLDING * (1 if window.stride == (1, 1) else STRIDED)
    if groups == 1 and is_matrix(e, node, weight, worth):
        _as_matrix_product(e, node, window, weight)
        return
    source, padding = padded(e, node, window)
    written, fused, rest = activation.finish(e, node, node.attrs["clamp"])
    inputs = [source, filters(e, node, weight), bias(e, node, shape[0])]
    sums = matrices.bias_type(e, source)
    options = schema.Conv2DOptionsT(
        fusedActivationFunction=fused, quantizedBiasType=sums, **_geometry(window, padding)
    )
    e.graph.operator("CONV_2D", inputs, [written], options)
    activation.clamp_after(e, node, written, rest)


def _depthwise(e: Emission, node: Node, window: Window, multiplier: int) -> None:
    weight = transposed(e, node.inputs[1], (1, 2, 3, 0), channel=3)
    if node.op == "dynamic_conv2d":
        e.skipped.append(Skipped(f"{node.op} {node.name}", _FLOAT_DEPTHWISE))
    source, padding = padded(e, node, window)
    written, fused, rest = activation.finish(e, node, node.attrs["clamp"])
    kernel = real(e, weight) if node.op == "dynamic_conv2d" else filters(e, node, weight)
    inputs = [source, kernel, bias(e, node, weight.value.shape[3])]
    options = schema.DepthwiseConv2DOptionsT(
        depthMultiplier=multiplier, fusedActivationFunction=fused, **_geometry(window, padding)
    )
    e.graph.operator("DEPTHWISE_CONV_2D", inputs, [written], options)
    activation.clamp_after(e, node, written, rest)


def _as_matrix_product(e: Emission, node: Node, window: Window, weight: Weight) -> None:
    source = e.index(node.inputs[0])
    if not is_pointwise(window):
        source = unfolded(e, padded(e, node, window, same=False)[0], window)
    written, fused, rest = activation.finish(e, node, node.attrs["clamp"])
    matrices.multiply(e, source, weight, bias(e, node, weight.value.shape[0]), written, fused)
    activation.clamp_after(e, node, written, rest)


def conv_window(e: Emission, node: Node) -> Window:
    """Geometry of a convolution."""
    image, result = e.in_type(node).shape, e.out_type(node).shape
    kernel = e.program.type(node.inputs[1]).shape
    return Window(
        (image[1], image[2]),
        (result[1], result[2]),
        (kernel[2], kernel[3]),
        tuple(node.attrs["stride"]),
        tuple(node.attrs["dilation"]),
        tuple(node.attrs["pads"]),
    )


def _geometry(window: Window, padding: int) -> dict[str, Any]:
    return {
        "padding": padding,
        "strideH": window.stride[0],
        "strideW": window.stride[1],
        "dilationHFactor": window.dilation[0],
        "dilationWFactor": window.dilation[1],
    }


def linear(e: Emission, node: Node) -> None:
    """FULLY_CONNECTED over the last axis, or a matrix product where the weight wants one."""
    weight = transposed(e, node.inputs[1], (0, 1))
    written, fused, rest = activation.finish(e, node, node.attrs["clamp"])
    source, offset = e.index(node.inputs[0]), bias(e, node, weight.value.shape[0])
    if is_matrix(e, node, weight):
        matrices.multiply(e, source, weight, offset, written, fused)
    else:
        matrices.fully_connected(e, source, filters(e, node, weight), offset, written, fused)
    activation.clamp_after(e, node, written, rest)


def matmul(e: Emission, node: Node) -> None:
    """BATCH_MATMUL of two activations; XNNPACK's int8 product wants zero point 0 of the second."""
    inputs, quant = e.inputs(node), e.in_type(node, 1).quant
    if quant is not None and quant.zero_point != 0 and e.in_type(node, 1).dtype == "int8":
        inputs = _centred(e, inputs[0], inputs[1], quant)
    e.graph.operator("BATCH_MATMUL", inputs, [e.out(node)], schema.BatchMatMulOptionsT())


def _centred(e: Emission, first: int, second: int, quant: Quantization) -> list[int]:
    """``sum (a - za)(b - zb) = sum (a - za) b + sum (a - za)(-zb)``: both sums as one, twice as long.

    The integers b stand for themselves after BITCAST, PADV2 puts ``-zb`` below them (64 twice for 128).
    """
    copies, shift = (1, -quant.zero_point) if quant.zero_point > -128 else (2, 64)
    wide, raw = e.graph.type(first), Quantization.per_tensor(float(quant.step))
    like, inner = replace(e.graph.type(second), quant=raw), wide.shape[-1]
    bits = e.step("BITCAST", [second], "raw", like)
    widths = np.zeros((len(like.shape), 2), np.int32)
    widths[-2, 1] = copies * inner
    bounds = e.graph.integers("paddings", widths)
    value = e.graph.constant("shift", np.asarray(shift, np.int8), raw)
    longer = (1 + copies) * inner
    tall = replace(like, shape=(*like.shape[:-2], longer, like.shape[-1]))
    below = e.step("PADV2", [bits, bounds, value], "shifted", tall)
    options = schema.ConcatenationOptionsT(axis=len(wide.shape) - 1)
    long = replace(wide, shape=(*wide.shape[:-1], longer))
    beside = e.step("CONCATENATION", [first] * (1 + copies), "repeated", long, options)
    return [beside, below]


def is_matrix(e: Emission, node: Node, weight: Weight, worth: int = 0) -> bool:
    """Whether a product runs as one matrix product (`matrices`): XNNPACK packs even numbers of int4.

    Args:
        e: the emission.
        node: the product.
        weight: its weight.
        worth: how many numbers of 4 bits are fewer bytes than what the matrix needs besides them.
    """
    if not weight.is_computed:
        return False
    pays = weight.value.size >= worth
    if e.in_type(node).quant is None:
        return pays or not weight.is_plain
    return pays and math.prod(weight.value.shape[1:]) % 2 == 0


def filters(e: Emission, node: Node, weight: Weight) -> int:
    """The weight for an operator that wants it as a constant; only matrix products read int4."""
    if node.op.startswith("dynamic_"):
        return stored(e, weight)
    if weight.bits is not None and weight.is_plain:
        reason = "weights are stored in 8 bits: no kernel reads them packed, or it would not pay"
        e.skipped.append(Skipped(f"{node.op} {node.name}", reason))
        weight = widened(weight)
    return real(e, weight) if e.in_type(node).quant is None else stored(e, weight)


def bias(e: Emission, node: Node, channels: int) -> int:
    """The bias as given, or zeros (XNNPACK takes no convolution without one)."""
    if len(node.inputs) > 2:
        name = node.inputs[2]
        if not e.program.is_constant(name):
            return e.index(name)
        return e.constant("bias", e.value(name), e.program.type(name).quant)
    quant = e.in_type(node).quant
    if quant is None:
        return e.graph.constant("zero_bias", np.zeros(channels, np.float32))
    weight = e.program.type(node.inputs[1]).quant
    assert weight is not None
    scales = (quant.step * weight.scales()).tolist()
    axis = None if weight.axis is None else 0
    return e.graph.constant("zero_bias", np.zeros(channels, np.int32), Quantization(tuple(scales), 0, axis))


EMITTERS = {
    "conv2d": conv2d,
    "dynamic_conv2d": conv2d,
    "linear": linear,
    "dynamic_linear": linear,
    "matmul": matmul,
}
