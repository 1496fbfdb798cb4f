"""Read an ONNX file that is not trusted yet: sizes, no external data, no nested graphs, the signature.

A file that points to external data would make the runtime read other files of the machine; nested graphs
(loops) and functions are never written by this target.  All of them are refused before the runtime sees the
bytes.
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
    graph = model.graph
    if len(graph.node) > MAX_NODES:
        raise ArtifactError(f"{name} has too many nodes", got=len(graph.node), allowed=MAX_NODES)
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in graph.initializer):
        raise ArtifactError(f"{name} refers to external data files", allowed="one self-contained file")
    if model.functions or graph.sparse_initializer or model.training_info:
        raise ArtifactError(
            f"{name} holds functions, sparse tensors or training data", allowed="plain operators"
        )
    for node in graph.node:
        if any(attribute.type not in _PLAIN_ATTRIBUTES for attribute in node.attribute):
            raise ArtifactError(
                f"{name}: node {node.name} has a nested graph or tensor", allowed="plain attributes"
            )
