"""Messages between a process and its child: a small JSON header and arrays in `.npy` form, no pickle.

A frame is ``magic, header length, number of arrays`` (little-endian, 4 bytes each), the JSON header, and per
array an 8-byte length followed by that many bytes of `.npy` version 1 or 2.  Every length is checked against
a limit before anything is read, because the other side may have been taken over by a malicious file.
"""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from pocketpress.core.target import Array

MAGIC = b"PPF1"
HEAD = struct.Struct("<4sII")
LENGTH = struct.Struct("<Q")
MAX_HEADER_BYTES = 4 << 20
MAX_ARRAYS = 1024
MAX_ARRAY_BYTES = 1 << 30
MAX_FRAME_BYTES = 2 << 30
"""Of all arrays of a frame together."""
KINDS = "biufc"


class FrameError(Exception):
    """The bytes are not a frame."""


@dataclass(frozen=True)
class Frame:
    """One message: named scalars and an ordered list of arrays."""

    header: dict[str, Any]
    arrays: tuple[Array, ...] = ()


def write_frame(stream: BinaryIO, frame: Frame) -> None:
    """Write and flush one frame."""
    header = json.dumps(frame.header).encode()
    stream.write(HEAD.pack(MAGIC, len(header), len(frame.arrays)))
    stream.write(header)
    for array in frame.arrays:
        description = io.BytesIO()
        ordered = np.asarray(array, order="C")
        np.lib.format.write_array_header_1_0(description, np.lib.format.header_data_from_array_1_0(ordered))
        stream.write(LENGTH.pack(description.tell() + ordered.nbytes))
        stream.write(description.getvalue())
        stream.write(ordered.tobytes())
    stream.flush()


def read_frame(stream: BinaryIO, noise_bytes: int = 0) -> Frame | None:
    """Read one frame; None when the stream ended before its first byte.

    Args:
        stream: blocking.
        noise_bytes: that may stand before the frame and are thrown away (a login shell may greet).

    Raises:
        FrameError: the stream ended inside a frame, a length is over its limit, or a part is malformed.
    """
    first = _begin(stream, noise_bytes)
    if not first:
        return None
    if len(first) < HEAD.size:
        raise FrameError("the stream ended inside a frame")
    magic, header_bytes, count = HEAD.unpack(first)
    if magic != MAGIC or header_bytes > MAX_HEADER_BYTES or count > MAX_ARRAYS:
        raise FrameError("not a frame, or over its limits")
    try:
        header = json.loads(_exactly(stream, header_bytes))
    except (ValueError, RecursionError) as error:
        raise FrameError("the header is not JSON") from error
    if not isinstance(header, dict):
        raise FrameError("the header is not an object")
    arrays, left = list[Array](), MAX_FRAME_BYTES
    for _ in range(count):
        arrays.append(_read_array(stream, min(MAX_ARRAY_BYTES, left)))
        left -= arrays[-1].nbytes
    return Frame(header, tuple(arrays))


def _begin(stream: BinaryIO, noise_bytes: int) -> bytes:
    """The first bytes of a frame; fewer at the end of the stream."""
    if not noise_bytes:
        return stream.read(HEAD.size)
    seen = stream.read(len(MAGIC))
    while seen[-len(MAGIC) :] != MAGIC:
        byte = stream.read(1)
        if not byte:
            return b""
        seen += byte
        if len(seen) > noise_bytes + len(MAGIC):
            raise FrameError("no frame, but other text")
    return MAGIC + stream.read(HEAD.size - len(MAGIC))


def _read_array(stream: BinaryIO, limit_bytes: int) -> Array:
    (length,) = LENGTH.unpack(_exactly(stream, LENGTH.size))
    if length > limit_bytes:
        raise FrameError(f"an array of {length} bytes is over the limit of {limit_bytes}")
    content = _exactly(stream, length)
    try:
        text = io.BytesIO(content[: 1 << 16])
        version = np.lib.format.read_magic(text)
        reader = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = reader(text)
    except (ValueError, KeyError) as error:
        raise FrameError("an array is not in .npy form") from error
    if dtype.kind not in KINDS or fortran:
        raise FrameError(f"an array of dtype {dtype} is not accepted")
    elements = 1
    for size in shape:
        elements *= size
    if text.tell() + elements * dtype.itemsize != length or any(size < 0 for size in shape):
        raise FrameError("an array's length does not fit its shape")
    try:
        return np.frombuffer(content, dtype=dtype, offset=text.tell(), count=elements).reshape(shape)
    except ValueError as error:  # more axes than NumPy has
        raise FrameError("an array's shape is refused") from error


def _exactly(stream: BinaryIO, length: int) -> bytearray:
    content = bytearray(length)
    view, done = memoryview(content), 0
    while done < length:
        part = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not part:
            raise FrameError("the stream ended inside a frame")
        done += part
    return content
