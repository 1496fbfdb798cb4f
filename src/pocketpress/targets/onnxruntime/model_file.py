"""Read an ONNX file that is not trusted yet: sizes, no external data, no nested graphs, the signature.

A file that points to external data would make the runtime read other files of the machine; functions and
nested graphs, but for the body of a Scan, which ends with its sequence, are never written by this target.
All of them are refused before the runtime sees the bytes.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from pocketpress.core.errors import ArtifactError
from pocketpress.core.signature import Signature

SIGNATURE_KEY = "pocketpress.signature"
MAX_FILE_BYTES = 2**31 - 1
MAX_NODES = 100_000
_PLAIN_ATTRIBUTES = frozenset(
    {
        onnx.AttributeProto.FLOAT,
        onnx.AttributeProto.INT,
        onnx.AttributeProto.STRING,
        onnx.AttributeProto.FLOATS,
        onnx.AttributeProto.INTS,
        onnx.AttributeProto.STRINGS,
    }
)


def read_checked(path: Path) -> tuple[bytes, Signature]:
    """The bytes of an artifact of this target and the signature inside.

    Raises:
        ArtifactError: the file is missing, too large, damaged, or holds what this target never writes.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ArtifactError(f"{path.name} is too large", got=f"{size} bytes", allowed=MAX_FILE_BYTES)
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path.name}", got=error.strerror) from error
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise ArtifactError(
            f"{path.name} is not an ONNX file, or it is damaged", got="a decoding error"
        ) from error
    _check_plain(path.name, model)
    texts = [prop.value for prop in model.metadata_props if prop.key == SIGNATURE_KEY]
    if len(texts) != 1:
        raise ArtifactError(
            f"{path.name} carries no Pocketpress signature", next_step="press the network to make an artifact"
        )
    return data, Signature.from_json(texts[0])


def _check_plain(name: str, model: onnx.ModelProto) -> None:
    if model.functions or model.training_info:
        raise ArtifactError(f"{name} holds functions or training data", allowed="plain operators")
    bodies = _check_graph(name, model.graph, loops=True)
    count = len(model.graph.node) + sum(len(body.node) for body in bodies)
    if count > MAX_NODES:
        raise ArtifactError(f"{name} has too many nodes", got=count, allowed=MAX_NODES)
    for body in bodies:
        _check_graph(name, body, loops=False)


def _check_graph(name: str, graph: onnx.GraphProto, *, loops: bool) -> list[onnx.GraphProto]:
    """Check one graph; returns the bodies of its Scan nodes, where it may have such."""
    if graph.sparse_initializer:
        raise ArtifactError(f"{name} holds sparse tensors", allowed="plain operators")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in graph.initializer):
        raise ArtifactError(f"{name} refers to external data files", allowed="one self-contained file")
    bodies = []
    for node in graph.node:
        for attribute in node.attribute:
            if loops and (node.op_type, node.domain, attribute.name) == ("Scan", "", "body"):
                bodies.append(attribute.g)
            elif attribute.type not in _PLAIN_ATTRIBUTES:
                raise ArtifactError(
                    f"{name}: node {node.name} has a nested graph or tensor",
                    allowed="plain attributes, one level of Scan",
                )
    return bodies
