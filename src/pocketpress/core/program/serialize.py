"""A program as bytes: a JSON description and raw arrays, no pickle; equal programs give equal bytes."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import numpy as np

from pocketpress.core.errors import ArtifactError
from pocketpress.core.program.ir import Array, Node, Program, Quantization, TensorType
from pocketpress.core.program.ops import check_program
from pocketpress.core.program.state import State

FORMAT = 2


def to_bytes(program: Program) -> bytes:
    """Serialise deterministically (an ``.npz`` without compression)."""
    names = sorted(program.constants)
    described = {
        "format": FORMAT,
        "inputs": program.inputs,
        "outputs": program.outputs,
        "types": {n: _type_json(t) for n, t in sorted(program.types.items())},
        "constants": names,
        "nodes": [_node_json(node) for node in program.nodes],
    }
    if program.states:
        described["states"] = [[s.input, s.output, s.initial] for s in program.states]
    stream = io.BytesIO()
    text = np.frombuffer(json.dumps(described, sort_keys=True).encode(), np.uint8)
    np.lib.format.write_array(stream, text, allow_pickle=False)
    for name in names:
        np.lib.format.write_array(stream, np.asarray(program.constants[name]), allow_pickle=False)
    return stream.getvalue()


def from_bytes(content: bytes) -> Program:
    """Parse `to_bytes`.

    Raises:
        ArtifactError: not a program of this format.
    """
    stream = io.BytesIO(content)
    try:
        text = np.lib.format.read_array(stream, allow_pickle=False).tobytes().decode()
        data = json.loads(text)
        if data["format"] != FORMAT:
            raise ArtifactError("unknown program format", got=data["format"], allowed=FORMAT)
        constants: dict[str, Array] = {
            name: np.lib.format.read_array(stream, allow_pickle=False) for name in data["constants"]
        }
        program = Program(
            tuple(data["inputs"]),
            tuple(data["outputs"]),
            {n: _type(t) for n, t in data["types"].items()},
            constants,
            tuple(
                Node(op, name, tuple(i), tuple(o), {k: _tuples(v) for k, v in attrs.items()}, source)
                for op, name, i, o, attrs, source in data["nodes"]
            ),
            tuple(State(i, o, tuple(initial)) for i, o, initial in data.get("states", ())),
        )
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise ArtifactError("not a saved program", got=type(error).__name__) from error
    check_program(program)
    return program


def program_hash(program: Program) -> str:
    """SHA-256 of what the program computes; the user's source lines do not count."""
    digest = hashlib.sha256()
    described: list[Any] = [program.inputs, program.outputs]
    described += [[s.input, s.output, s.initial] for s in program.states]
    described.append([(n, _type_json(t)) for n, t in sorted(program.types.items())])
    for node in program.nodes:
        attrs = sorted((name, str(value)) for name, value in node.attrs.items())
        described.append([node.op, node.inputs, node.outputs, attrs])
    digest.update(json.dumps(described, sort_keys=True).encode())
    for name in sorted(program.constants):
        digest.update(np.ascontiguousarray(program.constants[name]).tobytes())
    return digest.hexdigest()


def _node_json(node: Node) -> list[Any]:
    return [node.op, node.name, node.inputs, node.outputs, dict(sorted(node.attrs.items())), node.source]


def _type_json(type_: TensorType) -> list[Any]:
    quant = type_.quant
    return [
        list(type_.shape),
        type_.dtype,
        None if quant is None else [list(quant.scale), quant.zero_point, quant.axis, quant.block],
        type_.palette,
    ]


def _type(item: list[Any]) -> TensorType:
    shape, dtype, quant, palette = item
    parsed = None if quant is None else Quantization(tuple(quant[0]), int(quant[1]), quant[2], quant[3])
    return TensorType(tuple(shape), dtype, parsed, None if palette is None else tuple(palette))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
