from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketpress.core.errors import ArtifactError
from pocketpress.targets.coreml.weights import DTYPES, NARROW, WeightWriter, pack, read_array, unpack

WHOLE = sorted(DTYPES - set(NARROW))


@given(st.lists(st.tuples(st.sampled_from(WHOLE), st.integers(1, 200)), min_size=1, max_size=6))
def test_arrays_come_back(items: list[tuple[str, int]]) -> None:
    writer = WeightWriter()
    arrays = [np.arange(size).astype(dtype) for dtype, size in items]
    offsets = [writer.add(array) for array in arrays]
    content = b"".join(writer.parts())
    for array, offset in zip(arrays, offsets, strict=True):
        assert offset % 64 == 0
        np.testing.assert_array_equal(read_array(content, offset, str(array.dtype), array.shape), array)
    assert struct.unpack_from("<II", content) == (len(set(offsets)), 2)


def integers_of(dtype: str, size: int) -> np.ndarray:
    rng, bits = np.random.default_rng(size), NARROW[dtype]
    if dtype == "int4":
        return rng.integers(-8, 8, size).astype(np.int8)
    return rng.integers(0, 2**bits, size).astype(np.uint8)


@given(st.lists(st.tuples(st.sampled_from(sorted(NARROW)), st.integers(1, 200)), min_size=1, max_size=6))
def test_integers_of_few_bits_come_back(items: list[tuple[str, int]]) -> None:
    writer = WeightWriter()
    arrays = [(dtype, integers_of(dtype, size)) for dtype, size in items]
    offsets = [writer.add(array, dtype) for dtype, array in arrays]
    content = b"".join(writer.parts())
    for (dtype, array), offset in zip(arrays, offsets, strict=True):
        got = read_array(content, offset, dtype, array.shape)
        assert got.dtype == array.dtype
        np.testing.assert_array_equal(got, array)


def test_bit_fields_by_hand() -> None:
    """The example of Core ML's documentation: 0, 3, 2, 1 and then 3 in two bits each."""
    packed = pack(np.array([0, 3, 2, 1, 3], np.uint8), 2)
    assert packed.tolist() == [0b01101100, 0b11]
    assert unpack(packed, 2, 5).tolist() == [0, 3, 2, 1, 3]
    assert pack(np.array([-1, 7, -8], np.int8), 4).tolist() == [0x7F, 0x08]
    assert unpack(np.array([0x7F, 0x08], np.uint8), 4, 3, signed=True).tolist() == [-1, 7, -8]
    assert pack(np.array([5, 2, 6], np.uint8), 3).tolist() == [0b10010101, 0b1]


def test_a_record_counts_its_unused_bits() -> None:
    writer = WeightWriter()
    writer.add(np.array([-1, 7, -8], np.int8), "int4")
    content = b"".join(writer.parts())
    assert content[64:96] == struct.pack("<IIQQQ", 0xDEADBEEF, 8, 2, 128, 4)


def test_the_layout_by_hand() -> None:
    writer = WeightWriter()
    assert writer.add(np.array([1, -2], np.int8)) == 64
    assert writer.add(np.array([1.0], np.float32)) == 192
    content = b"".join(writer.parts())
    assert content[64:88] == struct.pack("<IIQQ", 0xDEADBEEF, 4, 2, 128)
    assert content[128:130] == b"\x01\xfe" and content[130:192] == bytes(62)
    assert content[192:216] == struct.pack("<IIQQ", 0xDEADBEEF, 2, 4, 256)
    assert len(content) % 64 == 0


def test_equal_arrays_are_stored_once() -> None:
    writer = WeightWriter()
    assert writer.add(np.zeros(8, np.int8)) == writer.add(np.zeros(8, np.int8))
    assert writer.add(np.zeros(8, np.uint8)) != writer.add(np.zeros(8, np.int8))


@pytest.mark.parametrize("offset", [-64, 0, 65, 10_000])
def test_wrong_offsets_are_errors(offset: int) -> None:
    writer = WeightWriter()
    writer.add(np.zeros(8, np.int8))
    with pytest.raises(ArtifactError, match="weight record"):
        read_array(b"".join(writer.parts()), offset, "int8", (8,))


@pytest.mark.parametrize(
    ("dtype", "shape"), [("float32", (8,)), ("int8", (9,)), ("int8", (4,)), ("int32", (2,))]
)
def test_another_type_than_stored_is_an_error(dtype: str, shape: tuple[int, ...]) -> None:
    writer = WeightWriter()
    offset = writer.add(np.zeros(8, np.int8))
    with pytest.raises(ArtifactError, match="weight record is malformed"):
        read_array(b"".join(writer.parts()), offset, dtype, shape)
