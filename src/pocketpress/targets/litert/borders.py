"""Quantize, dequantize and requantize."""

from __future__ import annotations

import numpy as np

from pocketpress.core.program import Node, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.targets.litert.activation import dtype_limits
from pocketpress.targets.litert.emission import Emission


def quantize(e: Emission, node: Node) -> None:
    """QUANTIZE: XNNPACK multiplies by ``1/scale`` in float32 and rounds half to even."""
    e.graph.operator("QUANTIZE", [e.index(node.inputs[0])], [e.out(node)])


def dequantize(e: Emission, node: Node) -> None:
    """DEQUANTIZE."""
    e.graph.operator("DEQUANTIZE", [e.index(node.inputs[0])], [e.out(node)])


def requantize(e: Emission, node: Node) -> None:
    """Through float32, which XNNPACK does exactly; its own requantisation has a multiplier of 8 bits only."""
    source = e.index(node.inputs[0])
    if _is_shift(e.in_type(node), e.out_type(node)):
        e.graph.operator("QUANTIZE", [source], [e.out(node)])
        return
    wide = e.step(node, "DEQUANTIZE", [source], "real", TensorType(e.in_type(node).shape))
    e.graph.operator("QUANTIZE", [wide], [e.out(node)])


def _is_shift(source: TensorType, target: TensorType) -> bool:
    """Whether only the zero point changes: LiteRT's uint8 to int8 QUANTIZE is exact then."""
    assert source.quant is not None and target.quant is not None
    return source.quant.scale == target.quant.scale


def requantized_by_float(source: TensorType, target: TensorType) -> Array:
    """The 256 codes of ``source`` after DEQUANTIZE and QUANTIZE in float32."""
    assert source.quant is not None and target.quant is not None
    low, high = dtype_limits(source)
    real = (np.arange(low, high + 1) - source.quant.zero_point).astype(np.float32) * source.quant.step
    grid = np.rint(real * (np.float32(1) / target.quant.step)) + target.quant.zero_point
    return np.clip(grid, *dtype_limits(target)).astype(target.dtype)


EMITTERS = {"quantize": quantize, "dequantize": dequantize, "requantize": requantize}
