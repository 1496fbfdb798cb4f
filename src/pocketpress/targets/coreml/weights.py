"""The weight file of an ML program, ``weight.bin``, storage format version 2.

A 64-byte header (count, version), then for each array a 64-byte record (sentinel, dtype, size, offset) and
its bytes, both at multiples of 64.  An array is addressed by the offset of its record.
"""

from __future__ import annotations

import struct

import numpy as np

from pocketpress.core.errors import ArtifactError
from pocketpress.core.program.ir import Array

FILE_NAME = "@model_path/weights/weight.bin"
VERSION = 2
_ALIGNMENT = 64
_SENTINEL = 0xDEADBEEF
_HEADER = struct.Struct("<II56x")
_RECORD = struct.Struct("<IIQQQ32x")
_CODES = {
    **{"float16": 1, "float32": 2, "uint8": 3, "int8": 4},
    **{"int4": 8, "uint1": 9, "uint2": 10, "uint4": 11, "uint3": 12, "uint6": 13},
}
DTYPES = frozenset(_CODES)
NARROW = {"int4": 4, "uint1": 1, "uint2": 2, "uint3": 3, "uint4": 4, "uint6": 6}
"""Bits of the dtypes that share bytes."""


def pack(value: Array, bits: int) -> Array:
    """The lowest ``bits`` of every integer, one after the other from the lowest bit of a byte on: uint8."""
    fields = np.unpackbits(value.reshape(-1, 1).view(np.uint8), axis=1, count=bits, bitorder="little")
    return np.packbits(fields, bitorder="little")


def unpack(packed: Array, bits: int, count: int, *, signed: bool = False) -> Array:
    """The first ``count`` integers of `pack`, as uint8, or int8 when signed."""
    fields = np.unpackbits(packed, count=bits * count, bitorder="little").reshape(count, bits)
    value = np.packbits(fields, axis=1, bitorder="little").reshape(count)
    if not signed:
        return value
    sign = 1 << (bits - 1)
    return np.asarray((value ^ sign).astype(np.int16) - sign, np.int8)


class WeightWriter:
    """Arrays appended one by one; equal arrays are stored once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = [b"\0" * _HEADER.size]
        self._size = _HEADER.size
        self._offsets: dict[tuple[str, bytes, int], int] = {}

    def add(self, value: Array, dtype: str | None = None) -> int:
        """Store an array and return the offset of its record.

        Args:
            value: the array.
            dtype: one of `NARROW`, to pack integers; None for the array's own.
        """
        bits = NARROW.get(dtype or "", 0)
        content = np.ascontiguousarray(pack(value, bits) if bits else value).tobytes()
        unused = len(content) * 8 - value.size * bits if bits else 0
        key = (dtype or str(value.dtype), content, unused)
        if key not in self._offsets:
            self._offsets[key] = self._size
            start = self._size + _RECORD.size
            self._append(_RECORD.pack(_SENTINEL, _CODES[key[0]], len(content), start, unused))
            self._append(content)
            self._append(b"\0" * (-self._size % _ALIGNMENT))
        return self._offsets[key]

    def _append(self, content: bytes) -> None:
        self._parts.append(content)
        self._size += len(content)

    def parts(self) -> list[bytes]:
        """The file's content in pieces."""
        return [_HEADER.pack(len(self._offsets), VERSION), *self._parts[1:]]


def read_array(content: memoryview | bytes, offset: int, dtype: str, shape: tuple[int, ...]) -> Array:
    """Read one array of an untrusted weight file; integers of few bits as uint8 or int8.

    Raises:
        ArtifactError: the record is outside the file, or differs in dtype or size.
    """
    if offset < 0 or offset + _RECORD.size > len(content):
        raise ArtifactError("weight record lies outside the weight file", got=offset)
    sentinel, code, size, start, _ = _RECORD.unpack_from(content, offset)
    count, bits = int(np.prod(shape, dtype=np.int64)), NARROW.get(dtype, 0)
    wanted = -(-count * bits // 8) if bits else count * np.dtype(dtype).itemsize
    if sentinel != _SENTINEL or code != _CODES.get(dtype) or size != wanted or start + size > len(content):
        raise ArtifactError(
            "weight record is malformed", got=f"{size} bytes at {start}", allowed=f"{wanted} bytes"
        )
    if bits:
        packed = np.frombuffer(content, dtype=np.uint8, count=wanted, offset=start)
        return unpack(packed, bits, count, signed=dtype == "int4").reshape(shape)
    return np.frombuffer(content, dtype=dtype, count=count, offset=start).reshape(shape)
