"""Which fused activation gives exactly the clamp a node asks for, and what to do when none does."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pocketpress.core.program import Node, Quantization, TensorType
from pocketpress.core.program.ir import Array
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
    """The fused activation equal to ``clamp`` on this output, NONE if saturation does it, None if there is none."""
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
    """What the runtime's kernels make of an activation: XNNPACK multiplies or divides, LiteRT rounds half up."""
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


def finish(e: Emission, node: Node, clamp: Clamp | None) -> tuple[int, int, list[tuple[str, int]]]:
    """Where a producer writes and with which activation; `clamp_after` appends the rest.

    Returns:
        (tensor to write, fused activation, separate operators still to append).
    """
    type_ = e.out_type(node)
    code = fused(clamp, type_)
    if code is not None:
        return e.out(node), code, []
    assert clamp is not None
    return e.scratch(node, "unclamped", type_), NONE, _separate(e, clamp, type_)


def clamp_after(e: Emission, node: Node, written: int, rest: list[tuple[str, int]]) -> None:
    """Append the MAXIMUM and MINIMUM that `finish` found necessary."""
    for position, (code, limit) in enumerate(rest):
        last = position == len(rest) - 1
        out = e.out(node) if last else e.scratch(node, code.lower(), e.out_type(node))
        e.graph.operator(code, [written, limit], [out])
        written = out


def _separate(e: Emission, clamp: Clamp, type_: TensorType) -> list[tuple[str, int]]:
    low, high = clamp
    if type_.quant is not None:
        floor, ceiling = dtype_limits(type_)
        least, most = integer_limits(clamp, type_)
        wanted = [("MAXIMUM", least, least > floor), ("MINIMUM", most, most < ceiling)]
        return [(code, _grid_constant(e, limit, type_)) for code, limit, needed in wanted if needed]
    pairs = [("MAXIMUM", low), ("MINIMUM", high)]
    return [(code, e.number(limit)) for code, limit in pairs if limit is not None]


def _grid_constant(e: Emission, limit: int, type_: TensorType) -> int:
    value: Array = np.asarray(limit, type_.dtype)
    return e.graph.constant(f"limit_{limit}", value, type_.quant)


def clamp(e: Emission, node: Node) -> None:
    """A clamp that no producer took along."""
    limits: Clamp = (node.attrs["low"], node.attrs["high"])
    type_, source = e.out_type(node), e.index(node.inputs[0])
    code = fused(limits, type_)
    if code == NONE:
        shape = e.graph.integers("shape", type_.shape)
        e.graph.operator("RESHAPE", [source, shape], [e.out(node)])
    elif code is None:
        clamp_after(e, node, source, _separate(e, limits, type_))
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
