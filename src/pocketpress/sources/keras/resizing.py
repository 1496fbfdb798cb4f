"""Nearest-neighbour upsampling as one operator: Keras repeats rows and columns instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional

from pocketpress.sources.keras.pooling import as_given, as_images


def _upsample(layer: Any, inputs: Tensor) -> Tensor:
    """``UpSampling2D.call`` with interpolation "nearest"; other interpolations are Keras' own."""
    if layer.interpolation != "nearest":
        found: Tensor = type(layer).call(layer, inputs)
        return found
    x = as_images(layer, inputs)
    size = [int(d) * int(factor) for d, factor in zip(x.shape[2:], layer.size, strict=True)]
    return as_given(layer, functional.interpolate(x, size=size, mode="nearest"), inputs)


CALLS: dict[str, Callable[..., Tensor]] = {"UpSampling2D": _upsample}
"""By the layer's class name."""
