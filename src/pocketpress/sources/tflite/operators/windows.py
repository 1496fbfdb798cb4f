"""Windows that slide: convolutions and pooling, with TFLite's SAME and VALID."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.sources.steps.call import Call, Operator
from pocketpress.sources.steps.windows import Sides, evened, padded, same_side
from pocketpress.sources.tflite.operators.activation import activated
from pocketpress.sources.tflite.operators.layout import image, narrowed, on_image

SAME, VALID = 0, 1
Pair = tuple[int, int]


def _pair(call: Call, high: str, wide: str) -> Pair:
    """Two whole numbers, along height and width."""
    found = int(call.attribute(high, 1)), int(call.attribute(wide, 1))
    if min(found) < 1:
        raise call.refuse(f"{high}, {wide}", found, "1 or more")
    return found


def _strides(call: Call) -> Pair:
    return _pair(call, "strideH", "strideW")


def _sides(call: Call, sizes: Pair, kernel: Pair, strides: Pair, dilations: Pair) -> Sides:
    """Paddings of an image of these sizes."""
    kind = int(call.attribute("padding"))
    if kind == VALID:
        return [(0, 0), (0, 0)]
    if kind != SAME:
        raise call.refuse("padding", kind, [SAME, VALID])
    found = [same_side(s, k, t, d) for s, k, t, d in zip(sizes, kernel, strides, dilations, strict=True)]
    call.bounded([size + sum(side) for size, side in zip(sizes, found, strict=True)])
    return found


def _spatial(x: Tensor) -> Pair:
    return x.shape[2], x.shape[3]


def _convolution(call: Call, x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """``weight`` is (O, I / groups, H, W)."""
    strides, dilations = _strides(call), _pair(call, "dilationHFactor", "dilationWFactor")
    sides = _sides(call, _spatial(x), _spatial(weight), strides, dilations)
    call.bounded([*x.shape[:2], *(n + sum(side) for n, side in zip(_spatial(x), sides, strict=True))])
    places = [
        -(-(size + sum(side)) // stride)
        for size, side, stride in zip(_spatial(x), sides, strides, strict=True)
    ]
    call.bounded([x.shape[0], weight.shape[0], *places])
    pads = evened(sides)
    if pads is None:
        x, pads = padded(x, sides), [0, 0]
    return activated(call, F.conv2d(x, weight, call.optional(2), strides, pads, dilations, groups))


def _conv(call: Call, x: Tensor) -> Tensor:
    weight = image(call, 1)  # (O, H, W, I)
    channels, each = x.shape[1], weight.shape[1]
    if each < 1 or channels % each:
        raise call.refuse("input channels", channels, f"multiples of {each}, as the weight has")
    return _convolution(call, x, weight, channels // each)


def _depthwise(call: Call, x: Tensor) -> Tensor:
    weight = call.input(1)  # (1, H, W, C * multiplier)
    if weight.ndim != 4 or weight.shape[0] != 1 or weight.shape[3] % x.shape[1]:
        raise call.refuse("weight shape", tuple(weight.shape), f"(1, H, W, a multiple of {x.shape[1]})")
    return _convolution(call, x, weight.permute(3, 0, 1, 2), x.shape[1])


def _transposed(call: Call) -> Tensor:
    """The whole result, cut (or filled up with zeros) to the size that the file gives."""
    x = image(call, 2)
    weight = call.input(1).permute(3, 0, 1, 2)  # (O, H, W, I) to (I, O, H, W)
    wanted = call.ints(0, "output shape")
    if wanted is None or len(wanted) != 4:
        raise call.refuse("output shape", wanted, "four sizes")
    sizes = call.bounded([x.shape[0], weight.shape[1], *wanted[1:3]])[2:]
    strides, kernel = _strides(call), _spatial(weight)
    whole = [(n - 1) * s + k for n, s, k in zip(_spatial(x), strides, kernel, strict=True)]
    call.bounded([x.shape[0], weight.shape[1], *whole])
    sides = _sides(call, (sizes[0], sizes[1]), kernel, strides, (1, 1))
    ends = [full - begin - size for full, (begin, _), size in zip(whole, sides, sizes, strict=True)]
    return activated(call, _cut(call, x, weight, strides, sides, ends, call.optional(3))).permute(0, 2, 3, 1)


def _transposed_with_bias(call: Call) -> Tensor:
    """MediaPipe's operator of 2019: input, weight and bias, padded by its own rule."""
    x, weight = image(call, 0), call.input(1).permute(3, 0, 1, 2)
    strides, kernel = _strides(call), _spatial(weight)
    kind = int(call.attribute("padding"))
    if kind not in (SAME, VALID):
        raise call.refuse("padding", kind, [SAME, VALID])
    sides = [(0, 0), (0, 0)]
    if kind == SAME:
        pads = [max(0, k - (n - 1) % s - 1) for n, s, k in zip(_spatial(x), strides, kernel, strict=True)]
        sides = [(pad // 2, pad - pad // 2) for pad in pads]
    whole = [(n - 1) * s + k for n, s, k in zip(_spatial(x), strides, kernel, strict=True)]
    call.bounded([x.shape[0], weight.shape[1], *whole])
    ends = [end for _, end in sides]
    return _cut(call, x, weight, strides, sides, ends, call.optional(2)).permute(0, 2, 3, 1)


def _cut(
    call: Call, x: Tensor, weight: Tensor, strides: Pair, sides: Sides, ends: list[int], bias: Tensor | None
) -> Tensor:
    """A transposed convolution without its first ``sides[axis][0]`` and last ``ends[axis]`` elements."""
    begins = [begin for begin, _ in sides]
    extra = [begin - end for begin, end in zip(begins, ends, strict=True)]
    if all(0 <= e < s for e, s in zip(extra, strides, strict=True)):
        return F.conv_transpose2d(x, weight, bias, strides, begins, extra)
    if min(ends) < 0:
        y = F.pad(F.conv_transpose2d(x, weight, None, strides), [0, max(0, -ends[1]), 0, max(0, -ends[0])])
        y = y if bias is None else y + bias.reshape(1, -1, 1, 1)
    else:
        y = F.conv_transpose2d(x, weight, bias, strides)
    for axis, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        y = narrowed(call, y, axis + 2, begin, y.shape[axis + 2] - begin - max(0, end))
    return y


def _window(call: Call, x: Tensor) -> tuple[Pair, Pair, Sides]:
    kernel, strides = _pair(call, "filterHeight", "filterWidth"), _strides(call)
    sides = _sides(call, _spatial(x), kernel, strides, (1, 1))
    call.bounded([*x.shape[:2], *(n + sum(side) for n, side in zip(_spatial(x), sides, strict=True))])
    return kernel, strides, sides


def _max_pool(call: Call, x: Tensor) -> Tensor:
    kernel, strides, sides = _window(call, x)
    pads = evened(sides)
    if pads is None or any(2 * p > k for p, k in zip(pads, kernel, strict=True)):
        x, pads = padded(x, sides, -torch.finfo(torch.float32).max), [0, 0]
    return activated(call, F.max_pool2d(x, kernel, strides, pads))


def _mean_pool(call: Call, x: Tensor) -> Tensor:
    """The mean over what lies inside the image; over all of it, the one that runtimes have in integers."""
    kernel, strides, sides = _window(call, x)
    if kernel == _spatial(x) and not any(map(any, sides)):
        return x.mean((2, 3), keepdim=True)
    pads = evened(sides)
    if pads is not None and all(2 * p <= k for p, k in zip(pads, kernel, strict=True)):
        return F.avg_pool2d(x, kernel, strides, pads, count_include_pad=False)
    inside = F.avg_pool2d(padded(torch.ones((1, 1, *x.shape[2:])), sides), kernel, strides)
    return F.avg_pool2d(padded(x, sides), kernel, strides) * (1 / inside)


TABLE: dict[str, Operator] = {
    "AVERAGE_POOL_2D": on_image(lambda call, x: activated(call, _mean_pool(call, x))),
    "CONV_2D": on_image(_conv),
    "DEPTHWISE_CONV_2D": on_image(_depthwise),
    "custom Convolution2DTransposeBias": _transposed_with_bias,
    "L2_POOL_2D": on_image(lambda call, x: activated(call, _mean_pool(call, x * x).sqrt())),
    "MAX_POOL_2D": on_image(_max_pool),
    "TRANSPOSE_CONV": _transposed,
}
