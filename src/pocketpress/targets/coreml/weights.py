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
_RECORD = struct.Struct("<IIQQ40x")
_CODES = {"float16": 1, "float32": 2, "uint8": 3, "int8": 4}
DTYPES = frozenset(_CODES)


class WeightWriter:
    """Arrays appended one by one; equal arrays are stored once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = [b"\0" * _HEADER.size]
        self._size = _HEADER.size
        self._offsets: dict[tuple[str, bytes], int] = {}

    def add(self, value: Array) -> int:
        """Store an array and return the offset of its record."""
        content = np.ascontiguousarray(value).tobytes()
        key = (str(value.dtype), content)
        if key not in self._offsets:
            self._offsets[key] = self._size
            self._append(_RECORD.pack(_SENTINEL, _CODES[key[0]], len(content), self._size + _RECORD.size))
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
    """Read one array of an untrusted weight file.

    Raises:
        ArtifactError: the record is outside the file, or differs in dtype or size.
    """
    if offset < 0 or offset + _RECORD.size > len(content):
        raise ArtifactError("weight record lies outside the weight file", got=offset)
    sentinel, code, size, start = _RECORD.unpack_from(content, offset)
    wanted = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
    if sentinel != _SENTINEL or code != _CODES.get(dtype) or size != wanted or start + size > len(content):
        raise ArtifactError(
            "weight record is malformed", got=f"{size} bytes at {start}", allowed=f"{wanted} bytes"
        )
    return np.frombuffer(
        content, dtype=dtype, count=wanted // np.dtype(dtype).itemsize, offset=start
    ).reshape(shape)
