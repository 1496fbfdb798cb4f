"""Pooling with padding "same", computed as TensorFlow and JAX do.

Keras' torch backend repeats the border where the padding is not the same on both sides.  For a maximum this is
right, and is written here as a padding with minus infinity, which every runtime has; for a mean it is not
(the border counts twice), so windows are divided by the number of pixels they hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Pads = tuple[int, int, int, int]


def max_pool(layer: Any, inputs: Tensor) -> Tensor:
    """``MaxPooling2D.call``; NHWC or NCHW as the layer says."""
    x = _channels_first(layer, inputs)
    pads = _pads(layer, x)
    if any(pads):
        x = functional.pad(x, pads, value=-torch.inf)
    return _back(layer, functional.max_pool2d(x, layer.pool_size, layer.strides))


def average_pool(layer: Any, inputs: Tensor) -> Tensor:
    """``AveragePooling2D.call``; NHWC or NCHW as the layer says."""
    x = _channels_first(layer, inputs)
    pads = _pads(layer, x)
    if not any(pads):
        return _back(layer, functional.avg_pool2d(x, layer.pool_size, layer.strides))
    area = layer.pool_size[0] * layer.pool_size[1]
    ones = functional.pad(torch.ones(1, 1, *x.shape[2:]), pads)
    count = functional.avg_pool2d(ones, layer.pool_size, layer.strides) * area
    mean = functional.avg_pool2d(functional.pad(x, pads), layer.pool_size, layer.strides)
    return _back(layer, mean * (area / count))


def _pads(layer: Any, x: Tensor) -> Pads:
    """(left, right, top, bottom), as `torch.nn.functional.pad` takes them."""
    if layer.padding != "same":
        return (0, 0, 0, 0)
    found: list[int] = []
    for axis in (1, 0):
        size, kernel, stride = int(x.shape[2 + axis]), layer.pool_size[axis], layer.strides[axis]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        found += [total // 2, total - total // 2]
    return (found[0], found[1], found[2], found[3])


def _channels_first(layer: Any, x: Tensor) -> Tensor:
    return x if layer.data_format == "channels_first" else x.permute(0, 3, 1, 2)


def _back(layer: Any, x: Tensor) -> Tensor:
    return x if layer.data_format == "channels_first" else x.permute(0, 2, 3, 1)


EXACT_CALLS: dict[str, Callable[..., Tensor]] = {"MaxPooling2D": max_pool, "AveragePooling2D": average_pool}
"""By the layer's class name."""
