"""The options of each operator, as plain attributes."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from pocketpress.core.errors import SourceError

OPTIONS = {
    "ADD": "Add", "ARG_MAX": "ArgMax", "ARG_MIN": "ArgMin", "AVERAGE_POOL_2D": "Pool2D",
    "BATCH_MATMUL": "BatchMatMul", "CAST": "Cast", "CONCATENATION": "Concatenation", "CONV_2D": "Conv2D",
    "CALL_ONCE": "CallOnce", "CUMSUM": "Cumsum", "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "DEPTH_TO_SPACE": "DepthToSpace",
    "DIV": "Div", "FAKE_QUANT": "FakeQuant", "FULLY_CONNECTED": "FullyConnected", "GATHER": "Gather",
    "GELU": "Gelu", "L2_NORMALIZATION": "L2Norm", "L2_POOL_2D": "Pool2D", "LEAKY_RELU": "LeakyRelu",
    "LOCAL_RESPONSE_NORMALIZATION": "LocalResponseNormalization", "MAX_POOL_2D": "Pool2D",
    "MEAN": "Reducer", "MIRROR_PAD": "MirrorPad", "MUL": "Mul", "ONE_HOT": "OneHot", "PACK": "Pack",
    "REDUCE_ALL": "Reducer", "REDUCE_ANY": "Reducer", "REDUCE_MAX": "Reducer", "REDUCE_MIN": "Reducer",
    "REDUCE_PROD": "Reducer", "RESHAPE": "Reshape", "RESIZE_BILINEAR": "ResizeBilinear",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighbor", "SHAPE": "Shape", "SOFTMAX": "Softmax",
    "SPACE_TO_DEPTH": "SpaceToDepth", "SPLIT": "Split", "SQUEEZE": "Squeeze",
    "STRIDED_SLICE": "StridedSlice", "SUB": "Sub", "SUM": "Reducer", "SVDF": "SVDF",
    "TRANSPOSE_CONV": "TransposeConv",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "SequenceRNN", "UNPACK": "Unpack",
    "VAR_HANDLE": "VarHandle",
}  # fmt: skip
"""Operators that have options which say something, and the table of the schema that holds them."""


TRANSPOSED = struct.Struct("<3i")
"""Of ``Convolution2DTransposeBias``: padding (1 SAME, 2 VALID), strides along width and height."""


def _custom(op: str, operator: Any) -> dict[str, Any]:
    if op != "custom Convolution2DTransposeBias":
        return {}
    content = operator.CustomOptionsAsNumpy()
    if not isinstance(content, np.ndarray) or content.size < TRANSPOSED.size:
        raise SourceError("the file is damaged", got=f"no options of {op}")
    padding, wide, high = TRANSPOSED.unpack_from(content.tobytes())
    return {"padding": padding - 1, "strideW": wide, "strideH": high}


def options_of(schema: Any, op: str, operator: Any) -> dict[str, Any]:
    """Attributes by the schema's names in lower camel case; its defaults where the file says nothing.

    Raises:
        SourceError: the options are another operator's.
    """
    if op not in OPTIONS:
        return _custom(op, operator)
    name = f"{OPTIONS[op]}Options"
    unpacked = getattr(schema, f"{name}T")
    kind, table = operator.BuiltinOptionsType(), operator.BuiltinOptions()
    if kind == schema.BuiltinOptions.NONE or table is None:
        return dict(vars(unpacked()))
    if kind != getattr(schema.BuiltinOptions, name):
        raise SourceError("the file is damaged", got=f"options {kind} of {op}", allowed=name)
    held = getattr(schema, name)()
    held.Init(table.Bytes, table.Pos)
    found = dict(vars(unpacked.InitFromObj(held)))
    return {k: v.decode(errors="replace") if isinstance(v, bytes) else v for k, v in found.items()}
