"""An ONNX file as a live network with example inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from pocketpress.sources.onnx.gelu import with_gelu
from pocketpress.sources.onnx.graph import parse
from pocketpress.sources.onnx.integers import with_real_operators
from pocketpress.sources.onnx.operators.table import OPERATORS
from pocketpress.sources.onnx.quantized import without_rounding
from pocketpress.sources.onnx.read import read_model
from pocketpress.sources.steps.examples import examples_of
from pocketpress.sources.steps.network import StepNetwork


def load_onnx(
    path: Path, shapes: Sequence[tuple[int, ...]] | None = None
) -> tuple[StepNetwork, tuple[torch.Tensor, ...]]:
    """Read a file.

    Args:
        path: of the file.
        shapes: of the inputs, in the file's order, instead of the file's own.

    Raises:
        SourceError: the file is malformed, or the shape of an input is not known.
        UnsupportedError: an operator or a type that is not supported.
    """
    graph = with_gelu(without_rounding(with_real_operators(parse(read_model(path)))))
    examples = examples_of(graph, shapes, path)
    return StepNetwork(graph, examples, OPERATORS).eval(), examples
