"""Read the part of the FlatBuffers schema language that ExecuTorch's own schema files use.

The schemas are taken from the installed ``executorch`` package, so that the bytes written follow the version
that is there; importing that package's Python serialisers instead would cost ten seconds.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pocketpress.core.errors import InternalError, MissingExtraError

SCALARS = {
    "bool": "bool",
    "byte": "int8",
    "ubyte": "uint8",
    "short": "int16",
    "ushort": "uint16",
    "int": "int32",
    "uint": "uint32",
    "uint32": "uint32",
    "long": "int64",
    "int64": "int64",
    "ulong": "uint64",
    "uint64": "uint64",
    "float": "float32",
    "double": "float64",
}
_PROGRAM = ("exir/_serialize/scalar_type.fbs", "exir/_serialize/program.fbs")
_XNNPACK = ("backends/xnnpack/serialization/schema.fbs",)


@dataclass(frozen=True)
class Field:
    """One field of a table.

    Attributes:
        name: as in the schema.
        slot: index in the vtable; a union takes two, ``slot`` being that of the value.
        kind: "scalar", "string", "table", "union", or "vector" of any of the first three.
        type: the scalar's NumPy dtype, or the table's or union's name.
        item: for a vector, what it holds: "scalar", "string" or "table".
    """

    name: str
    slot: int
    kind: str
    type: str
    item: str = ""


@dataclass(frozen=True)
class Schema:
    """Tables, unions and the file identifier of one schema.

    Attributes:
        tables: fields by table name; deprecated ones are left out.
        unions: member name to (type code, table name), by union name.
        identifier: the four bytes after the root offset.
        root: name of the root table.
    """

    tables: dict[str, tuple[Field, ...]]
    unions: dict[str, dict[str, tuple[int, str]]]
    identifier: bytes
    root: str


def parse_schema(text: str) -> Schema:
    """Parse schema text (tables, enums and unions; no structs)."""
    text = re.sub(r"//[^\n]*", "", text)
    enums = {m[1]: SCALARS[m[2]] for m in re.finditer(r"\benum\s+(\w+)\s*:\s*(\w+)", text)}
    unions = {m[1]: _union(m[2]) for m in re.finditer(r"\bunion\s+(\w+)\s*\{([^}]*)\}", text)}
    tables = {m[1]: _table(m[2], enums, unions) for m in re.finditer(r"\btable\s+(\w+)\s*\{([^}]*)\}", text)}
    identifier = re.search(r'file_identifier\s+"(\w{4})"', text)
    root = re.search(r"root_type\s+(\w+)", text)
    if identifier is None or root is None:
        raise InternalError("FlatBuffers schema without file_identifier or root_type")
    return Schema(tables, unions, identifier[1].encode(), root[1])


def _union(body: str) -> dict[str, tuple[int, str]]:
    members: dict[str, tuple[int, str]] = {}
    for code, entry in enumerate(filter(None, (part.strip() for part in body.split(","))), start=1):
        name, _, table = (part.strip() for part in entry.partition(":"))
        members[name] = (code, table or name)
    return members


def _table(
    body: str, enums: dict[str, str], unions: dict[str, dict[str, tuple[int, str]]]
) -> tuple[Field, ...]:
    fields, slot = [], 0
    for entry in filter(None, (part.strip() for part in body.split(";"))):
        match = re.match(r"(\w+)\s*:\s*(\[?)\s*(\w+)\s*\]?", entry)
        if match is None:
            raise InternalError("FlatBuffers field that cannot be read", got=entry)
        name, bracket, type_ = match.groups()
        kind, resolved = _kind(type_, enums, unions)
        slot += kind == "union"
        if not re.search(r"\(\s*deprecated", entry):
            fields.append(
                Field(name, slot, "vector", resolved, kind) if bracket else Field(name, slot, kind, resolved)
            )
        slot += 1
    return tuple(fields)


def _kind(
    type_: str, enums: dict[str, str], unions: dict[str, dict[str, tuple[int, str]]]
) -> tuple[str, str]:
    if type_ in SCALARS:
        return "scalar", SCALARS[type_]
    if type_ in enums:
        return "scalar", enums[type_]
    if type_ == "string":
        return "string", "string"
    return ("union" if type_ in unions else "table"), type_


@cache
def program_schema() -> Schema:
    """The schema of a .pte file."""
    return parse_schema("\n".join(_text(name) for name in _PROGRAM))


@cache
def xnnpack_schema() -> Schema:
    """The schema of the XNNPACK delegate's graph."""
    return parse_schema("\n".join(_text(name) for name in _XNNPACK))


def _text(name: str) -> str:
    spec = importlib.util.find_spec("executorch")
    for root in (spec.submodule_search_locations or []) if spec else []:
        path = Path(root) / name
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise MissingExtraError(
        "the executorch package lacks a schema file",
        got=name,
        next_step="run: pip install 'pocketpress[executorch]'",
    )
