"""Frames: round trip, and every malformed byte string is refused before memory is spent on it."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketpress.devices import frames
from pocketpress.devices.frames import MAX_ARRAY_BYTES, Frame, FrameError, read_frame, write_frame

DTYPES = ("float32", "float16", "float64", "int8", "uint8", "int16", "int32", "int64", "bool")


def packed(frame: Frame) -> bytes:
    stream = io.BytesIO()
    write_frame(stream, frame)
    return stream.getvalue()


@given(
    shape=st.lists(st.integers(0, 4), max_size=4),
    dtype=st.sampled_from(DTYPES),
    header=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)),
)
def test_round_trip(shape: list[int], dtype: str, header: dict[str, object]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    frame = read_frame(io.BytesIO(packed(Frame(header, (array, array)))))
    assert frame is not None and frame.header == header
    for read in frame.arrays:
        assert read.dtype == array.dtype and read.shape == array.shape and read.flags.writeable
        np.testing.assert_array_equal(read, array)


def test_transposed_arrays_arrive_in_order() -> None:
    array = np.arange(6).reshape(2, 3).T
    frame = read_frame(io.BytesIO(packed(Frame({}, (array,)))))
    assert frame is not None
    np.testing.assert_array_equal(frame.arrays[0], array)


def test_the_end_of_the_stream_is_none_only_between_frames() -> None:
    content = packed(Frame({"a": 1}, (np.zeros(3),)))
    assert read_frame(io.BytesIO(b"")) is None
    for length in range(1, len(content)):
        with pytest.raises(FrameError):
            read_frame(io.BytesIO(content[:length]))


def test_objects_are_refused_on_both_sides() -> None:
    head = packed(Frame({}, ()))[: -len(b"{}")]
    stored = io.BytesIO()
    np.lib.format.write_array(stored, np.array([{}], dtype=object), allow_pickle=True)
    content = head[:8] + struct.pack("<I", 1) + b"{}" + struct.pack("<Q", stored.tell()) + stored.getvalue()
    with pytest.raises(FrameError, match="dtype object is not accepted"):
        read_frame(io.BytesIO(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PPF2" + struct.pack("<II", 2, 0) + b"{}", "not a frame"),
        (b"PPF1" + struct.pack("<II", 1 << 30, 0), "over its limits"),
        (b"PPF1" + struct.pack("<II", 2, 1 << 20) + b"{}", "over its limits"),
        (b"PPF1" + struct.pack("<II", 2, 0) + b"[]", "not an object"),
        (b"PPF1" + struct.pack("<II", 2, 0) + b"{]", "not JSON"),
        (
            b"PPF1" + struct.pack("<II", 2, 1) + b"{}" + struct.pack("<Q", MAX_ARRAY_BYTES + 1),
            "over the limit",
        ),
        (b"PPF1" + struct.pack("<II", 2, 1) + b"{}" + struct.pack("<Q", 4) + b"none", "not in .npy form"),
    ],
)
def test_malformed_frames(content: bytes, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        read_frame(io.BytesIO(content))


def test_many_arrays_are_limited_together(monkeypatch: pytest.MonkeyPatch) -> None:
    content = packed(Frame({}, (np.zeros(100, np.uint8),) * 3))
    size_bytes = (len(content) - 14) // 3 - 8  # with its .npy header
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 200 + size_bytes)
    assert read_frame(io.BytesIO(content)) is not None
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 199 + size_bytes)
    with pytest.raises(FrameError, match=f"over the limit of {size_bytes - 1}"):
        read_frame(io.BytesIO(content))


def test_more_axes_than_an_array_has() -> None:
    stored = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (1,) * 99}
    np.lib.format.write_array_header_1_0(stored, header)
    body = stored.getvalue() + b"x"
    content = b"PPF1" + struct.pack("<II", 2, 1) + b"{}" + struct.pack("<Q", len(body)) + body
    with pytest.raises(FrameError, match="shape is refused"):
        read_frame(io.BytesIO(content))


def test_a_shape_that_claims_more_than_there_is() -> None:
    content = packed(Frame({}, (np.zeros(3, dtype=np.float32),)))
    with pytest.raises(FrameError, match="does not fit its shape"):
        read_frame(io.BytesIO(content.replace(b"(3,)", b"(9,)")))
