"""A layer at every step of a sequence: the steps are joined to the batch, as no step sees another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from pocketpress.core.errors import UnsupportedError


def check(layers: Sequence[Any]) -> None:
    """Refuse a mask, which steps that are no dense layer might see.

    Raises:
        UnsupportedError: naming the layer.
    """
    masked = any(getattr(layer, "mask_zero", type(layer).__name__ == "Masking") for layer in layers)
    for layer in layers:
        if masked and type(layer).__name__ == "TimeDistributed" and not _is_dense(layer):
            raise UnsupportedError(
                f"layer {layer.name} (TimeDistributed) in a network with masks is not supported",
                next_step="give sequences of one length, without Masking or mask_zero",
            )


def _is_dense(layer: Any) -> bool:
    return type(layer.layer).__name__ == "Dense"


def _at_every_step(layer: Any, inputs: Tensor, training: Any = None, mask: Any = None) -> Tensor:
    inner = layer.layer
    if _is_dense(layer):
        return inner(inputs)  # type: ignore[no-any-return]
    batch, steps = inputs.shape[:2]
    found = inner(inputs.reshape(batch * steps, *inputs.shape[2:]))
    return found.reshape(batch, steps, *found.shape[1:])  # type: ignore[no-any-return]


CALLS: dict[str, Callable[..., Tensor]] = {"TimeDistributed": _at_every_step}
"""By the layer's class name."""
