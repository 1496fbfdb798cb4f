"""Write and read FlatBuffers as dicts, driven by a `Schema`.  Reading is bounded: bytes are untrusted."""

from __future__ import annotations

import struct
from typing import Any

import flatbuffers
import numpy as np

from pocketpress.core.errors import ArtifactError, InternalError
from pocketpress.core.program.ir import Array
from pocketpress.targets.executorch.schema import Field, Schema

MAX_DEPTH = 32
MAX_OBJECTS = 1 << 20

Record = dict[str, Any]


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Equal vectors of numbers are one: shapes repeat from tensor to tensor."""

    def __init__(self, initialSize: int) -> None:
        super().__init__(initialSize)
        self._vectors: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: Array) -> int:
        key = (x.dtype.str, x.tobytes())
        if key not in self._vectors:
            self._vectors[key] = int(super().CreateNumpyVector(x))
        return self._vectors[key]


def encode(schema: Schema, value: Record) -> bytes:
    """Serialise ``value``, a dict of the root table; absent or None fields are omitted.

    A union is written as ``(member name, dict)``, a scalar vector as a list or a NumPy array.
    """
    builder = _Builder(1 << 16)
    builder.Finish(_write_table(schema, schema.root, value, builder), file_identifier=schema.identifier)
    return bytes(builder.Output())


def _write_table(schema: Schema, table: str, value: Record, builder: _Builder) -> int:
    fields = schema.tables[table]
    unknown = set(value) - {field.name for field in fields}
    if unknown:
        raise InternalError(f"fields that {table} does not have", got=sorted(unknown))
    present = [(field, value[field.name]) for field in fields if value.get(field.name) is not None]
    offsets = {f.name: _write_offset(schema, f, v, builder) for f, v in present if f.kind != "scalar"}
    builder.StartObject(max((field.slot for field in fields), default=-1) + 1)
    for field, item in present:
        if field.kind == "scalar":
            _SLOT_WRITERS[field.type](builder, field.slot, item, 0)
            continue
        if field.kind == "union":
            builder.PrependUint8Slot(field.slot - 1, schema.unions[field.type][item[0]][0], 0)
        builder.PrependUOffsetTRelativeSlot(field.slot, offsets[field.name], 0)
    return int(builder.EndObject())


def _write_offset(schema: Schema, field: Field, value: Any, builder: _Builder) -> int:
    if field.kind == "string":
        return int(builder.CreateString(value))
    if field.kind == "table":
        return _write_table(schema, field.type, value, builder)
    if field.kind == "union":
        member, record = value
        return _write_table(schema, schema.unions[field.type][member][1], record, builder)
    if field.item == "scalar":
        return builder.CreateNumpyVector(np.asarray(value, dtype=field.type))
    if field.item == "string":
        items = [int(builder.CreateString(text)) for text in value]
    else:
        items = [_write_table(schema, field.type, record, builder) for record in value]
    builder.StartVector(4, len(items), 4)
    for offset in reversed(items):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


_SLOT_WRITERS = {
    "bool": lambda b, slot, value, default: b.PrependBoolSlot(slot, value, default),
    "int8": lambda b, slot, value, default: b.PrependInt8Slot(slot, value, default),
    "uint8": lambda b, slot, value, default: b.PrependUint8Slot(slot, value, default),
    "int16": lambda b, slot, value, default: b.PrependInt16Slot(slot, value, default),
    "uint16": lambda b, slot, value, default: b.PrependUint16Slot(slot, value, default),
    "int32": lambda b, slot, value, default: b.PrependInt32Slot(slot, value, default),
    "uint32": lambda b, slot, value, default: b.PrependUint32Slot(slot, value, default),
    "int64": lambda b, slot, value, default: b.PrependInt64Slot(slot, value, default),
    "uint64": lambda b, slot, value, default: b.PrependUint64Slot(slot, value, default),
    "float32": lambda b, slot, value, default: b.PrependFloat32Slot(slot, value, default),
    "float64": lambda b, slot, value, default: b.PrependFloat64Slot(slot, value, default),
}


def decode(schema: Schema, data: bytes) -> Record:
    """Read a buffer written with ``schema``; absent scalars read as 0, absent vectors as empty.

    Raises:
        ArtifactError: another file identifier, or an offset outside the buffer.
    """
    if len(data) < 8 or data[4:8] != schema.identifier:
        raise ArtifactError(
            "not a FlatBuffer of this kind", got=data[4:8], allowed=schema.identifier.decode()
        )
    reader = _Reader(schema, data)
    return reader.table(schema.root, reader.offset(0), 0)


class _Reader:
    """Bounded reader over one buffer."""

    def __init__(self, schema: Schema, data: bytes) -> None:
        self._schema, self._data, self._left = schema, data, MAX_OBJECTS

    def _bad(self, what: str) -> ArtifactError:
        return ArtifactError("corrupt FlatBuffer", got=what, next_step="build the artifact again")

    def _scalar(self, dtype: str, at: int) -> Any:
        kind = np.dtype(dtype)
        if at < 0 or at + kind.itemsize > len(self._data):
            raise self._bad(f"offset {at} outside {len(self._data)} bytes")
        return struct.unpack_from("<" + kind.char.replace("l", "q").replace("L", "Q"), self._data, at)[0]

    def offset(self, at: int) -> int:
        """Follow the unsigned offset stored at ``at``."""
        return at + int(self._scalar("uint32", at))

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise self._bad("too many objects")

    def table(self, name: str, at: int, depth: int) -> Record:
        """The table ``name`` at ``at`` as a dict."""
        self._count()
        if depth > MAX_DEPTH:
            raise self._bad("tables nested too deeply")
        vtable = at - int(self._scalar("int32", at))
        size = int(self._scalar("uint16", vtable))
        record: Record = {}
        for field in self._schema.tables[name]:
            record[field.name] = self._field(field, at, vtable, size, depth)
        return record

    def _entry(self, slot: int, vtable: int, size: int) -> int:
        position = 4 + 2 * slot
        return int(self._scalar("uint16", vtable + position)) if position + 2 <= size else 0

    def _field(self, field: Field, at: int, vtable: int, size: int, depth: int) -> Any:
        entry = self._entry(field.slot, vtable, size)
        if field.kind == "scalar":
            return self._scalar(field.type, at + entry) if entry else 0
        if field.kind == "vector":
            return self._vector(field, self.offset(at + entry), depth) if entry else []
        if not entry:
            return None
        target = self.offset(at + entry)
        if field.kind == "string":
            return self._string(target)
        if field.kind == "table":
            return self.table(field.type, target, depth + 1)
        code_entry = self._entry(field.slot - 1, vtable, size)
        code = int(self._scalar("uint8", at + code_entry)) if code_entry else 0
        for member, (number, table) in self._schema.unions[field.type].items():
            if number == code:
                return member, self.table(table, target, depth + 1)
        raise self._bad(f"unknown member {code} of {field.type}")

    def _span(self, at: int, itemsize: int) -> tuple[int, int]:
        count = int(self._scalar("uint32", at))
        if at + 4 + count * itemsize > len(self._data):
            raise self._bad(f"vector of {count} items at {at}")
        return at + 4, count

    def _string(self, at: int) -> str:
        start, count = self._span(at, 1)
        return self._data[start : start + count].decode("utf-8", errors="replace")

    def _vector(self, field: Field, at: int, depth: int) -> Any:
        if field.item == "scalar":
            dtype = np.dtype(field.type).newbyteorder("<")
            start, count = self._span(at, dtype.itemsize)
            return np.frombuffer(self._data, dtype, count, start).tolist()
        start, count = self._span(at, 4)
        items = []
        for position in range(start, start + 4 * count, 4):
            self._count()
            target = self.offset(position)
            items.append(
                self._string(target) if field.item == "string" else self.table(field.type, target, depth + 1)
            )
        return items
