"""Convolutions and matrix products.  Weights: conv OHWI, depthwise 1HWO, transposed OHWI, linear OI."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pocketpress.core.program import Node, Quantization, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.targets.litert import activation
from pocketpress.targets.litert.emission import Emission
from pocketpress.targets.litert.padding import SAME, VALID, Window, padded


def conv2d(e: Emission, node: Node) -> None:
    """CONV_2D (grouped ones too) or DEPTHWISE_CONV_2D."""
    image, result = e.in_type(node).shape, e.out_type(node).shape
    weight = e.value(node.inputs[1])
    groups = int(node.attrs["groups"])
    depthwise = groups > 1 and weight.shape[1] == 1
    window = Window(
        (image[1], image[2]),
        (result[1], result[2]),
        weight.shape[2:],
        tuple(node.attrs["stride"]),
        tuple(node.attrs["dilation"]),
        tuple(node.attrs["pads"]),
    )
    source, padding = padded(e, node, window)
    filters = _filters(e, node, (1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
    written, fused, rest = activation.finish(e, node, node.attrs["clamp"])
    options: dict[str, Any] = {
        "padding": padding,
        "strideH": window.stride[0],
        "strideW": window.stride[1],
        "dilationHFactor": window.dilation[0],
        "dilationWFactor": window.dilation[1],
        "fusedActivationFunction": fused,
    }
    inputs = [source, filters, _bias(e, node, weight.shape[0])]
    if depthwise:
        multiplier = weight.shape[0] // groups
        e.graph.operator(
            "DEPTHWISE_CONV_2D",
            inputs,
            [written],
            schema.DepthwiseConv2DOptionsT(depthMultiplier=multiplier, **options),
        )
    else:
        e.graph.operator("CONV_2D", inputs, [written], schema.Conv2DOptionsT(**options))
    activation.clamp_after(e, node, written, rest)


def conv_transpose2d(e: Emission, node: Node) -> None:
    """TRANSPOSE_CONV with SAME where that cuts the same rows, else VALID and a SLICE."""
    weight, quant = _dense_transposed(e, node)
    name = node.inputs[1]
    filters = e.constant(f"{name}:ohwi", np.ascontiguousarray(np.transpose(weight, (1, 2, 3, 0))), quant)
    geometry = _Transposed.of(e, node, (weight.shape[2], weight.shape[3]))
    written, fused, rest = activation.finish(e, node, node.attrs["clamp"])
    batch, rows, cols, channels = e.out_type(node).shape
    full = TensorType((batch, *geometry.full, channels), e.out_type(node).dtype, e.out_type(node).quant)
    target = written if geometry.same else e.scratch(node, "full", full)
    shape = (batch, rows, cols, channels) if geometry.same else full.shape
    e.graph.operator(
        "TRANSPOSE_CONV",
        [e.graph.integers("shape", shape), filters, e.index(node.inputs[0]), _bias(e, node, channels)],
        [target],
        schema.TransposeConvOptionsT(
            padding=SAME if geometry.same else VALID,
            strideH=geometry.stride[0],
            strideW=geometry.stride[1],
            fusedActivationFunction=fused,
        ),
    )
    if not geometry.same:
        begin = e.graph.integers("begin", (0, geometry.cut[0], geometry.cut[1], 0))
        sizes = e.graph.integers("shape", (batch, rows, cols, channels))
        e.graph.operator("SLICE", [target, begin, sizes], [written])
    activation.clamp_after(e, node, written, rest)


class _Transposed:
    """Geometry of a transposed convolution: full result, what is cut from it, whether SAME does that."""

    def __init__(self, full: tuple[int, int], cut: tuple[int, int], stride: tuple[int, int], same: bool):
        self.full, self.cut, self.stride, self.same = full, cut, stride, same

    @classmethod
    def of(cls, e: Emission, node: Node, kernel: tuple[int, int]) -> _Transposed:
        image, result = e.in_type(node).shape[1:3], e.out_type(node).shape[1:3]
        stride = tuple(int(s) for s in node.attrs["stride"])
        pads = tuple(int(p) for p in node.attrs["pads"])
        natural = [(image[i] - 1) * stride[i] + kernel[i] for i in (0, 1)]
        full = [max(natural[i], pads[i] + result[i]) for i in (0, 1)]
        same = all(
            result[i] == image[i] * stride[i]
            and kernel[i] >= stride[i]
            and (natural[i] - result[i]) // 2 == pads[i]
            for i in (0, 1)
        )
        return cls((full[0], full[1]), (pads[0], pads[1]), (stride[0], stride[1]), same)


def _dense_transposed(e: Emission, node: Node) -> tuple[Array, Quantization | None]:
    """IOHW weight of one group: other groups' channels get weight 0, for TRANSPOSE_CONV knows no groups."""
    weight, groups = e.value(node.inputs[1]), int(node.attrs["groups"])
    quant = e.program.type(node.inputs[1]).quant
    if quant is not None and quant.axis is not None:
        quant = replace(quant, axis=0)
    if groups == 1:
        return weight, quant
    inputs, outputs, *kernel = weight.shape
    dense = np.zeros((inputs, outputs * groups, *kernel), weight.dtype)
    share = inputs // groups
    for g in range(groups):
        rows = slice(g * share, (g + 1) * share)
        dense[rows, g * outputs : (g + 1) * outputs] = weight[rows]
    return dense, quant


def linear(e: Emission, node: Node) -> None:
    """FULLY_CONNECTED over the last axis."""
    written, fused, rest = activation.finish(e, node, node.attrs["clamp"])
    inputs = [e.index(node.inputs[0]), e.index(node.inputs[1])]
    outputs = e.program.type(node.inputs[1]).shape[0]
    inputs.append(_bias(e, node, outputs))
    keep = len(e.in_type(node).shape) != 2
    options = schema.FullyConnectedOptionsT(fusedActivationFunction=fused, keepNumDims=keep)
    e.graph.operator("FULLY_CONNECTED", inputs, [written], options)
    activation.clamp_after(e, node, written, rest)


def matmul(e: Emission, node: Node) -> None:
    """BATCH_MATMUL of two activations."""
    e.graph.operator("BATCH_MATMUL", e.inputs(node), [e.out(node)], schema.BatchMatMulOptionsT())


def _filters(e: Emission, node: Node, order: tuple[int, ...]) -> int:
    """The weight transposed to ``order``; its channel axis moves along."""
    name = node.inputs[1]
    quant = e.program.type(name).quant
    if quant is not None and quant.axis is not None:
        quant = replace(quant, axis=order.index(quant.axis))
    value = np.ascontiguousarray(np.transpose(e.value(name), order))
    return e.constant(f"{name}:{''.join('OIHW'[a] for a in order)}", value, quant)


def _bias(e: Emission, node: Node, channels: int) -> int:
    """The bias as given, or zeros (XNNPACK takes no convolution without one)."""
    if len(node.inputs) > 2:
        return e.index(node.inputs[2])
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
    "conv_transpose2d": conv_transpose2d,
    "linear": linear,
    "matmul": matmul,
}
