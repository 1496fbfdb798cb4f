"""From what the user typed to a network: the kind of source decides who reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch.fx.traceback import preserve_node_meta

from pocketpress.core.errors import PocketpressError, SourceError
from pocketpress.core.program.state import State, with_states
from pocketpress.sources.huggingface.names import TIMM, is_checkpoint, parse
from pocketpress.sources.named import plain_names
from pocketpress.sources.pytorch import Shapes, export_module, load_pytorch
from pocketpress.sources.source import Source
from pocketpress.sources.steps.network import StepNetwork
from pocketpress.sources.vetted import READERS as VETTED
from pocketpress.sources.vetted import check_readable, unreadable

SAVED = {
    ".pt2": "pt2", ".onnx": "onnx", ".tflite": "tflite",
    ".keras": "keras", ".h5": "keras", ".hdf5": "keras",
}  # fmt: skip
"""Kind of the files that hold a whole network, by suffix."""

Listed = Sequence[tuple[int, ...]] | None
Live = tuple[torch.nn.Module, tuple[torch.Tensor, ...]]


def saved_kind(spec: str) -> str | None:
    """Kind of a file, or of a checkpoint, that holds a whole network; None for a factory."""
    if is_checkpoint(spec):
        return "huggingface"
    return SAVED.get(Path(spec).suffix.lower()) if ":" not in Path(spec).name else None


def load_source(
    spec: str, *, weights: Path | None = None, shapes: Shapes | None = None, states: Sequence[State] = ()
) -> Source:
    """Read a network as a float program.

    Args:
        spec: ``package.module:factory``, ``path/to/file.py:factory``, a file (`SAVED`), ``hf:ORG/NAME``,
            ``hf:./folder``, ``timm:NAME`` or ``zoo:NAME``.
        weights: of a factory's network.
        shapes: input shapes, by name or in order.
        states: besides those that a factory declares; one of the same input takes its place.

    Raises:
        SourceError: there is no such network, it cannot be read, or has not such states.
        UnsupportedError: an operator or type in it is not supported.
    """
    source = _load(spec, weights, shapes)
    if not states:
        return source
    named = {state.input for state in states}
    others = tuple(state for state in source.program.states if state.input not in named)
    return replace(source, program=with_states(source.program, (*others, *states)))


def _load(spec: str, weights: Path | None, shapes: Shapes | None) -> Source:
    if is_checkpoint(spec):
        return _load_checkpoint(spec, weights, shapes)
    kind = saved_kind(spec)
    if kind not in READERS:
        return load_pytorch(spec, weights=weights, shapes=shapes)
    name, _ = READERS[kind]
    if weights is not None:
        raise SourceError(
            f"{name} holds its weights", got=f"--weights {weights}", next_step="leave --weights out"
        )
    network, examples = read_file(kind, Path(spec), shapes)
    with preserve_node_meta():  # keeps the names that the network annotates its steps with
        source = export_module(network, examples, spec, name=Path(spec).stem)
    if not isinstance(network, StepNetwork):
        return source
    graph = network.graph
    names = [given.name for given in graph.inputs]
    called = dict(zip(names, plain_names(names), strict=True))
    kept = [replace(state, input=called[state.input]) for state in graph.states]
    return replace(
        source,
        program=with_states(source.program, kept),
        skipped=(*source.skipped, *graph.notes),
        given=graph.given,
        format=graph.format,
    )


def read_file(kind: str, path: Path, shapes: Shapes | None = None, *, vet: bool = True) -> Live:
    """An untrusted file as a live network, read in a child process first where its parser is native code.

    Args:
        kind: of `READERS`.
        path: of the file.
        shapes: of the inputs.
        vet: whether to read it in a child first.

    Raises:
        SourceError: it cannot be read, whatever its parser says.
        UnsupportedError: an operator or type in it is not supported.
    """
    name, read = READERS[kind]
    if vet and kind in VETTED:
        check_readable(kind, path)
    try:
        return read(path, list(shapes.values()) if isinstance(shapes, Mapping) else shapes)
    except PocketpressError:
        raise
    except Exception as error:  # a reader of untrusted bytes may raise anything
        raise unreadable(path, name, error) from error


def _load_checkpoint(spec: str, weights: Path | None, shapes: Shapes | None) -> Source:
    checkpoint = parse(spec)
    if weights is not None:
        raise SourceError(
            "a checkpoint holds its weights", got=f"--weights {weights}", next_step="leave --weights out"
        )
    from pocketpress.sources.huggingface.load import load_checkpoint
    from pocketpress.sources.huggingface.timm_network import load_timm

    listed = list(shapes.values()) if isinstance(shapes, Mapping) else shapes
    read = load_timm if spec.startswith(TIMM) else load_checkpoint
    loaded = read(checkpoint, listed)
    source = export_module(loaded.module, loaded.examples, spec, name=checkpoint.name)
    return replace(
        source,
        skipped=source.skipped + loaded.notes,
        preprocessing=loaded.preprocessing,
        labels={source.program.outputs[0]: loaded.labels} if loaded.labels else {},
        sha256=loaded.sha256,
    )


def _read_onnx(path: Path, shapes: Listed) -> Live:
    from pocketpress.sources.onnx.load import load_onnx

    return load_onnx(path, shapes)


def _read_tflite(path: Path, shapes: Listed) -> Live:
    from pocketpress.sources.tflite.load import load_tflite

    return load_tflite(path, shapes)


def _read_keras(path: Path, shapes: Listed) -> Live:
    from pocketpress.sources.keras.load import load_keras

    return load_keras(path, shapes)


READERS: dict[str, tuple[str, Callable[[Path, Listed], Live]]] = {
    "onnx": ("an ONNX file", _read_onnx),
    "tflite": ("a TFLite file", _read_tflite),
    "keras": ("a Keras file", _read_keras),
}
"""Kinds of files that become a live network first: what to call one, and who reads it."""
