"""Borders between real and integer, arithmetic of two tensors, and functions of one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from pocketpress.core.program.ir import INT8_MAX, INT8_MIN, Array, Quantization
from pocketpress.core.program.tables import integer_table
from pocketpress.targets.executorch.emit.site import Emitter, Site
from pocketpress.targets.executorch.graph import QCINT8, QCINT32
from pocketpress.targets.executorch.spec import LARGEST_POWER


def convert(site: Site) -> None:
    """Quantize and dequantize."""
    site.unary("XNNConvert", site.value(0), site.out_type, site.out)


def _arithmetic(member: str) -> Emitter:
    def emit(site: Site) -> None:
        limits = site.limits(site.node.attrs.get("clamp"))
        site.graph.node(
            member, limits=limits, input1_id=site.value(0), input2_id=site.value(1), output_id=site.out
        )

    return emit


def _function(member: str) -> Emitter:
    def emit(site: Site) -> None:
        site.unary(member, site.value(0), site.out_type, site.out)

    return emit


def clamp(site: Site) -> None:
    """Clamp; without effect it is a copy."""
    limits = site.limits((site.attr("low"), site.attr("high")))
    if limits is None:
        site.unary("XNNCopy", site.value(0), site.out_type, site.out)
        return
    site.graph.node("XNNClamp", limits=limits, input_id=site.value(0), output_id=site.out)


def leaky_relu(site: Site) -> None:
    """Leaky ReLU; in integers a PReLU of one slope.

    XNNPACK's int8 leaky ReLU multiplies by an 8-bit fixed-point number, its PReLU by a float32.
    """
    slope = float(site.attr("slope"))
    if site.quantized:
        quant = Quantization.per_tensor(abs(slope) or 1.0)
        held = site.graph.constant(np.asarray([np.sign(slope)], np.int8), quant)
        site.binary("XNNPReLU", site.value(0), held, site.out_type, site.out)
        return
    site.graph.node("XNNLeakyReLU", negative_slope=slope, input_id=site.value(0), output_id=site.out)


def elu(site: Site) -> None:
    """Exponential linear unit."""
    site.graph.node("XNNELU", alpha=float(site.attr("alpha")), input_id=site.value(0), output_id=site.out)


def prelu(site: Site) -> None:
    """Leaky ReLU with a slope per channel; channels are last for rank 4, else the second axis."""
    slope = np.asarray(site.constant(1), dtype=np.float32).reshape(-1)
    rank = len(site.type(0).shape)
    if rank != 4:
        slope = slope.reshape(-1, *[1] * max(0, rank - 2))
    site.binary("XNNPReLU", site.value(0), site.graph.constant(slope), site.out_type, site.out)


def gelu(site: Site) -> None:
    """GELU; the tanh form is written out: ``x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))``."""
    x, real, graph = site.value(0), site.out_type, site.graph
    if site.attr("approximate") != "tanh":
        site.unary("XNNGelu", x, real, site.out)
        return
    cubic = site.binary("XNNMultiply", site.unary("XNNSquare", x, real), graph.scalar(0.044715), real)
    inner = site.binary("XNNMultiply", site.binary("XNNAdd", cubic, graph.scalar(1.0), real), x, real)
    scaled = site.binary("XNNMultiply", inner, graph.scalar(math.sqrt(2 / math.pi)), real)
    gate = site.binary("XNNAdd", site.unary("XNNTanh", scaled, real), graph.scalar(1.0), real)
    half = site.binary("XNNMultiply", x, graph.scalar(0.5), real)
    site.binary("XNNMultiply", half, gate, real, site.out)


def step(site: Site) -> None:
    """``clip(x * largest, 0, 1)``: 1 for every normal number above 0, for XNNPACK has no comparisons."""
    _above_zero(site, site.value(0), site.out)


def _above_zero(site: Site, value: int, target: int | None = None) -> int:
    largest = site.graph.scalar(float(np.finfo(np.float32).max))
    out = site.graph.new(site.out_type) if target is None else target
    site.graph.node("XNNMultiply", limits=(0.0, 1.0), input1_id=value, input2_id=largest, output_id=out)
    return out


def round_(site: Site) -> None:
    """The floor, 1 more where the rest is above a half, or is a half and the floor is odd.

    All steps are exact; XNNPACK rounds only where it makes integers.
    """
    x, real, graph = site.value(0), site.out_type, site.graph
    half, one = graph.scalar(0.5), graph.scalar(1.0)
    below = site.unary("XNNFloor", x, real)
    rest = site.binary("XNNSubtract", site.binary("XNNSubtract", x, below, real), half, real)
    pair = site.unary("XNNFloor", site.binary("XNNMultiply", below, half, real), real)
    odd = site.binary("XNNSubtract", below, site.binary("XNNAdd", pair, pair, real), real)
    tie = site.binary("XNNSubtract", one, _above_zero(site, site.unary("XNNAbs", rest, real)), real)
    more = site.binary("XNNAdd", _above_zero(site, rest), site.binary("XNNMultiply", tie, odd, real), real)
    site.binary("XNNAdd", below, more, real, site.out)


def pow_(site: Site) -> None:
    """Squares and roots are nodes, small integers products, all other powers ``exp(exponent * log(x))``."""
    exponent, x, real = float(site.attr("exponent")), site.value(0), site.out_type
    direct = {1.0: "XNNCopy", 2.0: "XNNSquare", 0.5: "XNNSquareRoot", -0.5: "XNNReciprocalSquareRoot"}
    if exponent in direct:
        site.unary(direct[exponent], x, real, site.out)
    elif not exponent.is_integer():
        scaled = site.binary("XNNMultiply", site.unary("XNNLog", x, real), site.graph.scalar(exponent), real)
        site.unary("XNNExp", scaled, real, site.out)
    elif 1 <= abs(exponent) <= LARGEST_POWER:
        _whole_power(site, int(exponent))
    else:
        raise site.unsupported(f"exponent {exponent}", f"use one of at most {LARGEST_POWER}")


def _whole_power(site: Site, exponent: int) -> None:
    x, real = site.value(0), site.out_type
    power, steps = x, abs(exponent) - 1
    for step in range(steps):
        last = step == steps - 1 and exponent > 0
        power = site.binary("XNNMultiply", power, x, real, site.out if last else None)
    if exponent < 0:
        site.binary("XNNDiv", site.graph.scalar(1.0), power, real, site.out)


def hardsigmoid(site: Site) -> None:
    """``clip(x/6 + 1/2, 0, 1)``; in integers a pointwise depthwise convolution with a fused clamp."""
    if site.quantized:
        _integer_hardsigmoid(site)
        return
    x, real = site.value(0), site.out_type
    sixth = site.binary("XNNMultiply", x, site.graph.scalar(1 / 6), real)
    site.graph.node(
        "XNNAdd",
        limits=(0.0, 1.0),
        input1_id=sixth,
        input2_id=site.graph.scalar(0.5),
        output_id=site.out,
    )


def _integer_hardsigmoid(site: Site) -> None:
    """Weight ``w`` of scale ``1/(6w)`` and bias ``3w/s``: any ``w`` whose 256 results equal the table."""
    channels = site.type(0).shape[-1]
    expected = integer_table("hardsigmoid", {}, site.quant(0), site.out_quant)
    for weight in range(127, 0, -1):
        scale = np.float32(1 / (6 * weight))
        bias = round(3 * weight / float(site.quant(0).step))
        if abs(bias) < 2**30 and (_affine_table(site, weight, scale, bias) == expected).all():
            break
    else:
        raise site.unsupported("a look-up table that XNNPACK cannot reproduce", "leave hardsigmoid in float")
    filter_id = site.graph.packed(
        np.full((1, 1, 1, channels), weight, np.int8), QCINT8, np.full(channels, scale), 3
    )
    bias_id = site.graph.packed(
        np.full(channels, bias, np.int32), QCINT32, np.full(channels, site.quant(0).step * scale)
    )
    _pointwise(site, filter_id, bias_id, channels)


def _pointwise(site: Site, filter_id: int, bias_id: int, channels: int) -> None:
    rows = site.type(0).elements // channels
    flat_in = replace(site.type(0), shape=(1, rows, 1, channels))
    flat_out = replace(site.out_type, shape=(1, rows, 1, channels))
    result = site.graph.new(flat_out)
    one = {"kernel": 1, "subsampling": 1, "dilation": 1}
    site.graph.node(
        "XNNDepthwiseConv2d",
        limits=site.limits((0.0, 1.0)),
        **{f"{name}_{side}": value for name, value in one.items() for side in ("height", "width")},
        group_input_channels=1,
        group_output_channels=1,
        groups=channels,
        input1_id=site.reshape(site.value(0), flat_in),
        filter_id=filter_id,
        bias_id=bias_id,
        output_id=result,
    )
    site.reshape(result, site.out_type, site.out)


def _affine_table(site: Site, weight: int, scale: np.float32, bias: int) -> Array:
    accumulator = (np.arange(INT8_MIN, INT8_MAX + 1) - site.quant(0).zero_point) * weight + bias
    multiplier = site.quant(0).step * scale / site.out_quant.step
    grid = np.rint(accumulator.astype(np.float32) * multiplier) + site.out_quant.zero_point
    inverse = np.float32(1) / site.out_quant.step
    low = max(INT8_MIN, site.out_quant.zero_point)
    high = min(INT8_MAX, int(np.rint(inverse)) + site.out_quant.zero_point)
    return np.asarray(np.clip(grid, low, high).astype(np.int32))


EMITTERS: dict[str, Emitter] = {
    "quantize": convert,
    "dequantize": convert,
    "add": _arithmetic("XNNAdd"),
    "sub": _arithmetic("XNNSubtract"),
    "mul": _arithmetic("XNNMultiply"),
    "div": _arithmetic("XNNDiv"),
    "minimum": _arithmetic("XNNMinimum"),
    "maximum": _arithmetic("XNNMaximum"),
    "pow": pow_,
    "clamp": clamp,
    "sigmoid": _function("XNNSigmoid"),
    "tanh": _function("XNNTanh"),
    "hardswish": _function("XNNHardswish"),
    "hardsigmoid": hardsigmoid,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "gelu": gelu,
    "exp": _function("XNNExp"),
    "log": _function("XNNLog"),
    "sqrt": _function("XNNSquareRoot"),
    "rsqrt": _function("XNNReciprocalSquareRoot"),
    "abs": _function("XNNAbs"),
    "neg": _function("XNNNegate"),
    "step": step,
    "floor": _function("XNNFloor"),
    "round": round_,
    "sin": _function("XNNSin"),
    "cos": _function("XNNCos"),
    "prelu": prelu,
}
