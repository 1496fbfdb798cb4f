"""Reductions, and normalisations that are made of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.sources.steps.call import Call, Operator
from pocketpress.sources.tflite.operators.activation import activated
from pocketpress.sources.tflite.operators.elementwise import DTYPES
from pocketpress.sources.tflite.operators.layout import TO_NCHW, TO_NHWC, narrowed, on_image

Reduction = Callable[[Tensor, list[int], bool], Tensor]
SMALLEST_NORM = 1e-6
"""LiteRT divides by no smaller number (reference_ops::L2Normalization)."""
MOST_NEIGHBOURS = 16
"""Channels on either side that a local response adds up one by one."""


def reduce(function: Reduction) -> Operator:
    """Axes from an input; over the height and width of an image in torch's layout."""

    def run(call: Call) -> Tensor:
        axes = call.ints(1, "axes")
        rank = call.x.ndim
        if axes is None or any(not -rank <= axis < rank for axis in axes):
            raise call.refuse("axes", axes, f"-{rank} to {rank - 1}")
        unique, keep = sorted({axis % rank for axis in axes}), bool(call.attribute("keepDims"))
        if not unique:
            return call.x
        if rank == 4 and unique == [1, 2]:
            found = function(call.x.permute(TO_NCHW), [2, 3], keep)
            return found.permute(TO_NHWC) if keep else found
        return function(call.x, unique, keep)

    return run


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in reversed(axes):
        x = x.prod(axis, keepdim=keep)
    return x


def _largest(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    """Over height and width a pooling, which every runtime has."""
    if axes != [2, 3] or x.ndim != 4 or not x.is_floating_point():
        return x.amax(axes, keepdim=keep)
    found = F.max_pool2d(x, x.shape[2:])
    return found if keep else found.flatten(1)


def _smallest(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return -_largest(-x, axes, keep)


def _extreme(function: Callable[..., Tensor]) -> Operator:
    def run(call: Call) -> Tensor:
        axes = call.ints(1, "axis")
        if axes is None or len(axes) != 1:
            raise call.refuse("axis", axes, "one number")
        return function(call.x, axes[0]).to(DTYPES.get(int(call.attribute("outputType")), torch.int64))

    return run


def _softmax(call: Call) -> Tensor:
    beta = float(call.attribute("beta"))
    return torch.softmax(call.x if beta == 1 else call.x * beta, -1)


def _l2_normalization(call: Call) -> Tensor:
    norm = torch.sqrt(torch.sum(call.x * call.x, -1, keepdim=True))
    return activated(call, call.x / torch.clamp(norm, min=SMALLEST_NORM))


def _local_response(call: Call, x: Tensor) -> Tensor:
    """x / (bias + alpha * sum of squares of the neighbouring channels) ** beta."""
    radius, channels = int(call.attribute("radius")), x.shape[1]
    if not 0 <= radius <= MOST_NEIGHBOURS:
        raise call.refuse("radius", radius, f"0 to {MOST_NEIGHBOURS}")
    wide = F.pad(x * x, [0, 0, 0, 0, radius, radius])
    sums = narrowed(call, wide, 1, 0, channels)
    for start in range(1, 2 * radius + 1):
        sums = sums + narrowed(call, wide, 1, start, channels)
    scaled = float(call.attribute("bias")) + float(call.attribute("alpha")) * sums
    return x * torch.pow(scaled, -float(call.attribute("beta")))


def _cumulative_sum(call: Call) -> Tensor:
    axes = call.ints(1, "axis")
    if axes is None or call.attribute("exclusive") or call.attribute("reverse"):
        raise call.refuse("direction", "exclusive or reverse", "an inclusive forward sum")
    return torch.cumsum(call.x, axes[0])


def _any(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.int().amax(axes, keepdim=keep).bool()


TABLE: dict[str, Operator] = {
    "ARG_MAX": _extreme(torch.argmax),
    "ARG_MIN": _extreme(torch.argmin),
    "CUMSUM": _cumulative_sum,
    "L2_NORMALIZATION": _l2_normalization,
    "LOCAL_RESPONSE_NORMALIZATION": on_image(_local_response),
    "LOG_SOFTMAX": lambda call: torch.log_softmax(call.x, -1),
    "MEAN": reduce(lambda x, axes, keep: x.mean(axes, keepdim=keep)),
    "REDUCE_ALL": reduce(lambda x, axes, keep: ~_any(~x, axes, keep)),
    "REDUCE_ANY": reduce(_any),
    "REDUCE_MAX": reduce(_largest),
    "REDUCE_MIN": reduce(_smallest),
    "REDUCE_PROD": reduce(_product),
    "SOFTMAX": _softmax,
    "SUM": reduce(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
}
