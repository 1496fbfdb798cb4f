"""Windows that slide: convolutions and pooling, with ONNX's paddings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.sources.steps.call import Call, Known, Operator, Result
from pocketpress.sources.steps.windows import Sides, evened, padded, same_side

MOST_PLACES = 64
"""Of a window of which the place of the largest number is asked for."""


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
    sides, missing = _cut(call, whole, [n * s for n, s in zip(x.shape[2:], strides, strict=True)])
    if any(more >= stride for more, stride in zip(missing, strides, strict=True)):
        wanted = list(call.attribute("output_shape", []))
        raise call.refuse("output_shape", wanted, f"less than a stride above {whole}")
    extra = [given + more for given, more in zip(extra, missing, strict=True)]
    groups = int(call.attribute("group", 1))
    if max(dilations) > 1 and 1 in call.known:
        weight, dilations = torch.from_numpy(_spread(call.known[1], dilations)), [1] * rank
    even = evened(sides)
    if even is not None and all(e < s or e == 0 for e, s in zip(extra, strides, strict=True)):
        return function(x, weight, call.optional(2), strides, even, extra, groups, dilations)
    y = function(x, weight, None, strides, [0] * rank, 0, groups, dilations)
    y = F.pad(y, [amount for more in reversed(extra) for amount in (0, more)])
    bias = call.optional(2)
    y = y if bias is None else y + bias.reshape(-1, *[1] * rank)
    for axis, (begin, end) in enumerate(sides):
        y = y.narrow(axis + 2, begin, y.shape[axis + 2] - begin - end)
    return y


def _spread(weight: Known, dilations: list[int]) -> Known:
    """A dilated kernel with its zeros written out: programs have no dilated transposed convolution."""
    sizes = [d * (k - 1) + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    found = np.zeros((*weight.shape[:2], *sizes), weight.dtype)
    found[(slice(None), slice(None), *(slice(None, None, d) for d in dilations))] = weight
    return found


def _cut(call: Call, whole: list[int], scaled: list[int]) -> tuple[Sides, list[int]]:
    """What is cut off the whole output of a transposed convolution, and what is missing at its ends."""
    none = [0] * len(whole)
    wanted = call.attribute("output_shape")
    auto = call.attribute("auto_pad", "NOTSET")
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = scaled
    if wanted is None:
        return paddings(call, whole, [1] * len(whole), [1] * len(whole)), none
    totals = [full - int(size) for full, size in zip(whole, wanted[-len(whole) :], strict=True)]
    upper, missing = auto == "SAME_UPPER", [max(0, -total) for total in totals]
    cut = [max(0, total) for total in totals]
    return [(t // 2, t - t // 2) if upper else (t - t // 2, t // 2) for t in cut], missing


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


def _max_pool(call: Call) -> Result:
    """The largest number of every window, and its place among all numbers where that is asked for."""
    x, kernel, strides, dilations, sides = _pool(call)
    if call.attribute("ceil_mode", 0):
        sides = _last(x, kernel, strides, dilations, sides)
    function: Callable[..., Any] = F.max_pool1d if len(kernel) == 1 else F.max_pool2d
    even = evened(sides)
    if even is None or any(2 * e > k for e, k in zip(even, kernel, strict=True)):
        x, even = padded(x, sides, -torch.finfo(torch.float32).max), [0] * len(kernel)
    result: Tensor = function(x, kernel, strides, even, dilations)
    return result if call.outputs < 2 else [result, _places(call, kernel, strides, dilations, sides)]


def _places(call: Call, kernel: list[int], strides: list[int], dilations: list[int], sides: Sides) -> Tensor:
    """Where in ``x`` as one line the largest number of every window stands; of equal ones the first.

    Every place of the window is a slice of the image; the largest of all slices says which it is.
    """
    shape, rank = list(call.x.shape), len(kernel)
    if math.prod(kernel) > MOST_PLACES:
        raise call.refuse("window of which places are asked", kernel, f"at most {MOST_PLACES} places")
    x = padded(call.x, sides, -torch.finfo(torch.float32).max)
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    found = [(n - r) // s + 1 for n, r, s in zip(x.shape[2:], reach, strides, strict=True)]
    steps = [shape[3] if rank == 2 else 1, 1]
    if call.attribute("storage_order", 0) and rank == 2:
        steps = [1, shape[2]]
    taps, away = [], []
    for place in itertools.product(*map(range, kernel)):
        starts = [p * d for p, d in zip(place, dilations, strict=True)]
        ends = [at + (n - 1) * s + 1 for at, n, s in zip(starts, found, strides, strict=True)]
        tap = x
        for axis, (start, end, stride) in enumerate(zip(starts, ends, strides, strict=True)):
            tap = tap[(*[slice(None)] * (axis + 2), slice(start, end, stride))]
        taps.append(tap)
        away.append(sum(at * step for at, step in zip(starts, steps, strict=False)))
    chosen = torch.stack(taps, -1).argmax(-1)
    corners = [torch.arange(n) * s - before for n, s, (before, _) in zip(found, strides, sides, strict=True)]
    planes = torch.arange(shape[0] * shape[1]).reshape(shape[0], shape[1], *[1] * rank) * math.prod(shape[2:])
    base = planes + sum(
        (corner * step).reshape([-1 if i == axis else 1 for i in range(rank)])
        for axis, (corner, step) in enumerate(zip(corners, steps, strict=False))
    )
    return torch.tensor(away)[chosen] + base


def _mean_of_dilated(dilations: list[int]) -> Callable[..., Tensor]:
    """Windows with gaps: a convolution of every channel with equal weights."""

    def mean(x: Tensor, kernel: list[int], strides: list[int]) -> Tensor:
        function = F.conv1d if len(kernel) == 1 else F.conv2d
        weight = torch.full((x.shape[1], 1, *kernel), 1 / math.prod(kernel))
        return function(x, weight, None, strides, 0, dilations, x.shape[1])

    return mean


def _average_pool(call: Call) -> Tensor:
    x, kernel, strides, dilations, sides = _pool(call)
    include = bool(call.attribute("count_include_pad", 0))
    reach = _last(x, kernel, strides, dilations, sides) if call.attribute("ceil_mode", 0) else sides
    function: Callable[..., Tensor] = F.avg_pool1d if len(kernel) == 1 else F.avg_pool2d
    even, dilated = evened(reach), any(d != 1 for d in dilations)
    if dilated:
        function = _mean_of_dilated(dilations)
    elif even is not None and reach == sides and all(2 * e <= k for e, k in zip(even, kernel, strict=True)):
        return function(x, kernel, strides, even, count_include_pad=include)
    sums = function(padded(x, reach), kernel, strides)
    if not any(map(any, reach)):
        return sums
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
