"""Quantize, dequantize and requantize."""

from __future__ import annotations

import numpy as np

from pocketpress.core.program import Node, Quantization, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.core.target import Skipped
from pocketpress.targets.litert.activation import dtype_limits
from pocketpress.targets.litert.emission import Emission


def quantize(e: Emission, node: Node) -> None:
    """QUANTIZE: XNNPACK multiplies by ``1/scale`` in float32 and rounds half to even."""
    e.graph.operator("QUANTIZE", [e.index(node.inputs[0])], [e.out(node)])


def dequantize(e: Emission, node: Node) -> None:
    """DEQUANTIZE."""
    e.graph.operator("DEQUANTIZE", [e.index(node.inputs[0])], [e.out(node)])


def requantize(e: Emission, node: Node) -> None:
    """Through float32, which XNNPACK makes one table; its int8 conversion has a multiplier of 8 bits."""
    source, before, after = e.index(node.inputs[0]), e.in_type(node), e.out_type(node)
    same_width = (before.dtype == "int16") == (after.dtype == "int16")
    if same_width and _quant(before).scale == _quant(after).scale:
        e.graph.operator("QUANTIZE", [source], [e.out(node)])
        return
    wide = e.step("DEQUANTIZE", [source], "real", TensorType(before.shape))
    e.graph.operator("QUANTIZE", [wide], [e.out(node)])
    if after.dtype == "int16":
        return
    unequal = int(np.count_nonzero(_by_float(before, after) != _by_contract(before, after)))
    if unequal:
        e.skipped.append(
            Skipped(node.name, f"{unequal} of 256 codes are ties that LiteRT rounds the other way")
        )


def _by_float(before: TensorType, after: TensorType) -> Array:
    """All codes of ``before`` as DEQUANTIZE and QUANTIZE map them, in float32."""
    real = _centred_codes(before).astype(np.float32) * _quant(before).step
    return _stored(np.rint(real * (np.float32(1) / _quant(after).step)), after)


def _by_contract(before: TensorType, after: TensorType) -> Array:
    """All codes of ``before`` as the reference maps them: ``round_half_even((q - z) * s_in / s_out)``."""
    ratio = np.float64(_quant(before).step) / np.float64(_quant(after).step)
    return _stored(np.rint(_centred_codes(before) * ratio), after)


def _centred_codes(type_: TensorType) -> Array:
    low, high = dtype_limits(type_)
    return np.arange(low, high + 1) - _quant(type_).zero_point


def _stored(grid: Array, type_: TensorType) -> Array:
    stored: Array = np.clip(grid + _quant(type_).zero_point, *dtype_limits(type_)).astype(type_.dtype)
    return stored


def _quant(type_: TensorType) -> Quantization:
    assert type_.quant is not None
    return type_.quant


EMITTERS = {"quantize": quantize, "dequantize": dequantize, "requantize": requantize}
