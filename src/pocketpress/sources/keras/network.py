"""A Keras model as a torch network whose inputs, outputs and steps have the names of its layers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.fx.traceback import annotate

from pocketpress.sources.keras import look_up, pooling, recurrent, resizing, time_distributed
from pocketpress.sources.named import ANNOTATION, with_parameters

CALLS: dict[str, Callable[..., Any]] = {
    **look_up.CALLS,
    **pooling.CALLS,
    **recurrent.CALLS,
    **resizing.CALLS,
    **time_distributed.CALLS,
}
"""What replaces a layer's own call, which would not export or not be exact, by the layer's class."""


class KerasNetwork(nn.Module):
    """Takes a model's inputs in order, returns its outputs by name.

    Args:
        model: a built functional or sequential model, on the CPU.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.names = _unique([str(tensor._keras_history.operation.name) for tensor in model.outputs])
        layers = list(model._flatten_layers(include_self=False))
        recurrent.check(layers)
        time_distributed.check(layers)
        for layer in layers:
            _prepare(layer)
        self.forward = with_parameters(self.run, [str(tensor.name) for tensor in model.inputs])

    def run(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Run the model at inference; the same as ``forward``, whose parameters have the inputs' names."""
        from keras import tree

        given = inputs[0] if len(inputs) == 1 else tree.pack_sequence_as(self.model.input, list(inputs))
        found = self.model(given, training=False)
        return dict(zip(self.names, tree.flatten(found), strict=True))


def _prepare(layer: Any) -> None:
    """Let a layer's call say its name in the exported graph, and replace calls that do not export."""
    kind = type(layer).__name__
    call = CALLS.get(kind)
    inner = layer.call if call is None else functools.partial(call, layer)
    if not hasattr(layer, "layers"):
        layer.call = _named(inner, layer.call, f"{layer.name} ({kind})")


def _named(inner: Callable[..., Any], original: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        with annotate({ANNOTATION: name}):
            return inner(*args, **kwargs)

    return call


def _unique(names: Sequence[str]) -> list[str]:
    return [name if name not in names[:i] else f"{name}_{i}" for i, name in enumerate(names)]
