"""The card of the ExecuTorch target.

XNNPACK has neither 16-bit integers (``w8a16``) nor codebooks (``palette``).
"""

from pocketpress.core.advice import has_several_steps, reads_given_indices, reads_moved_indices, rule
from pocketpress.core.program.ir import Node, Program
from pocketpress.core.target import TargetSpec

_KERNEL = (
    "of an input of the network; the portable kernel, before XNNPACK: the app's runtime must hold the "
    "portable operators"
)

_BETWEEN = (
    "the portable kernel, between XNNPACK calls for what lies around it: the app's runtime must hold the "
    "portable operators"
)
_MOVED = "whole numbers of an input that are joined before they are read"

_LOOP = (
    "a loop of the runtime around an XNNPACK call for every step, between calls for what lies around it: the "
    "app's runtime must hold the portable operators; gates and states in float"
)

_FLOAT_OPS = frozenset(
    {
        *("conv2d", "conv_transpose2d", "linear", "matmul", "add", "sub", "mul", "div", "minimum", "maximum"),
        *("pow", "clamp", "sigmoid", "tanh", "hardswish", "hardsigmoid", "leaky_relu", "elu", "gelu", "exp"),
        *(
            "log",
            "sqrt",
            "rsqrt",
            "abs",
            "neg",
            "step",
            "floor",
            "round",
            "sin",
            "cos",
            "prelu",
            "max_pool2d",
            "avg_pool2d",
            "mean",
            "softmax",
        ),
        *("layer_norm", "concat", "reshape", "permute", "slice", "pad", "resize_nearest", "resize_bilinear"),
        *("quantize", "dequantize", "dynamic_conv2d", "dynamic_linear"),
        *("embedding", "cast", "whole", "argmax", "power", "gru", "lstm", "rnn"),
    }
)

_INTEGER_OPS = frozenset(
    {
        *(
            "quantize",
            "dequantize",
            "requantize",
            "conv2d",
            "conv_transpose2d",
            "linear",
            "add",
            "sub",
            "mul",
        ),
        *("clamp", "sigmoid", "tanh", "hardswish", "hardsigmoid", "leaky_relu", "elu", "max_pool2d", "mean"),
        *("concat", "reshape", "permute", "slice", "pad", "resize_nearest"),
    }
)

LARGEST_POWER = 16
"""Of the whole exponents, which are products."""


def _is_large_power(program: Program, node: Node) -> bool:
    exponent = float(node.attrs["exponent"])
    return exponent.is_integer() and (abs(exponent) > LARGEST_POWER or exponent == 0)


def _pads_one_pixel(program: Program, node: Node) -> bool:
    return tuple(node.attrs["kernel"]) == (1, 1) and any(node.attrs["pads"])


RULES = (
    rule("embedding cast", "missing", _MOVED, reads_moved_indices),
    rule("embedding cast", "portable kernel", _KERNEL, reads_given_indices),
    rule("embedding whole argmax power", "portable kernel", _BETWEEN),
    rule("gru lstm rnn", "float, loop", _LOOP, has_several_steps),
    rule("pow", "missing", f"a whole exponent beyond {LARGEST_POWER}", _is_large_power),
    rule("max_pool2d", "missing", "a window of one pixel with padding", _pads_one_pixel),
)

SPEC = TargetSpec(
    name="executorch",
    title="ExecuTorch (XNNPACK)",
    suffix=".pte",
    package="pocketpress.targets.executorch",
    requires=("executorch", "torch", "flatbuffers"),
    runs_with=("executorch", "flatbuffers"),
    groups=("android", "ios"),
    precisions=("fp32", "fp16", "w8a8-static", "w8-dynamic", "w4a8"),
    stores=("w8", "w8-block", "w4", "w4-block"),
    executes_on=("linux", "darwin", "win32"),
    float_ops=_FLOAT_OPS,
    integer_ops=_INTEGER_OPS,
    remarks={
        "matmul": "XNNPACK's int8 batch product needs zero point 0 in its second factor",
        "conv2d": "integer weights between float activations and 4-bit weights are products over windows, "
        "which are copied together first; in products of several groups they are stored wider",
        "embedding": f"{_KERNEL}; of computed indices or a computed table between XNNPACK calls",
        "cast": _KERNEL,
        **dict.fromkeys(("whole", "argmax", "power"), _BETWEEN),
        **dict.fromkeys(("gru", "lstm", "rnn"), _LOOP),
        "pow": "whole exponents beyond 16 are refused",
    },
    rules=RULES,
)
