"""Embeddings without what Keras' torch backend does about negative indices, which tables do not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional


def _embedding(layer: Any, inputs: Tensor) -> Tensor:
    from keras import ops

    return functional.embedding(inputs, ops.convert_to_tensor(layer.embeddings))


def take_indices(model: Any) -> None:
    """Let inputs that only embeddings read be whole numbers.

    ``Input((length,))`` is float32 unless its author says otherwise, and every embedding makes it int32.
    """
    for tensor in model.inputs:
        nodes = tensor._keras_history.operation._outbound_nodes
        readers = {type(node.operation).__name__ for node in nodes} - {"NotEqual"}  # that makes a mask
        if tensor.dtype == "float32" and readers == {"Embedding"}:
            tensor._dtype = "int32"


CALLS: dict[str, Callable[..., Tensor]] = {"Embedding": _embedding}
"""By the layer's class name."""
