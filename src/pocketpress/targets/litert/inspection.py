"""Read what a ``.tflite`` file says about itself, trusting nothing in it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from pocketpress.core.errors import ArtifactError
from pocketpress.core.signature import Signature
from pocketpress.targets.litert.graph import IDENTIFIER, SCHEMA_VERSION, SIGNATURE_METADATA

MIN_SIZE_BYTES = 64
MAX_SIZE_BYTES = (1 << 31) - 1
MAX_TENSORS = 1 << 20


def read_model(path: Path) -> Any:
    """Unpack the file's flatbuffer as ``ModelT``.

    Raises:
        ArtifactError: missing, too small, too large, another format, truncated or malformed.
    """
    from ai_edge_litert import schema_py_generated as schema

    content = _content(path)
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        _check_model(model)
    except (
        struct.error,
        IndexError,
        ValueError,
        TypeError,
        OverflowError,
        MemoryError,
        AttributeError,
        RecursionError,
        UnicodeDecodeError,
    ) as error:
        raise ArtifactError(
            f"{path.name} is damaged", got=type(error).__name__, next_step="build it again"
        ) from error
    return model


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise ArtifactError("no such artifact", got=path)
    size = path.stat().st_size
    if not MIN_SIZE_BYTES <= size <= MAX_SIZE_BYTES:
        raise ArtifactError(
            f"{path.name} is not a .tflite file",
            got=f"{size} bytes",
            allowed=f"{MIN_SIZE_BYTES} to {MAX_SIZE_BYTES} bytes",
        )
    content = path.read_bytes()
    if content[4:8] != IDENTIFIER:
        raise ArtifactError(f"{path.name} is not a .tflite file", got=content[4:8], allowed=IDENTIFIER)
    return content


def _check_model(model: Any) -> None:
    if model.version != SCHEMA_VERSION or not model.subgraphs:
        raise ValueError("version or subgraphs")
    buffers = len(model.buffers or ())
    codes = len(model.operatorCodes or ())
    for graph in model.subgraphs:
        tensors = len(graph.tensors or ())
        if tensors > MAX_TENSORS:
            raise ValueError("too many tensors")
        if any(not 0 <= t.buffer < buffers for t in graph.tensors or ()):
            raise ValueError("buffer out of range")
        for operator in graph.operators or ():
            if not 0 <= operator.opcodeIndex < codes:
                raise ValueError("operator code out of range")
            _check_indices(operator.inputs, tensors, optional=True)
            _check_indices(operator.outputs, tensors, optional=False)
        _check_indices(graph.inputs, tensors, optional=False)
        _check_indices(graph.outputs, tensors, optional=False)


def _check_indices(indices: Any, tensors: int, *, optional: bool) -> None:
    least = -1 if optional else 0
    if indices is not None and any(not least <= int(i) < tensors for i in indices):
        raise ValueError("tensor out of range")


def read_signature(path: Path) -> Signature:
    """The signature that this target embeds.

    Raises:
        ArtifactError: as `read_model`, or the file was not written by this target.
    """
    model = read_model(path)
    for entry in model.metadata or ():
        name = entry.name.decode(errors="replace") if isinstance(entry.name, bytes) else entry.name
        if name == SIGNATURE_METADATA and 0 <= entry.buffer < len(model.buffers):
            data = model.buffers[entry.buffer].data
            if data is not None:
                try:
                    return Signature.from_json(bytes(bytearray(data)).decode())
                except UnicodeDecodeError as error:
                    raise ArtifactError("embedded signature is malformed", got="not UTF-8") from error
    raise ArtifactError(
        f"{path.name} carries no Pocketpress signature",
        next_step="use an artifact written by `pocketpress press`",
    )
