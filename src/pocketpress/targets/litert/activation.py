"""Which fused activation gives exactly the clamp a node asks for, and what to do when none does."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pocketpress.core.program import Node, Quantization, TensorType
from pocketpress.targets.litert.emission import Emission

Clamp = tuple["float | None", "float | None"]

NONE: int = schema.ActivationFunctionType.NONE
_FUSED: dict[int, Clamp] = {
    schema.ActivationFunctionType.RELU: (0.0, None),
    schema.ActivationFunctionType.RELU6: (0.0, 6.0),
    schema.ActivationFunctionType.RELU_N1_TO_1: (-1.0, 1.0),
}
_STANDALONE = {
    schema.ActivationFunctionType.RELU: "RELU",
    schema.ActivationFunctionType.RELU6: "RELU6",
    schema.ActivationFunctionType.RELU_N1_TO_1: "RELU_N1_TO_1",
}


def integer_limits(clamp: Clamp, type_: TensorType) -> tuple[int, int]:
    """The clamp as integers: ``round_half_even(limit * (1/scale)) + zero_point``, within the dtype."""
    quant = _quant(type_)
    inverse = np.float32(1) / quant.step
    low, high = dtype_limits(type_)
    if clamp[0] is not None:
        low = max(low, int(np.rint(np.float32(clamp[0]) * inverse)) + quant.zero_point)
    if clamp[1] is not None:
        high = min(high, int(np.rint(np.float32(clamp[1]) * inverse)) + quant.zero_point)
    return low, max(low, high)


def dtype_limits(type_: TensorType) -> tuple[int, int]:
    """Smallest and largest integer of the tensor's dtype."""
    info = np.iinfo(np.dtype(type_.dtype))
    return int(info.min), int(info.max)


def fused(clamp: Clamp | None, type_: TensorType) -> int | None:
    """The fused activation equal to ``clamp`` here: NONE if saturation does it, None if there is none."""
    if clamp is None or clamp == (None, None):
        return NONE
    if type_.quant is None:
        return next((code for code, limits in _FUSED.items() if limits == clamp), None)
    wanted = integer_limits(clamp, type_)
    if wanted == dtype_limits(type_):
        return NONE
    same = (code for code, limits in _FUSED.items() if _runtime_limits(limits, type_) == {wanted})
    return next(same, None)


def _runtime_limits(limits: Clamp, type_: TensorType) -> set[tuple[int, int]]:
    """What kernels make of an activation: XNNPACK rounds a quotient to even, LiteRT away from 0."""
    quant = _quant(type_)
    floor, ceiling = dtype_limits(type_)

    def both(limit: float | None, default: int) -> tuple[int, int]:
        if limit is None:
            return default, default
        quotient = np.float32(limit) / quant.step
        even, away = int(np.rint(quotient)), int(np.floor(abs(quotient) + 0.5) * np.sign(quotient))
        return (
            int(np.clip(even + quant.zero_point, floor, ceiling)),
            int(np.clip(away + quant.zero_point, floor, ceiling)),
        )

    lows, highs = both(limits[0], floor), both(limits[1], ceiling)
    return {(lows[0], highs[0]), (lows[1], highs[1]), integer_limits(limits, type_)}


def finish(e: Emission, node: Node, clamp: Clamp | None) -> tuple[int, int, Clamp | None]:
    """Where a producer writes and with which activation.

    Returns:
        (tensor to write, fused activation, the clamp that `clamp_after` still has to append).
    """
    type_ = e.out_type(node)
    code = fused(clamp, type_)
    if code is not None:
        return e.out(node), code, None
    return e.scratch("unclamped", type_), NONE, clamp


def clamp_after(e: Emission, node: Node, written: int, clamp: Clamp | None) -> None:
    """Append MAXIMUM and MINIMUM, for XNNPACK in float: a chain from int8 to int8 becomes one table there."""
    if clamp is None:
        return
    type_ = e.out_type(node)
    if type_.quant is None:
        _bound(e, written, e.out(node), clamp)
        return
    real, quant = TensorType(type_.shape), _quant(type_)
    low, high = (float((i - quant.zero_point) * quant.step) for i in integer_limits(clamp, type_))
    wide = e.step("DEQUANTIZE", [written], "unclamped_real", real)
    bounded = e.scratch("clamped_real", real)
    _bound(e, wide, bounded, (low, high))
    e.graph.operator("QUANTIZE", [bounded], [e.out(node)])


def _bound(e: Emission, source: int, target: int, clamp: Clamp) -> None:
    pairs = [
        (code, limit) for code, limit in zip(("MAXIMUM", "MINIMUM"), clamp, strict=True) if limit is not None
    ]
    for position, (code, limit) in enumerate(pairs):
        last = position == len(pairs) - 1
        out = target if last else e.scratch(code.lower(), e.graph.type(target))
        e.graph.operator(code, [source, e.number(limit)], [out])
        source = out


def clamp(e: Emission, node: Node) -> None:
    """A clamp that no producer took along."""
    limits: Clamp = (node.attrs["low"], node.attrs["high"])
    type_, source = e.out_type(node), e.index(node.inputs[0])
    code = fused(limits, type_)
    if code == NONE:
        shape = e.graph.integers("shape", type_.shape)
        e.graph.operator("RESHAPE", [source, shape], [e.out(node)])
    elif code is None:
        clamp_after(e, node, source, limits)
    elif type_.quant is not None and len(type_.shape) == 4:
        one_pixel = schema.Pool2DOptionsT(
            padding=schema.Padding.VALID,
            strideW=1,
            strideH=1,
            filterWidth=1,
            filterHeight=1,
            fusedActivationFunction=code,
        )
        e.graph.operator("MAX_POOL_2D", [source], [e.out(node)], one_pixel)
    else:
        e.graph.operator(_STANDALONE[code], [source], [e.out(node)])


def _quant(type_: TensorType) -> Quantization:
    assert type_.quant is not None
    return type_.quant


EMITTERS = {"clamp": clamp}
