"""Read an ONNX file that is not trusted yet: sizes, no external data, no nested graphs, the signature.

A file that points to external data would make the runtime read other files of the machine; functions and
nested graphs, but for the body of a Scan, which ends with its sequence, are never written by this target.
All of them are refused before the runtime sees the bytes.
"""

from __future__ import annotations

from pathlib import Path

from pocketpress.core.errors import ArtifactError
from pocketpress.core.signature import Signature
from pocketpress.targets.onnxruntime.wire import Message, WireError

SIGNATURE_KEY = "pocketpress.signature"
MAX_FILE_BYTES = 2**31 - 1
MAX_NODES = 100_000

# Field numbers of onnx.proto
_MODEL_GRAPH, _MODEL_METADATA, _MODEL_TRAINING, _MODEL_FUNCTIONS = 7, 14, 20, 25
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14
_NODE_NAME, _NODE_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 3, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TYPE = 1, 6, 20
_NESTED = (5, 6, 10, 11, 14, 15, 22, 23)
"""Fields of an attribute that hold tensors, graphs or types."""
_PLAIN = (1, 2, 3, 6, 7, 8)
"""Types of an attribute: FLOAT, INT, STRING, and several of them."""
_RUNTIME_FORMAT = b"ORTM"
"""At byte 4 it makes ONNX Runtime read a file as one of its own format."""


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
        if data[4:8] == _RUNTIME_FORMAT:
            raise WireError("another format")
        model = Message(memoryview(data))
        _check_plain(path.name, model)
        entries = [Message(part) for part in model.parts(_MODEL_METADATA)]
        texts = [entry.text(_ENTRY_VALUE) for entry in entries if entry.text(_ENTRY_KEY) == SIGNATURE_KEY]
    except WireError as error:
        raise ArtifactError(f"{path.name} is not an ONNX file, or it is damaged", got=error) from error
    if len(texts) != 1:
        raise ArtifactError(
            f"{path.name} carries no Pocketpress signature", next_step="press the network to make an artifact"
        )
    return data, Signature.from_json(texts[0])


def _check_plain(name: str, model: Message) -> None:
    if _MODEL_FUNCTIONS in model or _MODEL_TRAINING in model:
        raise ArtifactError(f"{name} holds functions or training data", allowed="plain operators")
    graph = Message(*model.parts(_MODEL_GRAPH))
    bodies = _check_graph(name, graph, loops=True)
    count = sum(len(each.parts(_GRAPH_NODE)) for each in (graph, *bodies))
    if count > MAX_NODES:
        raise ArtifactError(f"{name} has too many nodes", got=count, allowed=MAX_NODES)
    for body in bodies:
        _check_graph(name, body, loops=False)


def _check_graph(name: str, graph: Message, *, loops: bool) -> list[Message]:
    """Check one graph; returns the bodies of its Scan nodes, where it may have such."""
    if _GRAPH_SPARSE in graph:
        raise ArtifactError(f"{name} holds sparse tensors", allowed="plain operators")
    for tensor in map(Message, graph.parts(_GRAPH_INITIALIZER)):
        if _TENSOR_EXTERNAL in tensor or any(tensor.numbers(_TENSOR_LOCATION)):
            raise ArtifactError(f"{name} refers to external data files", allowed="one self-contained file")
    bodies = []
    for node in map(Message, graph.parts(_GRAPH_NODE)):
        scans = loops and (node.text(_NODE_TYPE), node.text(_NODE_DOMAIN)) == ("Scan", "")
        for attribute in map(Message, node.parts(_NODE_ATTRIBUTE)):
            if scans and attribute.text(_ATTRIBUTE_NAME) == "body":
                bodies.append(Message(*attribute.parts(_ATTRIBUTE_GRAPH)))
            elif attribute.number(_ATTRIBUTE_TYPE) not in _PLAIN or any(n in attribute for n in _NESTED):
                raise ArtifactError(
                    f"{name}: node {node.text(_NODE_NAME)} has a nested graph or tensor",
                    allowed="plain attributes, one level of Scan",
                )
    return bodies
