"""Pooling in the form that exports, computed as TensorFlow and JAX do.

Keras' torch backend repeats the border where the padding "same" differs on both sides.  For a maximum this is
right, and is written here as a padding with minus infinity, which every runtime has; for a mean it is not
(the border counts twice), so windows are divided by the number of pixels they hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]
Window = Callable[[Tensor, Pair, Pair, Pads], Tensor]


def _maximum(x: Tensor, size: Pair, stride: Pair, pads: Pads) -> Tensor:
    padded = functional.pad(x, pads, value=-torch.inf) if any(pads) else x
    return functional.max_pool2d(padded, size, stride)


def _mean(x: Tensor, size: Pair, stride: Pair, pads: Pads) -> Tensor:
    if not any(pads):
        return functional.avg_pool2d(x, size, stride)
    share = functional.avg_pool2d(functional.pad(torch.ones(1, 1, *x.shape[2:]), pads), size, stride)
    return functional.avg_pool2d(functional.pad(x, pads), size, stride) * (1 / share)


def _pool(window: Window) -> Callable[[Any, Tensor], Tensor]:
    """The call of a pooling layer over one or two axes, channels first or last as the layer says."""

    def call(layer: Any, inputs: Tensor) -> Tensor:
        x = as_images(layer, inputs)
        rank = inputs.dim() - 2
        size, stride = _pair(layer.pool_size, rank), _pair(layer.strides, rank)
        pads = _pads(x, size, stride) if layer.padding == "same" else (0, 0, 0, 0)
        return as_given(layer, window(x, size, stride, pads), inputs)

    return call


def _global_maximum(layer: Any, inputs: Tensor) -> Tensor:
    x = as_images(layer, inputs)
    found = functional.max_pool2d(x, x.shape[2:])
    return as_given(layer, found, inputs) if layer.keepdims else found.flatten(1)


def _pair(value: Any, rank: int) -> Pair:
    items = (1, *value) if rank == 1 else tuple(value)
    return (int(items[0]), int(items[1]))


def _pads(x: Tensor, size: Pair, stride: Pair) -> Pads:
    """(left, right, top, bottom), as `torch.nn.functional.pad` takes them; the end has the odd one."""
    found: list[int] = []
    for axis in (1, 0):
        length = int(x.shape[2 + axis])
        total = max((-(-length // stride[axis]) - 1) * stride[axis] + size[axis] - length, 0)
        found += [total // 2, total - total // 2]
    return (found[0], found[1], found[2], found[3])


def as_images(layer: Any, x: Tensor) -> Tensor:
    """A layer's input as NCHW; a sequence is an image of height one."""
    if layer.data_format != "channels_first":
        x = x.permute(0, 2, 1) if x.dim() == 3 else x.permute(0, 3, 1, 2)
    return x.unsqueeze(2) if x.dim() == 3 else x


def as_given(layer: Any, x: Tensor, given: Tensor) -> Tensor:
    """An NCHW result in the order and rank of the layer's input."""
    if given.dim() == 3:
        x = x.squeeze(2)
    if layer.data_format == "channels_first":
        return x
    return x.permute(0, 2, 1) if x.dim() == 3 else x.permute(0, 2, 3, 1)


CALLS: dict[str, Callable[..., Tensor]] = {
    **{f"MaxPooling{n}D": _pool(_maximum) for n in (1, 2)},
    **{f"AveragePooling{n}D": _pool(_mean) for n in (1, 2)},
    **{f"GlobalMaxPooling{n}D": _global_maximum for n in (1, 2)},
}
"""By the layer's class name."""
