"""Seeded mutations: of bytes, of the members of an archive, and those an attacker would make."""

from __future__ import annotations

import io
import json
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import TensorProto, helper

MARK = "fuzz-was-here"
"""A file that a pickle with side effects writes."""
WORDS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1)
ZIPPED = ("keras", "pt2", "pt", "npz", "artifact-pytorch-mobile")
OUTSIDE = ("../secret", "/etc/passwd", "a/../../secret", "..", ".", "", "file.data/../../x", "\0")
BOMB_BYTES = 1 << 31

Mutation = Callable[[bytes, random.Random], bytes]


def mutant(kind: str, content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """One mutant: the mutation's name, and the file."""
    choices = dict(BYTES)
    if kind in ZIPPED and content[:2] == b"PK":
        choices |= ARCHIVES
    choices |= SPECIAL.get(kind, {})
    name = rng.choice(sorted(choices))
    return name, choices[name](content, rng)


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def _flip(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _word(content: bytes, rng: random.Random) -> bytes:
    """A length, an offset or a count becomes another, more often near the ends, where headers lie."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 3))):
        size, value = rng.choice((1, 2, 4, 8)), rng.choice(WORDS)
        span = len(data) if rng.random() < 0.5 else min(len(data), 512)
        place = rng.randrange(max(1, span - size))
        place = place if rng.random() < 0.7 else max(0, len(data) - size - place)
        data[place : place + size] = (value % (1 << (8 * size))).to_bytes(size, "little")
    return bytes(data)


def _delete(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content))
    return content[:place] + content[place + rng.choice((1, 4, 8, 100)) :]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    place, size = rng.randrange(len(content)), rng.choice((1, 4, 8, 100, 4000))
    return (
        content[: place + size]
        + content[place : place + size] * rng.choice((1, 2, 50))
        + content[place + size :]
    )


def _zeros(content: bytes, rng: random.Random) -> bytes:
    place, size = rng.randrange(len(content)), rng.choice((4, 16, 256))
    return content[:place] + bytes(min(size, len(content) - place)) + content[place + size :]


BYTES: dict[str, Mutation] = {
    "cut": _cut, "flip": _flip, "word": _word, "delete": _delete, "repeat": _repeat, "zeros": _zeros,
}  # fmt: skip


def _members(content: bytes) -> list[tuple[zipfile.ZipInfo, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(info, archive.read(info)) for info in archive.infolist()]


def _zipped(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def _inside(content: bytes, rng: random.Random) -> bytes:
    """A member changes and its check sum with it, so that what reads the member sees the change."""
    members = [(info.filename, data) for info, data in _members(content)]
    full = [i for i, (_, data) in enumerate(members) if data]
    chosen = rng.choice(full)
    name, data = members[chosen]
    members[chosen] = (name, BYTES[rng.choice(sorted(BYTES))](data, rng))
    return _zipped(members)


def _lost(content: bytes, rng: random.Random) -> bytes:
    members = [(info.filename, data) for info, data in _members(content)]
    del members[rng.randrange(len(members))]
    return _zipped(members)


def _renamed(content: bytes, rng: random.Random) -> bytes:
    members = [(info.filename, data) for info, data in _members(content)]
    chosen = rng.randrange(len(members))
    name = rng.choice(("../escape", "/tmp/escape", "a" * 60_000, members[0][0]))
    members[chosen] = (name, members[chosen][1])
    return _zipped(members)


_BOMBS: dict[int, bytes] = {}


def _bomb(content: bytes, rng: random.Random) -> bytes:
    """A member that grows a thousandfold when it is unpacked."""
    members = [(info.filename, data) for info, data in _members(content)]
    chosen = rng.randrange(len(members))
    if chosen not in _BOMBS:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for index, (name, data) in enumerate(members):
                if index != chosen:
                    archive.writestr(name, data)
                    continue
                with archive.open(name, "w", force_zip64=True) as member:
                    member.write(data)
                    for _ in range(BOMB_BYTES >> 24):
                        member.write(bytes(1 << 24))
        _BOMBS.clear()
        _BOMBS[chosen] = out.getvalue()
    return _BOMBS[chosen]


ARCHIVES: dict[str, Mutation] = {"inside": _inside, "inside 2": _inside, "lost": _lost, "renamed": _renamed}


class _SideEffect:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (Path(MARK),)


def _pickled(content: bytes, rng: random.Random) -> bytes:
    """A pickle that runs something, in place of every pickle of an archive, or as the whole file."""
    hostile = pickle.dumps(_SideEffect(), protocol=2)
    if content[:2] != b"PK":
        return hostile
    members = [(info.filename, data) for info, data in _members(content)]
    names = [name for name, _ in members if name.endswith((".pkl", ".pt", ".npy"))]
    chosen = set(names) if rng.random() < 0.5 else {rng.choice(names or [members[0][0]])}
    return _zipped([(name, hostile if name in chosen else data) for name, data in members])


def _header(content: bytes, rng: random.Random) -> bytes:
    """A safetensors header that lies about offsets, shapes and types."""
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    name = rng.choice(sorted(header))
    entry = header[name]
    if isinstance(entry, dict) and "shape" in entry:
        key = rng.choice(("shape", "dtype", "data_offsets"))
        entry[key] = {
            "shape": rng.choice(([], [0], [1 << 40], [-1], [1 << 31, 1 << 31], ["a"])),
            "dtype": rng.choice(("F64", "BOOL", "F8_E4M3", "X", 1)),
            "data_offsets": rng.choice(([0, 0], [1, 0], [0, 1 << 60], [-1, 1], [])),
        }[key]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


def _model(content: bytes, rng: random.Random) -> bytes:
    """An ONNX model with sizes, types, places and names that an attacker would choose."""
    model = onnx.ModelProto.FromString(content)
    _ATTACKS[rng.choice(sorted(_ATTACKS))](model, rng)
    return model.SerializeToString()


def _huge_tensor(model: onnx.ModelProto, rng: random.Random) -> None:
    if model.graph.initializer:
        tensor = rng.choice(list(model.graph.initializer))
        del tensor.dims[:]
        tensor.dims.extend(rng.choice(([1 << 40], [-1], [1 << 31, 1 << 31, 4], [0], [])))


def _huge_input(model: onnx.ModelProto, rng: random.Random) -> None:
    for dim in model.graph.input[0].type.tensor_type.shape.dim:
        dim.dim_value = rng.choice((1, 0, -5, 1 << 20, 1 << 40))


def _huge_fill(model: onnx.ModelProto, rng: random.Random) -> None:
    sizes = rng.choice(([1 << 20, 1 << 20], [1 << 62], [-4], [1 << 28]))
    model.graph.initializer.append(helper.make_tensor("huge", TensorProto.INT64, [len(sizes)], sizes))
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["huge"], ["filled"]))
    model.graph.node.append(helper.make_node("Expand", [model.graph.input[0].name, "huge"], ["grown"]))
    model.graph.output[0].name = "grown"


def _huge_work(model: onnx.ModelProto, rng: random.Random) -> None:
    """Constants made of a few bytes, multiplied, repeated and padded before anything reads the input."""
    side = rng.choice((1 << 10, 1 << 13, 1 << 16))
    model.graph.initializer.append(helper.make_tensor("side", TensorProto.INT64, [2], [side, side]))
    nodes = [helper.make_node("ConstantOfShape", ["side"], ["square"])]
    last = "square"
    for index in range(rng.choice((1, 10, 100))):
        op, second = rng.choice((("MatMul", last), ("Tile", "side"), ("Add", last), ("Expand", "side")))
        nodes.append(helper.make_node(op, [last, second], [f"made_{index}"]))
        last = f"made_{index}"
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    model.graph.node.append(helper.make_node("Reshape", [last, "side"], ["worked"]))
    model.graph.output.add().CopyFrom(
        helper.make_tensor_value_info("worked", TensorProto.FLOAT, [side, side])
    )


def _outside(model: onnx.ModelProto, rng: random.Random) -> None:
    for tensor in model.graph.initializer:
        tensor.data_location = TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        del tensor.external_data[:]
        for key, value in (
            ("location", rng.choice(OUTSIDE)),
            ("offset", str(rng.choice((0, -1, 1 << 40, "x")))),
            ("length", str(rng.choice((0, 16, -1, 1 << 50, "")))),
        ):
            tensor.external_data.add(key=key, value=value)


def _nested(model: onnx.ModelProto, rng: random.Random) -> None:
    graph = model.graph
    for _ in range(rng.choice((2, 20, 60))):
        inner = helper.make_node("If", ["x"], ["y"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([inner], "deep", [], [])
        if graph.ByteSize() > 1 << 18:
            break
    model.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=graph, else_branch=graph))


def _attributes(model: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(list(model.graph.node))
    for attribute in node.attribute:
        attribute.i = rng.choice((-1, 0, 1 << 40))
        for index in range(len(attribute.ints)):
            attribute.ints[index] = rng.choice((-1, 0, 1, 1 << 20, 1 << 40))


def _rewired(model: onnx.ModelProto, rng: random.Random) -> None:
    names = [n for node in model.graph.node for n in (*node.input, *node.output)]
    for node in model.graph.node:
        for index in range(len(node.input)):
            if rng.random() < 0.3:
                node.input[index] = rng.choice([*names, "", "nobody"])


_ATTACKS: dict[str, Callable[[onnx.ModelProto, random.Random], None]] = {
    "tensor": _huge_tensor,
    "input": _huge_input,
    "fill": _huge_fill,
    "work": _huge_work,
    "outside": _outside,
    "nested": _nested,
    "attributes": _attributes,
    "rewired": _rewired,
}
SPECIAL: dict[str, dict[str, Mutation]] = {
    "onnx": {"model": _model, "model 2": _model, "model 3": _model},
    "onnx-external": {"model": _model, "model 2": _model, "model 3": _model},
    "safetensors": {"header": _header, "header 2": _header},
    "pt": {"pickle": _pickled},
    "pt2": {"pickle": _pickled},
    "npz": {"pickle": _pickled},
    "artifact-pytorch-mobile": {"pickle": _pickled},
}
