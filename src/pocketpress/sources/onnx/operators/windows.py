"""Windows that slide: convolutions and pooling, with ONNX's paddings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.sources.steps.call import Call, Known, Operator
from pocketpress.sources.steps.windows import Sides, evened, padded, same_side


def paddings(call: Call, kernel: list[int], strides: list[int], dilations: list[int]) -> Sides:
    """(begin, end) of every spatial axis: explicit, or as ``auto_pad`` says."""
    auto = call.attribute("auto_pad", "NOTSET")
    rank = len(kernel)
    if auto in ("NOTSET", ""):
        pads = list(call.attribute("pads", [0] * 2 * rank))
        return list(zip(pads[:rank], pads[rank:], strict=True))
    if auto == "VALID":
        return [(0, 0)] * rank
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise call.refuse("auto_pad", auto, ["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"])
    found = []
    for size, k, stride, dilation in zip(call.x.shape[2:], kernel, strides, dilations, strict=True):
        small, large = same_side(size, k, stride, dilation)
        found.append((small, large) if auto == "SAME_UPPER" else (large, small))
    return found


def _listed(call: Call, name: str, rank: int) -> list[int]:
    return [int(v) for v in call.attribute(name, [1] * rank)]


def _by_rank(
    call: Call, rank: int, one: Callable[..., Tensor], two: Callable[..., Tensor]
) -> Callable[..., Tensor]:
    if rank not in (1, 2):
        raise call.refuse("spatial axes", rank, [1, 2])
    return one if rank == 1 else two


def _convolution(call: Call) -> Tensor:
    x, weight = call.x, call.input(1)
    rank = weight.ndim - 2
    function = _by_rank(call, rank, F.conv1d, F.conv2d)
    strides, dilations = _listed(call, "strides", rank), _listed(call, "dilations", rank)
    sides = paddings(call, list(weight.shape[2:]), strides, dilations)
    even = evened(sides)
    if even is None:
        x, even = padded(x, sides), [0] * rank
    return function(x, weight, call.optional(2), strides, even, dilations, int(call.attribute("group", 1)))


def _transposed(call: Call) -> Tensor:
    x, weight = call.x, call.input(1)
    rank = weight.ndim - 2
    function = _by_rank(call, rank, F.conv_transpose1d, F.conv_transpose2d)
    strides, dilations = _listed(call, "strides", rank), _listed(call, "dilations", rank)
    extra = [int(v) for v in call.attribute("output_padding", [0] * rank)]
    kernel = list(weight.shape[2:])
    whole = [
        (size - 1) * stride + dilation * (k - 1) + 1 + more
        for size, stride, dilation, k, more in zip(
            x.shape[2:], strides, dilations, kernel, extra, strict=True
        )
    ]
    sides = _cut(call, whole, [n * s for n, s in zip(x.shape[2:], strides, strict=True)])
    groups = int(call.attribute("group", 1))
    if max(dilations) > 1 and 1 in call.known:
        weight, dilations = torch.from_numpy(_spread(call.known[1], dilations)), [1] * rank
    even = evened(sides)
    if even is not None and all(e < s or e == 0 for e, s in zip(extra, strides, strict=True)):
        return function(x, weight, call.optional(2), strides, even, extra, groups, dilations)
    y = function(x, weight, call.optional(2), strides, [0] * rank, extra, groups, dilations)
    for axis, (begin, end) in enumerate(sides):
        y = y.narrow(axis + 2, begin, y.shape[axis + 2] - begin - end)
    return y


def _spread(weight: Known, dilations: list[int]) -> Known:
    """A dilated kernel with its zeros written out: programs have no dilated transposed convolution."""
    sizes = [d * (k - 1) + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    found = np.zeros((*weight.shape[:2], *sizes), weight.dtype)
    found[(slice(None), slice(None), *(slice(None, None, d) for d in dilations))] = weight
    return found


def _cut(call: Call, whole: list[int], scaled: list[int]) -> Sides:
    """What is cut off the whole output of a transposed convolution."""
    wanted = call.attribute("output_shape")
    auto = call.attribute("auto_pad", "NOTSET")
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = scaled
    if wanted is None:
        return paddings(call, whole, [1] * len(whole), [1] * len(whole))
    totals = [full - int(size) for full, size in zip(whole, wanted[-len(whole) :], strict=True)]
    if any(total < 0 for total in totals):
        raise call.refuse("output_shape", list(wanted), f"at most {whole}")
    upper = auto == "SAME_UPPER"
    return [(t // 2, t - t // 2) if upper else (t - t // 2, t // 2) for t in totals]


def _pool(call: Call) -> tuple[Tensor, list[int], list[int], list[int], Sides]:
    kernel = [int(v) for v in call.attribute("kernel_shape")]
    rank = len(kernel)
    if rank not in (1, 2):
        raise call.refuse("spatial axes", rank, [1, 2])
    strides, dilations = _listed(call, "strides", rank), _listed(call, "dilations", rank)
    return call.x, kernel, strides, dilations, paddings(call, kernel, strides, dilations)


def _last(x: Tensor, kernel: list[int], strides: list[int], dilations: list[int], sides: Sides) -> Sides:
    """Paddings that reach the last window of ``ceil_mode``, which begins before the input ends."""
    found = []
    for axis, (begin, end) in enumerate(sides):
        size = x.shape[axis + 2] + begin + end
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        count = math.ceil((size - reach) / strides[axis]) + 1
        if (count - 1) * strides[axis] >= x.shape[axis + 2] + begin:
            count -= 1
        found.append((begin, max(end, end + (count - 1) * strides[axis] + reach - size)))
    return found


def _max_pool(call: Call) -> Tensor:
    if call.outputs > 1:
        raise call.refuse("outputs", call.outputs, "1: indices are not supported")
    x, kernel, strides, dilations, sides = _pool(call)
    if call.attribute("ceil_mode", 0):
        sides = _last(x, kernel, strides, dilations, sides)
    function: Callable[..., Any] = F.max_pool1d if len(kernel) == 1 else F.max_pool2d
    even = evened(sides)
    if even is None or any(2 * e > k for e, k in zip(even, kernel, strict=True)):
        x, even = padded(x, sides, -torch.finfo(torch.float32).max), [0] * len(kernel)
    result: Tensor = function(x, kernel, strides, even, dilations)
    return result


def _average_pool(call: Call) -> Tensor:
    x, kernel, strides, dilations, sides = _pool(call)
    if any(d != 1 for d in dilations):
        raise call.refuse("dilations", dilations, 1)
    include = bool(call.attribute("count_include_pad", 0))
    reach = _last(x, kernel, strides, dilations, sides) if call.attribute("ceil_mode", 0) else sides
    function: Callable[..., Tensor] = F.avg_pool1d if len(kernel) == 1 else F.avg_pool2d
    even = evened(reach)
    if even is not None and reach == sides and all(2 * e <= k for e, k in zip(even, kernel, strict=True)):
        return function(x, kernel, strides, even, count_include_pad=include)
    sums = function(padded(x, reach), kernel, strides)
    ones = torch.ones((1, 1, *x.shape[2:]))
    counted = padded(ones, sides, 1.0) if include else padded(ones, sides)
    rest = [(a - b, c - d) for (a, c), (b, d) in zip(reach, sides, strict=True)]
    return sums / function(padded(counted, rest), kernel, strides)


def _spatial(x: Tensor) -> list[int]:
    return list(range(2, x.ndim))


TABLE: dict[str, Operator] = {
    "AveragePool": _average_pool,
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "GlobalAveragePool": lambda call: call.x.mean(_spatial(call.x), keepdim=True),
    "GlobalMaxPool": lambda call: call.x.amax(_spatial(call.x), keepdim=True),
    "MaxPool": _max_pool,
}
