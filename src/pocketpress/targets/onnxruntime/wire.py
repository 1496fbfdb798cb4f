"""Walk protocol-buffer bytes that are not trusted, without the classes made from a schema.

A device that executes artifacts has ONNX Runtime and not the ``onnx`` package, and building thousands of
objects only to look at a few of them takes longer than walking past them.
Encoding: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED = {FIXED64: 8, FIXED32: 4}
MAX_VARINT_BYTES = 10

Value = int | memoryview


class WireError(Exception):
    """The bytes are no protocol-buffer message."""


class Message:
    """The fields of one message by number, in the order in which they stand.

    Where a field that exists once is written twice, the last one counts for numbers and texts, and messages
    are merged: `number` and `text` give the last, `parts` all.
    """

    def __init__(self, *parts: memoryview) -> None:
        """Read the fields of a message, which may be in several parts."""
        self._fields: dict[int, list[Value]] = {}
        for part in parts:
            for number, value in _fields(part):
                self._fields.setdefault(number, []).append(value)

    def __contains__(self, number: int) -> bool:
        """Whether a field is written."""
        return number in self._fields

    def parts(self, number: int) -> list[memoryview]:
        """The contents of all fields of a number, which must be texts or messages."""
        found = self._fields.get(number, [])
        if any(isinstance(value, int) for value in found):
            raise WireError(f"field {number} is a number")
        return [value for value in found if not isinstance(value, int)]

    def numbers(self, number: int) -> list[int]:
        """All fields of a number, which must be whole numbers."""
        found = self._fields.get(number, [])
        if not all(isinstance(value, int) for value in found):
            raise WireError(f"field {number} is no number")
        return [value for value in found if isinstance(value, int)]

    def number(self, number: int) -> int:
        """A number; 0 where it is not written."""
        return (self.numbers(number) or [0])[-1]

    def text(self, number: int) -> str:
        """A text; empty where it is not written."""
        parts = self.parts(number)
        try:
            return str(parts[-1], "utf-8") if parts else ""
        except UnicodeDecodeError as error:
            raise WireError(f"field {number} is no text") from error


def _fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of each field; the values of fixed width as their bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise WireError("a field without number")
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == BYTES:
            length, at = _varint(data, at)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise WireError("a group")
        if length > len(data) - at:
            raise WireError("a field that ends behind the message")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and where it ends."""
    value = 0
    for count, byte in enumerate(data[at : at + MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at + count + 1
    raise WireError("a number without end")
