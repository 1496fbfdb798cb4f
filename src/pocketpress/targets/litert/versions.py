"""Operator versions: the lowest whose definition covers the operands (LiteRT ``op_version.cc``)."""

from __future__ import annotations

from collections.abc import Sequence

_INT8: dict[str, int] = {
    "ADD": 2,
    "BATCH_MATMUL": 2,
    "CAST": 3,
    "CONCATENATION": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "DEPTH_TO_SPACE": 2,
    "DEQUANTIZE": 2,
    "FULLY_CONNECTED": 5,
    "GATHER": 2,
    "LEAKY_RELU": 2,
    "LOGISTIC": 2,
    "MAXIMUM": 2,
    "MAX_POOL_2D": 2,
    "MEAN": 2,
    "MINIMUM": 2,
    "MUL": 2,
    "PAD": 2,
    "PADV2": 2,
    "QUANTIZE": 2,
    "RELU": 2,
    "RELU6": 2,
    "RESIZE_NEAREST_NEIGHBOR": 2,
    "SLICE": 2,
    "STRIDED_SLICE": 2,
    "SUB": 2,
    "TANH": 2,
    "TRANSPOSE": 2,
    "TRANSPOSE_CONV": 3,
}
_INT16: dict[str, int] = {
    "ADD": 5,
    "BATCH_MATMUL": 4,
    "CONCATENATION": 3,
    "CONV_2D": 8,
    "DEPTHWISE_CONV_2D": 5,
    "DEQUANTIZE": 3,
    "FULLY_CONNECTED": 11,
    "GATHER": 4,
    "MAXIMUM": 4,
    "MAX_POOL_2D": 3,
    "MEAN": 3,
    "MINIMUM": 4,
    "MUL": 4,
    "PAD": 3,
    "PADV2": 3,
    "QUANTIZE": 3,
    "RELU": 3,
    "RELU6": 3,
    "RESIZE_NEAREST_NEIGHBOR": 4,
    "SLICE": 4,
    "SUB": 5,
    "TRANSPOSE": 4,
    "TRANSPOSE_CONV": 5,
}
_PACKED: dict[tuple[str, str], int] = {
    ("DEQUANTIZE", "int4"): 6,
    ("DEQUANTIZE", "int2"): 7,
    ("DEQUANTIZE", "float16"): 3,
    ("FULLY_CONNECTED", "int4"): 10,
    ("BROADCAST_TO", "float32"): 2,
}
_HYBRID: dict[str, int] = {"CONV_2D": 5, "FULLY_CONNECTED": 12}
"""Products of float activations and int8 weights with a scale per channel."""

_PER_CHANNEL_DEQUANTIZE = 5


def operator_version(code: str, kinds: Sequence[str], per_channel: bool) -> int:
    """The version of an operator.

    Args:
        code: its name in ``BuiltinOperator``.
        kinds: dtypes of its inputs.
        per_channel: one of them has a scale per channel.
    """
    found = [_PACKED.get((code, kind), 1) for kind in kinds]
    if {"int8", "uint8"} & set(kinds):
        found.append(_INT8.get(code, 1))
        if kinds[0] == "float32":
            found.append(_HYBRID.get(code, 1))
    if "int16" in kinds:
        found.append(_INT16.get(code, 1))
    if code == "DEQUANTIZE" and per_channel:
        found.append(_PER_CHANNEL_DEQUANTIZE)
    return max(found, default=1)
