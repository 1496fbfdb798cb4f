"""The card of the ONNX Runtime target."""

from __future__ import annotations

from pocketpress.core.advice import rule
from pocketpress.core.target import TargetSpec

_INTEGER = (
    "quantize dequantize requantize conv2d conv_transpose2d linear matmul add sub mul clamp sigmoid tanh "
    "hardsigmoid leaky_relu hardswish elu mean max_pool2d concat reshape permute slice pad resize_nearest"
)
_FLOAT = (
    "conv2d conv_transpose2d linear matmul add sub mul div minimum maximum pow clamp sigmoid tanh hardswish "
    "hardsigmoid leaky_relu elu gelu exp log sqrt rsqrt abs neg power step floor round sin cos prelu "
    "max_pool2d avg_pool2d mean softmax layer_norm concat reshape permute slice pad resize_nearest "
    "resize_bilinear dynamic_conv2d dynamic_linear embedding cast whole argmax gru lstm rnn"
)

_ISLAND = "a float island, whose 256 results are the reference's integers"

RULES = (
    rule("elu", "float", f"no integer kernel: {_ISLAND}", precision="int8"),
    rule(
        "hardswish",
        "float",
        f"{_ISLAND}, unless 3 is a whole number of input steps",
        precision="int8",
        depends=True,
    ),
    rule(
        "tanh hardsigmoid leaky_relu sigmoid",
        "float",
        f"{_ISLAND}, where scales keep the integer kernel from equal results",
        precision="int8",
        depends=True,
    ),
)

SPEC = TargetSpec(
    name="onnxruntime",
    title="ONNX Runtime (mobile)",
    suffix=".onnx",
    package="pocketpress.targets.onnxruntime",
    requires=("onnx", "onnxruntime"),
    runs_with=("onnxruntime",),
    groups=("android", "ios"),
    precisions=("fp32", "fp16", "w8a8-static", "w4a8", "w8-dynamic"),
    stores=("w8", "w8-block", "w4", "w4-block", "palette", "w8a16"),
    float_ops=frozenset(_FLOAT.split()),
    integer_ops=frozenset(_INTEGER.split()),
    remarks={
        **dict.fromkeys(
            ("gru", "lstm", "rnn"),
            "the runtime's own operator, the linear layer before it included; a Scan over one step where the "
            "state is rounded, projected, or the cells are read",
        ),
        "hardswish": "Clip and QLinearMul where 3 is a whole number of input steps and -3 lies in the range; "
        "else a float island whose 256 results are the reference's integers",
        "elu": "no integer kernel: a float island whose 256 results are the reference's integers",
        "conv_transpose2d": "no integer kernel: an equal QLinearConv over sub-pixels, then an interleave",
        "dynamic_conv2d": "ConvInteger; grouped, small and batched ones, where it is slower than the float "
        "kernel or has one range for all images, in float on int8 weights decoded at load time",
        "dynamic_linear": "DynamicQuantizeMatMul, or MatMulInteger with a range per row; few weights times "
        "several rows, where that is slower, in float on int8 weights decoded at load time",
    },
    rules=RULES,
)
