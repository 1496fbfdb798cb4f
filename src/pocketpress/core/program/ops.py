"""The operator vocabulary: what each operator is called, takes and means.

Conventions.  Images are NCHW.  ``clamp`` is None or ``(low, high)`` in real values, applied to the real
result before it is stored; in integers it is the pair of integers nearest ``low/scale + zero_point`` and
``high/scale + zero_point``.  ``pads`` is ``(top, left, bottom, right)`` and pads with real 0.
Weights: conv2d OIHW (I per group), conv_transpose2d IOHW, linear (O, I).  Between float activations a weight
may be stored as float16, as int8 or int4 with scales, or as palette indices (`decode`).
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketpress.core.errors import InternalError
from pocketpress.core.program.ir import Node, Program


@dataclass(frozen=True)
class OpSpec:
    """One operator.

    Attributes:
        arity: (least, most) number of inputs; most is None for "any number".
        attrs: names of the attributes, all required.
        integer: "exact" (own integer arithmetic), "table" (256-entry look-up), "move" (integers are only
            moved or compared; input and output share scale and zero point), or "float" (always computed in
            float, between dequantise and quantise).
        meaning: one line for the documentation.
    """

    arity: tuple[int, int | None]
    attrs: tuple[str, ...]
    integer: str
    meaning: str


_CONV = ("stride", "pads", "dilation", "groups", "clamp")
_POOL = ("kernel", "stride", "pads")

OPS: dict[str, OpSpec] = {
    # borders between real and integer
    "quantize": OpSpec((1, 1), (), "exact", "q = clip(round_half_even(x * (1/scale)) + zero_point)"),
    "dequantize": OpSpec((1, 1), (), "exact", "x = scale * (q - zero_point)"),
    "requantize": OpSpec((1, 1), (), "exact", "integers to integers of another scale or dtype"),
    # matrix products
    "conv2d": OpSpec((2, 3), _CONV, "exact", "convolution, weight OIHW, optional bias"),
    "conv_transpose2d": OpSpec(
        (2, 3),
        ("stride", "pads", "output_padding", "groups", "clamp"),
        "exact",
        "transposed convolution, weight IOHW, optional bias",
    ),
    "linear": OpSpec((2, 3), ("clamp",), "exact", "x @ weight.T + bias over the last axis"),
    "dynamic_conv2d": OpSpec(
        (2, 3), _CONV, "float", "conv2d of integer weights; the image is quantised to 8 bits at run time"
    ),
    "dynamic_linear": OpSpec(
        (2, 3), ("clamp",), "float", "linear of integer weights; each row is quantised to 8 bits at run time"
    ),
    "matmul": OpSpec((2, 2), (), "exact", "batched matrix product of two activations"),
    # element by element
    "add": OpSpec((2, 2), ("clamp",), "exact", "a + b with broadcasting"),
    "sub": OpSpec((2, 2), ("clamp",), "exact", "a - b with broadcasting"),
    "mul": OpSpec((2, 2), ("clamp",), "exact", "a * b with broadcasting"),
    "div": OpSpec((2, 2), (), "float", "a / b with broadcasting"),
    "minimum": OpSpec((2, 2), (), "float", "elementwise minimum"),
    "maximum": OpSpec((2, 2), (), "float", "elementwise maximum"),
    "pow": OpSpec((1, 1), ("exponent",), "float", "x ** exponent, exponent a number"),
    "power": OpSpec((2, 2), (), "float", "a ** b with broadcasting; of a negative a, whole b only"),
    "clamp": OpSpec((1, 1), ("low", "high"), "move", "min(max(x, low), high); low or high may be None"),
    "sigmoid": OpSpec((1, 1), (), "table", "1 / (1 + exp(-x)); output scale 1/256, zero point -128"),
    "tanh": OpSpec((1, 1), (), "table", "tanh(x); output scale 1/128, zero point 0"),
    "hardswish": OpSpec((1, 1), (), "table", "x * clip(x + 3, 0, 6) / 6"),
    "hardsigmoid": OpSpec((1, 1), (), "table", "clip(x + 3, 0, 6) / 6"),
    "leaky_relu": OpSpec((1, 1), ("slope",), "table", "x if x > 0 else slope * x"),
    "elu": OpSpec((1, 1), ("alpha",), "table", "x if x > 0 else alpha * (exp(x) - 1)"),
    "gelu": OpSpec((1, 1), ("approximate",), "float", "Gaussian error linear unit, 'none' or 'tanh'"),
    "exp": OpSpec((1, 1), (), "float", "e ** x"),
    "log": OpSpec((1, 1), (), "float", "natural logarithm"),
    "sqrt": OpSpec((1, 1), (), "float", "square root"),
    "rsqrt": OpSpec((1, 1), (), "float", "1 / square root"),
    "abs": OpSpec((1, 1), (), "float", "absolute value"),
    "neg": OpSpec((1, 1), (), "float", "-x"),
    "step": OpSpec((1, 1), (), "float", "1 if x > 0 else 0: what comparisons of reals are made of"),
    "floor": OpSpec((1, 1), (), "float", "the largest whole number that is not above x"),
    "round": OpSpec((1, 1), (), "float", "the nearest whole number, of two the even one"),
    "sin": OpSpec((1, 1), (), "float", "sine of x radians"),
    "cos": OpSpec((1, 1), (), "float", "cosine of x radians"),
    "prelu": OpSpec((2, 2), (), "float", "x if x > 0 else slope[c] * x, slope of shape (C,)"),
    # over time (`recurrent` has the step of each; the sequence is the first axis)
    "gru": OpSpec(
        (3, 4),
        ("reverse", "reset_after", "state_scale"),
        "float",
        "(T, N, H) states of a GRU from input products (T, N, 3H), a state (N, H), a weight (3H, H) and an "
        "optional bias (3H,); gates r, z, n",
    ),
    "lstm": OpSpec(
        (4, 5),
        ("reverse", "cell", "state_scale"),
        "float",
        "(T, N, H) states of an LSTM from input products (T, N, 4H), a state, a cell (N, H), a weight "
        "(4H, H) and an optional projection (P, H); gates i, f, g, o; with cell (T, N, 2H), the cells behind",
    ),
    "rnn": OpSpec(
        (3, 3),
        ("reverse", "activation", "state_scale"),
        "float",
        "(T, N, H) states of a plain recurrent layer, 'tanh' or 'relu', from input products (T, N, H), "
        "a state (N, H) and a weight (H, H)",
    ),
    # between whole numbers and reals
    "embedding": OpSpec(
        (2, 2), (), "float", "out[..., :] = table[index]; index int32 or int64, table (rows, width)"
    ),
    "cast": OpSpec((1, 1), (), "float", "int32 or int64 numbers as float32"),
    "whole": OpSpec((1, 1), (), "float", "float32 numbers that are whole, as int32"),
    "argmax": OpSpec(
        (1, 1),
        ("axis", "keepdims"),
        "float",
        "place of the largest number, of equal ones the first, as float32",
    ),
    # reductions
    "max_pool2d": OpSpec((1, 1), (*_POOL, "dilation"), "move", "maximum over windows, padding ignored"),
    "avg_pool2d": OpSpec((1, 1), (*_POOL, "count_include_pad"), "float", "mean over windows"),
    "mean": OpSpec((1, 1), ("axes", "keepdims"), "exact", "mean over axes"),
    "softmax": OpSpec((1, 1), ("axis",), "float", "softmax; quantised output scale 1/256, zero point -128"),
    "layer_norm": OpSpec((3, 3), ("axes", "eps"), "float", "(x - mean) / sqrt(var + eps) * weight + bias"),
    # movement of data
    "concat": OpSpec((1, None), ("axis",), "move", "concatenation"),
    "reshape": OpSpec((1, 1), ("shape",), "move", "same elements, same order, new shape"),
    "permute": OpSpec((1, 1), ("axes",), "move", "out.shape[i] = in.shape[axes[i]]"),
    "slice": OpSpec((1, 1), ("starts", "sizes", "steps"), "move", "strided window, one entry per axis"),
    "pad": OpSpec((1, 1), ("before", "after", "value"), "move", "constant padding, one entry per axis"),
    "resize_nearest": OpSpec((1, 1), ("size",), "move", "src = floor(dst * in/out), NCHW, size (H, W)"),
    "resize_bilinear": OpSpec((1, 1), ("size", "align_corners"), "float", "bilinear, half-pixel centres"),
}


def check_program(program: Program) -> None:
    """Check names, order, arity and attributes.

    Raises:
        InternalError: the program is malformed (a bug in whoever built it).
    """
    known = set(program.inputs) | set(program.constants)
    for node in program.nodes:
        _check_node(node, known, program)
        known |= set(node.outputs)
    missing = [n for n in program.outputs if n not in known]
    if missing:
        raise InternalError("program outputs are never computed", got=missing)


def _check_node(node: Node, known: set[str], program: Program) -> None:
    spec = OPS.get(node.op)
    if spec is None:
        raise InternalError("unknown operator in program", got=node.op, allowed=sorted(OPS))
    least, most = spec.arity
    if len(node.inputs) < least or (most is not None and len(node.inputs) > most):
        raise InternalError(f"{node.op} {node.name}: wrong number of inputs", got=len(node.inputs))
    if set(node.attrs) != set(spec.attrs):
        raise InternalError(
            f"{node.op} {node.name}: wrong attributes", got=sorted(node.attrs), allowed=sorted(spec.attrs)
        )
    unknown = [n for n in node.inputs if n not in known]
    if unknown:
        raise InternalError(f"{node.op} {node.name}: inputs used before they are computed", got=unknown)
    untyped = [n for n in (*node.inputs, *node.outputs) if n not in program.types]
    if untyped:
        raise InternalError(f"{node.op} {node.name}: tensors without a type", got=untyped)
