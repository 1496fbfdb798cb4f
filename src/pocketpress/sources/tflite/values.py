"""Constants of a file as arrays: integers that stand for reals become reals."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pocketpress.core.errors import SourceError, UnsupportedError
from pocketpress.sources.steps.call import Known
from pocketpress.sources.tflite.read import Bytes, FileTensor, check_readable

STORED: dict[str, str] = {
    "FLOAT32": "<f4", "FLOAT16": "<f2", "INT32": "<i4", "UINT8": "u1", "INT64": "<i8", "BOOL": "u1",
    "INT16": "<i2", "INT8": "i1",
}  # fmt: skip
PACKED = {"INT4": 4, "INT2": 2}
"""Signed integers of fewer than 8 bits, the first in the lowest bits of a byte."""
QUANTIZED = {
    "INT2": (-2, 1), "INT4": (-8, 7), "INT8": (-128, 127), "UINT8": (0, 255), "INT16": (-32768, 32767),
}  # fmt: skip
"""Types whose integers stand for reals when they have a scale, and their range."""


def constant(tensor: FileTensor, data: Bytes, *, real: bool) -> Known:
    """The value of a constant.

    Args:
        tensor: its description.
        data: its bytes.
        real: integers stand for reals.

    Raises:
        SourceError: the bytes do not fit the shape.
        UnsupportedError: a type that is not supported.
    """
    check_readable(tensor)
    stored = _stored(tensor, data)
    return dequantized(stored, tensor) if real else stored


def dequantized(stored: Known, tensor: FileTensor) -> npt.NDArray[np.float32]:
    """``scale * (q - zero_point)``, one of each per tensor or per index of its axis."""
    along = [1] * stored.ndim
    if len(tensor.scale) > 1:
        along[tensor.axis] = -1
    scale = np.asarray(tensor.scale, np.float64).reshape(along)
    zero_point = np.asarray(tensor.zero_point, np.int64).reshape(along)
    return ((stored.astype(np.int64) - zero_point) * scale).astype(np.float32).reshape(stored.shape)


def _stored(tensor: FileTensor, data: Bytes) -> Known:
    count = math.prod(tensor.shape)
    if min(tensor.shape, default=0) < 0:
        raise SourceError(f"constant {tensor.name} has an open shape", got=tensor.shape)
    if tensor.kind in PACKED:
        bits = PACKED[tensor.kind]
        _check_size(tensor, data, -(-count * bits // 8))
        return _unpacked(data, bits)[:count].reshape(tensor.shape)
    if tensor.kind not in STORED:
        raise UnsupportedError(
            f"constant {tensor.name} has type {tensor.kind}", allowed=sorted([*STORED, *PACKED])
        )
    dtype = np.dtype(STORED[tensor.kind])
    _check_size(tensor, data, count * dtype.itemsize)
    found = np.frombuffer(data.tobytes(), dtype).reshape(tensor.shape)
    return found.astype(np.bool_) if tensor.kind == "BOOL" else found


def _check_size(tensor: FileTensor, data: Bytes, wanted: int) -> None:
    if data.size != wanted:
        raise SourceError(
            f"constant {tensor.name} does not fit its shape", got=f"{data.size} bytes", allowed=f"{wanted}"
        )


def _unpacked(data: Bytes, bits: int) -> npt.NDArray[np.int8]:
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = (data[:, None] >> shifts) & ((1 << bits) - 1)
    signed = codes.astype(np.int8).reshape(-1)
    return np.where(signed >= 1 << (bits - 1), signed - (1 << bits), signed).astype(np.int8)
