"""From what the user typed to a network: the kind of source decides who reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch.fx.traceback import preserve_node_meta

from pocketpress.core.errors import SourceError
from pocketpress.sources.pytorch import Shapes, export_module, load_pytorch
from pocketpress.sources.source import Source

SAVED = {".pt2": "pt2", ".onnx": "onnx"}
"""Kind of the files that hold a whole network, by suffix."""


def saved_kind(spec: str) -> str | None:
    """Kind of a file that holds a whole network; None for a factory."""
    return SAVED.get(Path(spec).suffix.lower()) if ":" not in Path(spec).name else None


def load_source(spec: str, *, weights: Path | None = None, shapes: Shapes | None = None) -> Source:
    """Read a network as a float program.

    Args:
        spec: ``package.module:factory``, ``path/to/file.py:factory``, or a ``.pt2`` or ``.onnx`` file.
        weights: of a factory's network.
        shapes: input shapes, by name or in order.

    Raises:
        SourceError: there is no such network, or it cannot be read.
        UnsupportedError: an operator or type in it is not supported.
    """
    if saved_kind(spec) != "onnx":
        return load_pytorch(spec, weights=weights, shapes=shapes)
    if weights is not None:
        raise SourceError(
            "an ONNX file holds its weights", got=f"--weights {weights}", next_step="leave --weights out"
        )
    from pocketpress.sources.onnx.load import load_onnx

    listed = list(shapes.values()) if isinstance(shapes, Mapping) else shapes
    network, examples = load_onnx(Path(spec), listed)
    with preserve_node_meta():  # keeps the names that the network annotates its steps with
        source = export_module(network, examples, spec, name=Path(spec).stem)
    return replace(source, skipped=source.skipped + network.graph.notes)
