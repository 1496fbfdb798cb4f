"""The card of LiteRT."""

from __future__ import annotations

from pocketpress.core.advice import (
    is_dilated,
    pads_other_than_zero,
    pads_what_may_be_negative,
    resizes_by_fraction,
    rule,
)
from pocketpress.core.program.ir import Node, Program
from pocketpress.core.program.ops import OPS
from pocketpress.core.target import TargetSpec

_ISLAND = (
    "stored as DEQUANTIZE, the float operator and QUANTIZE, which XNNPACK fuses into one table of 256 "
    "integers, equal to the reference"
)
_OWN_KERNEL = "LiteRT's own integer kernel, with equal integers"
_NO_INT8 = "XNNPACK has no int8 kernel for it in LiteRT"
_LOOP = (
    "WHILE around the operators of one step, which XNNPACK takes; two within each other for long sequences; "
    "gates and states in float"
)

_XNNPACK_POWERS = (-1.0, -0.5, 0.5, 2.0, 3.0)


def _is_rare_power(program: Program, node: Node) -> bool:
    return float(node.attrs["exponent"]) not in _XNNPACK_POWERS


REMARKS: dict[str, str] = {
    "requantize": "through float32, equal unless a code falls on a tie, which lowering reports",
    "conv2d": "a clamp that is no ReLU, ReLU6 or ReLU-N1-1 becomes a table behind the convolution",
    "conv_transpose2d": "groups are written as one dense weight with zeros: equal integers, more arithmetic",
    "dynamic_conv2d": "depthwise ones compute in float on 8-bit weights; a range for every image",
    "dynamic_linear": "a range for every row",
    "matmul": "a zero point other than 0 of the second operand is carried by a product twice as long, its "
    "operands copied outside XNNPACK: equal integers",
    "mean": "equal when no mean falls on a tie: LiteRT rounds those half up",
    "add": "equal with tied scales (input scale = output scale * p/127)",
    "sub": "equal with tied scales (input scale = output scale * p/127)",
    "mul": "equal with a tied output scale",
    "hardswish": _ISLAND,
    "hardsigmoid": _ISLAND,
    "leaky_relu": _ISLAND,
    "elu": f"an int8 kernel for alpha 1; otherwise {_ISLAND}",
    "slice": "a step other than 1 is written as views and plain slices",
    "pad": f"with a value other than 0 {_OWN_KERNEL}",
    "max_pool2d": f"padding that can win against an activation, and dilated windows: {_OWN_KERNEL}",
    "resize_nearest": f"whole factors are written as repeated pixels; other sizes: {_OWN_KERNEL}",
    "pow": "exponents other than -1, -0.5, 0.5, 2 and 3 run outside XNNPACK",
    "layer_norm": "nine float operators",
    **dict.fromkeys(
        (
            "div",
            "minimum",
            "maximum",
            "gelu",
            "exp",
            "log",
            "sqrt",
            "rsqrt",
            "abs",
            "neg",
            "floor",
            "round",
            "sin",
            "cos",
            "prelu",
            "avg_pool2d",
            "softmax",
            "resize_bilinear",
        ),
        _NO_INT8,
    ),
    **dict.fromkeys(("embedding", "cast", "whole", "argmax", "step", "power"), "XNNPACK has none for it"),
    **dict.fromkeys(("gru", "lstm", "rnn"), _LOOP),
}
"""Operator to what is special about it here."""

RULES = (
    rule("max_pool2d", "integer, own kernel", f"dilated windows: {_OWN_KERNEL}", is_dilated),
    rule(
        "max_pool2d",
        "integer, own kernel",
        f"padding that could win against a negative number: {_OWN_KERNEL}",
        pads_what_may_be_negative,
        depends=True,
    ),
    rule("pad", "integer, own kernel", f"a value other than 0: {_OWN_KERNEL}", pads_other_than_zero),
    rule(
        "resize_nearest",
        "integer, own kernel",
        f"a factor that is not whole: {_OWN_KERNEL}",
        resizes_by_fraction,
    ),
    rule(
        "matmul",
        "integer, own kernel",
        "XNNPACK's product wants zero point 0 of the second operand; its operands are copied outside XNNPACK",
        precision="int8",
        depends=True,
    ),
    rule("pow", "float, own kernel", REMARKS["pow"], _is_rare_power),
    rule("gru lstm rnn", "float, loop", _LOOP),
    rule("embedding cast whole argmax step power", "float, own kernel", "XNNPACK has none for it"),
)

_FLOAT_ONLY = frozenset(name for name, spec in OPS.items() if spec.integer == "float")

SPEC = TargetSpec(
    name="litert",
    title="LiteRT (TensorFlow Lite)",
    suffix=".tflite",
    package="pocketpress.targets.litert",
    requires=("ai_edge_litert", "flatbuffers"),
    groups=("android", "ios"),
    precisions=("fp32", "fp16", "w8a8-static", "w8-dynamic", "w8a16", "w4a8"),
    stores=("w8", "w8-block", "w4", "w4-block", "palette"),
    float_ops=frozenset(OPS) - {"quantize", "dequantize", "requantize"},
    integer_ops=frozenset(OPS) - _FLOAT_ONLY,
    remarks=REMARKS,
    rules=RULES,
)
