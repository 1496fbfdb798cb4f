"""Read an ONNX file: within limits, and without leaving its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketpress.core.errors import MissingExtraError, SourceError, UnsupportedError

if TYPE_CHECKING:
    import onnx_ir

MAX_BYTES = 2 << 30
MAX_WEIGHT_BYTES = 8 << 30
MAX_NODES = 1 << 18
MAX_SUBGRAPHS = 256
"""Branches and bodies of nodes; a graph that holds itself twice at every level is small and never read."""
OLDEST, NEWEST = 7, 28
"""ONNX Runtime reads none older either; `pocketpress.sources.onnx.older` knows what has changed since."""
DOMAINS = ("", "ai.onnx")


def read_model(path: Path) -> onnx_ir.Model:
    """Parse and check a file.

    Raises:
        SourceError: no such file, too large, malformed, or its weights lie outside its folder.
        UnsupportedError: an operator set that is not supported.
        MissingExtraError: onnx-ir is not installed.
    """
    try:
        import onnx_ir
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "ONNX files need onnx-ir", next_step="run: pip install 'pocketpress[onnx]'"
        ) from error
    if not path.is_file():
        raise SourceError("no such file", got=path)
    if path.stat().st_size > MAX_BYTES:
        raise SourceError(f"{path} is too large", got=path.stat().st_size, allowed=f"{MAX_BYTES} bytes")
    try:
        messages: Any = onnx_ir.serde  # the format's messages, which it holds
        proto = messages.onnx.ModelProto.FromString(path.read_bytes())
        _check_counts(proto, path)
        model = onnx_ir.serde.deserialize_model(proto)
        onnx_ir.external_data.set_base_dir(model.graph, path.parent)
        _check_weights(model, path)
    except SourceError:
        raise
    except Exception as error:  # a parser of untrusted bytes may raise anything
        line = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise SourceError(f"{path} is not a readable ONNX file", got=line) from error
    check_version(model, path)
    return model


def operator_set(model: onnx_ir.Model) -> int | None:
    """Version of the standard's operators in a model."""
    return next((v for d, v in model.opset_imports.items() if d in DOMAINS), None)


def check_version(model: onnx_ir.Model, path: Path | str) -> None:
    """Refuse operator sets outside the supported range, and functions of the file's own."""
    version = operator_set(model)
    if version is None or not OLDEST <= version <= NEWEST:
        raise UnsupportedError(
            f"{path} has an operator set that is not supported",
            got="none of the standard's operators" if version is None else version,
            allowed=f"{OLDEST} to {NEWEST}",
            next_step="export it anew, or convert it with onnx.version_converter",
        )
    if len(model.functions):
        raise UnsupportedError(
            f"{path} defines functions of its own",
            got=[f.name for f in model.functions.values()][:3],
            next_step="export it with functions inlined (onnx.inliner)",
        )


def _check_counts(proto: Any, path: Path) -> None:
    """Before anything is made of them: nodes and graphs within nodes."""
    waiting, nodes, graphs = [proto.graph], 0, -1
    while waiting:
        graph = waiting.pop()
        nodes, graphs = nodes + len(graph.node), graphs + 1
        if nodes > MAX_NODES or graphs > MAX_SUBGRAPHS:
            raise SourceError(
                f"{path} has too many nodes or branches",
                got=f"{nodes} nodes and {graphs} branches or more",
                allowed=f"{MAX_NODES} nodes, {MAX_SUBGRAPHS} branches",
            )
        for node in graph.node:
            for attribute in node.attribute:
                waiting += [attribute.g] if attribute.HasField("g") else []
                waiting += attribute.graphs


def _check_weights(model: onnx_ir.Model, path: Path) -> None:
    """Weights kept in other files must be regular files in the model's folder, and as long as they say."""
    import onnx_ir

    folder = path.resolve().parent
    total = 0
    for tensor in _tensors(model):
        total += tensor.nbytes
        if total > MAX_WEIGHT_BYTES:
            raise SourceError(f"{path} holds too many weights", allowed=f"{MAX_WEIGHT_BYTES} bytes")
        if not isinstance(tensor, onnx_ir.ExternalTensor):
            continue
        where = (folder / str(tensor.location)).resolve()
        if not where.is_relative_to(folder):
            raise SourceError(
                f"{path} wants weights from outside its folder",
                got=str(tensor.location),
                allowed="files beside the model",
            )
        end = (tensor.offset or 0) + tensor.nbytes
        if not where.is_file() or where.stat().st_size < end or (tensor.offset or 0) < 0:
            raise SourceError(
                f"{path}: weights of {tensor.name} are missing",
                got=str(tensor.location),
                allowed=f"a file of {end} bytes or more beside the model",
            )


def _tensors(model: onnx_ir.Model) -> Iterator[Any]:
    for value in model.graph.initializers.values():
        if value.const_value is not None:
            yield value.const_value
    for node in model.graph:
        for attribute in node.attributes.values():
            if attribute.type.name == "TENSOR":
                yield attribute.value
