"""Encoding and decoding by schema, and decoding of hostile bytes."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketpress.core.errors import ArtifactError, InternalError
from pocketpress.targets.executorch import flatbuffer
from pocketpress.targets.executorch.flatbuffer import decode, encode
from pocketpress.targets.executorch.schema import parse_schema

SCHEMA = parse_schema(
    """
    file_identifier "TEST";
    enum Colour : short { red = 0, blue = 7 }  // a comment
    union Shape { Circle, Box: Square }
    table Circle { radius: float; }
    table Square { side: uint; old: [int] (deprecated); name: string; }
    table Tree {
      colour: Colour; shape: Shape; values: [ulong]; names: [string]; children: [Tree]; far: long;
    }
    root_type Tree;
    """
)
LEAF = {
    "colour": 7,
    "shape": ("Box", {"side": 4, "name": "ä"}),
    "values": [1, 2**63],
    "names": ["a", ""],
    "children": [],
    "far": -5,
}


def test_round_trip() -> None:
    tree = {
        **LEAF,
        "children": [LEAF, {**LEAF, "shape": ("Circle", {"radius": 0.5})}],
        "values": np.arange(3),
    }
    assert decode(SCHEMA, encode(SCHEMA, tree)) == {**tree, "values": [0, 1, 2]}


def test_absent_fields_read_as_empty() -> None:
    empty = {"colour": 0, "shape": None, "values": [], "names": [], "children": [], "far": 0}
    assert decode(SCHEMA, encode(SCHEMA, {})) == empty


def test_deprecated_fields_keep_their_slot() -> None:
    assert [(f.name, f.slot) for f in SCHEMA.tables["Square"]] == [("side", 0), ("name", 2)]
    assert [(f.name, f.slot) for f in SCHEMA.tables["Tree"]][1:3] == [("shape", 2), ("values", 3)]


def test_unknown_fields_are_a_bug() -> None:
    with pytest.raises(InternalError, match="colours"):
        encode(SCHEMA, {"colours": 1})


def test_other_identifier() -> None:
    data = bytearray(encode(SCHEMA, LEAF))
    data[4:8] = b"NOPE"
    for bad in (bytes(data), b"", b"TEST"):
        with pytest.raises(ArtifactError, match="not a FlatBuffer"):
            decode(SCHEMA, bad)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
def test_damaged_bytes_give_a_value_or_one_error(position: int, patch: bytes) -> None:
    data = bytearray(encode(SCHEMA, {**LEAF, "children": [LEAF, LEAF]}))
    start = position % len(data)
    data[start : start + len(patch)] = patch
    with contextlib.suppress(ArtifactError):
        decode(SCHEMA, bytes(data))


def test_objects_and_depth_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items that point at one another would otherwise be read for ever."""
    monkeypatch.setattr(flatbuffer, "MAX_OBJECTS", 2)
    with pytest.raises(ArtifactError, match="too many objects"):
        decode(SCHEMA, encode(SCHEMA, {"children": [LEAF, LEAF]}))
    monkeypatch.setattr(flatbuffer, "MAX_DEPTH", 1)
    monkeypatch.setattr(flatbuffer, "MAX_OBJECTS", 100)
    with pytest.raises(ArtifactError, match="nested too deeply"):
        decode(SCHEMA, encode(SCHEMA, {"children": [{"children": [LEAF]}]}))
