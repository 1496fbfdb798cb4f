"""A TFLite file as a live network with example inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from pocketpress.sources.steps.examples import examples_of
from pocketpress.sources.steps.network import StepNetwork
from pocketpress.sources.tflite.dilated import with_dilations
from pocketpress.sources.tflite.graph import parse
from pocketpress.sources.tflite.operators.table import OPERATORS
from pocketpress.sources.tflite.read import read_file
from pocketpress.sources.tflite.states import with_states


def load_tflite(
    path: Path, shapes: Sequence[tuple[int, ...]] | None = None
) -> tuple[StepNetwork, tuple[torch.Tensor, ...]]:
    """Read a file; inputs and outputs keep the file's order of axes (images: N, H, W, C).

    Args:
        path: of the file.
        shapes: of the inputs, in the file's order, instead of the file's own.

    Raises:
        SourceError: the file is malformed, or the shape of an input is not known.
        UnsupportedError: an operator or a type that is not supported.
    """
    graph = with_dilations(parse(with_states(read_file(path)), path.stat().st_size))
    examples = examples_of(graph, shapes, path)
    return StepNetwork(graph, examples, OPERATORS).eval(), examples
