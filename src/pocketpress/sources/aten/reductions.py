"""Pooling, means, sums and softmax."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pocketpress.sources.aten.bound import Bound, axis_of, pair
from pocketpress.sources.aten.elementwise import emit_binary
from pocketpress.sources.aten.resampling import separable
from pocketpress.sources.aten.shapes import emit_permute

MAX_TRIANGLE = 1024
"""Side of the matrix that a running sum becomes."""


def _pool_pads(
    b: Bound, x: str, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Pads that give the shape torch computed: ceil_mode grows the bottom and right."""
    h, w = pair(b["padding"])
    size, out = b.shape(x), b.out_shape
    need = [
        (out[2 + i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 - size[2 + i] - (h, w)[i]
        for i in range(2)
    ]
    return (h, w, max(need[0], 0), max(need[1], 0))


def max_pool2d(b: Bound) -> str:
    """aten::max_pool2d, ceil_mode included."""
    kernel = pair(b["kernel_size"])
    stride = pair(b["stride"]) if b["stride"] else kernel
    dilation, x = pair(b["dilation"]), b.activation()
    pads = _pool_pads(b, x, kernel, stride, dilation)
    return b.emit("max_pool2d", [x], b.out_shape, kernel=kernel, stride=stride, pads=pads, dilation=dilation)


def max_pool2d_with_indices(b: Bound) -> tuple[str, None]:
    """The decomposed form; its indices are not available."""
    if any(user.args[1] == 1 and user.users for user in b.node.users if user.target is operator.getitem):
        raise b.refuse(
            "indices of max pooling, which no runtime has", "upsample by nearest or a transposed convolution"
        )
    return max_pool2d(b), None


def max_pool1d(b: Bound) -> str:
    """aten::max_pool1d over an image of height one."""
    kernel, dilation = int(b["kernel_size"][0]), int(b["dilation"][0])
    stride = int(b["stride"][0]) if b["stride"] else kernel
    x, padding = _line(b), int(b["padding"][0])
    rest = (b.out_shape[-1] - 1) * stride + dilation * (kernel - 1) + 1 - b.shape(x)[3] - padding
    pads = (0, padding, 0, max(rest, 0))
    attrs = {"kernel": (1, kernel), "stride": (1, stride), "pads": pads, "dilation": (1, dilation)}
    return _as_line(b, "max_pool2d", x, **attrs)


def avg_pool2d(b: Bound) -> str:
    """aten::avg_pool2d."""
    kernel = pair(b["kernel_size"])
    stride = pair(b["stride"]) if b["stride"] else kernel
    x = b.activation()
    if b["divisor_override"] or _is_grown(b, x, kernel, stride):
        raise b.refuse("avg_pool2d with divisor_override, or with ceil_mode where a window is cut off")
    h, w = pair(b["padding"])
    return b.emit(
        "avg_pool2d",
        [x],
        b.out_shape,
        kernel=kernel,
        stride=stride,
        pads=(h, w, h, w),
        count_include_pad=bool(b["count_include_pad"]),
    )


def _is_grown(b: Bound, x: str, kernel: tuple[int, int], stride: tuple[int, int]) -> bool:
    """Whether ceil_mode adds windows that reach over the border."""
    return bool(b["ceil_mode"]) and any(_pool_pads(b, x, kernel, stride, (1, 1))[2 + i] > p
                                        for i, p in enumerate(pair(b["padding"])))  # fmt: skip


def avg_pool1d(b: Bound) -> str:
    """aten::avg_pool1d over an image of height one."""
    kernel, padding = int(b["kernel_size"][0]), int(b["padding"][0])
    stride = int(b["stride"][0]) if b["stride"] else kernel
    x = _line(b)
    if b["ceil_mode"] and (b.out_shape[-1] - 1) * stride + kernel > b.shape(x)[3] + 2 * padding:
        raise b.refuse("avg_pool1d with ceil_mode where a window is cut off")
    attrs = {"kernel": (1, kernel), "stride": (1, stride), "pads": (0, padding, 0, padding)}
    return _as_line(b, "avg_pool2d", x, **attrs, count_include_pad=bool(b["count_include_pad"]))


def _line(b: Bound) -> str:
    """A sequence (N, C, L) as an image of height one."""
    x = b.activation()
    if len(b.shape(x)) != 3:
        raise b.refuse("pooling without a batch axis", "add a batch axis of one")
    shape = (*b.shape(x)[:2], 1, b.shape(x)[2])
    return b.emit("reshape", [x], shape, last=False, shape=shape)


def _as_line(b: Bound, op: str, image: str, **attrs: Any) -> str:
    """Append an operator on an image of height one; its result as a sequence."""
    out = b.out_shape
    made = b.emit(op, [image], (*out[:2], 1, out[2]), last=False, **attrs)
    return b.emit("reshape", [made], out, shape=out)


def adaptive_avg_pool2d(b: Bound) -> str:
    """To 1x1 a mean; windows where the sizes divide; else the mean over each window as a product."""
    x, out = b.activation(), b.out_shape
    if len(b.shape(x)) != 4:
        raise b.refuse("pooling without a batch axis", "add a batch axis of one")
    h, w = b.shape(x)[2:]
    if out[2:] == (1, 1):
        return b.emit("mean", [x], out, axes=(2, 3), keepdims=True)
    if h % out[2] or w % out[3]:
        return separable(b, x, _means(w, out[3]), _means(h, out[2]))
    kernel = (h // out[2], w // out[3])
    return b.emit(
        "avg_pool2d", [x], out, kernel=kernel, stride=kernel, pads=(0, 0, 0, 0), count_include_pad=True
    )


def _means(have: int, want: int) -> torch.Tensor:
    """The matrix (want, have) of a mean over windows, which may overlap."""
    return F.adaptive_avg_pool1d(torch.eye(have)[None], want)[0].T


def adaptive_avg_pool1d(b: Bound) -> str:
    """A mean, windows where the sizes divide, or a product."""
    x = _line(b)
    have, want = b.shape(x)[3], b.out_shape[-1]
    if want == 1:
        return b.emit("mean", [b.activation()], b.out_shape, axes=(2,), keepdims=True)
    if have % want:
        weight = b.tensor(_means(have, want), "windows")
        return b.emit("linear", [b.activation(), weight], b.out_shape, clamp=None)
    attrs = {"kernel": (1, have // want), "stride": (1, have // want), "pads": (0, 0, 0, 0)}
    return _as_line(b, "avg_pool2d", x, **attrs, count_include_pad=True)


def adaptive_max_pool2d(b: Bound) -> tuple[str, None]:
    """Windows where the sizes divide; the indices are not available."""
    _check_indices(b)
    x, out = b.activation(), b.out_shape
    if len(b.shape(x)) != 4:
        raise b.refuse("pooling without a batch axis", "add a batch axis of one")
    h, w = b.shape(x)[2:]
    if h % out[2] or w % out[3]:
        raise b.refuse(f"adaptive max pooling from {h}x{w} to {out[2]}x{out[3]} has uneven windows")
    return _maximum(b, x, (h // out[2], w // out[3]), out, last=True), None


def adaptive_max_pool1d(b: Bound) -> tuple[str, None]:
    """Windows where the sizes divide; the indices are not available."""
    _check_indices(b)
    x, (have, want) = _line(b), (b.shape(b.activation())[-1], b.out_shape[-1])
    if have % want:
        raise b.refuse(f"adaptive max pooling from {have} to {want} has uneven windows")
    out = (*b.out_shape[:2], 1, want)
    made = _maximum(b, x, (1, have // want), out)
    return b.emit("reshape", [made], b.out_shape, shape=b.out_shape), None


def _maximum(b: Bound, x: str, kernel: tuple[int, int], out: tuple[int, ...], *, last: bool = False) -> str:
    pads, dilation = (0, 0, 0, 0), (1, 1)
    return b.emit(
        "max_pool2d", [x], out, last=last, kernel=kernel, stride=kernel, pads=pads, dilation=dilation
    )


def _check_indices(b: Bound) -> None:
    if any(user.args[1] == 1 and user.users for user in b.node.users if user.target is operator.getitem):
        raise b.refuse("indices of maxima, which no runtime has", "let the network end with the values")


def emit_max(b: Bound, x: str, axes: Sequence[int], *, least: bool = False) -> str:
    """Append the largest (or least) number over ``axes``, as one max pooling; axes stay, of size one."""
    shape = b.shape(x)
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    if least:
        x = emit_binary(b, "mul", x, -1.0, last=False)
    if len(shape) == 4 and tuple(axes) == (2, 3):
        x = _maximum(b, x, shape[2:], kept)
    else:
        front = [a for a in range(len(shape)) if a not in axes and a < min(axes)]
        back = [a for a in range(len(shape)) if a not in axes and a > min(axes)]
        order = (*front, *axes, *back)
        if order != tuple(range(len(shape))):
            x = emit_permute(b, x, order, last=False)
        sizes = (math.prod(shape[a] for a in group) for group in (front, axes, back))
        image = (1, *sizes)
        x = b.emit("reshape", [x], image, last=False, shape=image)
        x = _maximum(b, x, (image[2], 1), (1, image[1], 1, image[3]))
        x = b.emit("reshape", [x], kept, last=False, shape=kept)
    return emit_binary(b, "mul", x, -1.0, last=False) if least else x


def _extreme(*, least: bool) -> Callable[[Bound], str]:
    """aten::amax, aten::amin and the forms of aten::max and aten::min without indices."""

    def handler(b: Bound) -> str:
        x = b.activation()
        _check_real(b, x)
        rank, dims = len(b.shape(x)), b.args.get("dim")
        axes = sorted({axis_of(int(d), rank) for d in dims}) if dims else list(range(rank))
        return b.emit("reshape", [emit_max(b, x, axes, least=least)], b.out_shape, shape=b.out_shape)

    return handler


def _max_or_maximum(*, least: bool) -> Callable[[Bound], Any]:
    """aten::max and aten::min: of two tensors, of one, or along an axis."""

    def handler(b: Bound) -> Any:
        if "other" in b.args:
            return emit_binary(b, "minimum" if least else "maximum", b["self"], b["other"])
        if "dim" not in b.args:
            return _extreme(least=least)(b)
        _check_indices(b)
        x = b.activation()
        _check_real(b, x)
        found = emit_max(b, x, [axis_of(int(b["dim"]), len(b.shape(x)))], least=least)
        return b.emit("reshape", [found], b.out_shape, shape=b.out_shape), None

    return handler


def _check_real(b: Bound, x: str) -> None:
    if b.builder.type(x).dtype != "float32":
        raise b.refuse("the largest of whole numbers", "make them real before, with .float()")


def mean(b: Bound) -> str:
    """aten::mean over some or all axes."""
    x = b.activation()
    rank = len(b.shape(x))
    dims = b.args.get("dim")
    dims = dims if dims else list(range(rank))
    axes = tuple(sorted(axis_of(d, rank) for d in dims))
    return b.emit("mean", [x], b.out_shape, axes=axes, keepdims=bool(b.args.get("keepdim")))


def sum_(b: Bound) -> str:
    """aten::sum as a mean times the count."""
    x = b.activation()
    shape = b.shape(x)
    dims = b.args.get("dim")
    dims = dims if dims else list(range(len(shape)))
    axes = tuple(sorted(axis_of(d, len(shape)) for d in dims))
    average = b.emit("mean", [x], b.out_shape, last=False, axes=axes, keepdims=bool(b.args.get("keepdim")))
    return emit_binary(b, "mul", average, float(np.prod([shape[a] for a in axes])))


def _variance(b: Bound) -> str:
    """mean((x - mean)^2), times n / (n - correction)."""
    x = b.activation()
    shape, dims = b.shape(x), b.args.get("dim")
    axes = tuple(sorted(axis_of(int(d), len(shape)) for d in dims or range(len(shape))))
    kept = tuple(1 if i in axes else d for i, d in enumerate(shape))
    average = b.emit("mean", [x], kept, last=False, axes=axes, keepdims=True)
    away = emit_binary(b, "sub", x, average, last=False)
    square = emit_binary(b, "mul", away, away, last=False)
    keep = bool(b.args.get("keepdim"))
    found = b.emit("mean", [square], b.out_shape, last=False, axes=axes, keepdims=keep)
    count = math.prod(shape[a] for a in axes)
    divisor = count - _correction(b)
    if divisor <= 0:
        raise b.refuse(f"the variance of {count} number", "use correction=0, or more numbers")
    return found if divisor == count else emit_binary(b, "mul", found, count / divisor, last=False)


def _correction(b: Bound) -> float:
    if "unbiased" in b.args:
        return float(bool(b["unbiased"]))
    return 1.0 if b["correction"] is None else float(b["correction"])


def var(b: Bound) -> str:
    """aten::var."""
    return b.emit("reshape", [_variance(b)], b.out_shape, shape=b.out_shape)


def std(b: Bound) -> str:
    """aten::std, the root of the variance."""
    return b.emit("sqrt", [_variance(b)], b.out_shape)


def vector_norm(b: Bound) -> str:
    """Norms of order 1, 2 and infinity."""
    x, order = b.activation(), float(b.args.get("ord", b.args.get("p")) or 2)
    shape, dims = b.shape(x), b.args.get("dim")
    axes = tuple(sorted(axis_of(int(d), len(shape)) for d in dims or range(len(shape))))
    if order not in (1.0, 2.0, math.inf):
        raise b.refuse(f"a norm of order {order:g}", "use 1, 2 or infinity")
    size = emit_binary(b, "mul", x, x, last=False) if order == 2 else b.emit("abs", [x], shape, last=False)
    if order == math.inf:
        return b.emit("reshape", [emit_max(b, size, axes)], b.out_shape, shape=b.out_shape)
    keep = bool(b.args.get("keepdim"))
    average = b.emit("mean", [size], b.out_shape, last=False, axes=axes, keepdims=keep)
    total = emit_binary(b, "mul", average, float(math.prod(shape[a] for a in axes)), last=order == 1)
    return total if order == 1 else b.emit("sqrt", [total], b.out_shape)


def cosine_similarity(b: Bound) -> str:
    """The inner product of two tensors along an axis, over their lengths, each ``eps`` at least."""
    axis, eps = axis_of(int(b["dim"]), len(b.out_shape) + 1), float(b["eps"])
    first, second = (_unit(b, b.tensor(b[name]), axis, eps) for name in ("x1", "x2"))
    return _total(b, emit_binary(b, "mul", first, second, last=False), axis)


def _unit(b: Bound, x: str, axis: int, eps: float) -> str:
    """A tensor over its length along an axis."""
    shape = b.shape(x)
    kept = tuple(1 if i == axis else d for i, d in enumerate(shape))
    square = emit_binary(b, "mul", x, x, last=False)
    average = b.emit("mean", [square], kept, last=False, axes=(axis,), keepdims=True)
    total = emit_binary(b, "mul", average, float(shape[axis]), last=False)
    length = b.emit("sqrt", [total], kept, last=False)
    safe = b.emit("clamp", [length], kept, last=False, low=eps, high=None)
    return emit_binary(b, "div", x, safe, last=False)


def _total(b: Bound, x: str, axis: int) -> str:
    """The sum along an axis, which goes."""
    average = b.emit("mean", [x], b.out_shape, last=False, axes=(axis,), keepdims=False)
    return emit_binary(b, "mul", average, float(b.shape(x)[axis]))


def pairwise_distance(b: Bound) -> str:
    """The length of a difference along the last axis."""
    if b["p"] != 2 or b["keepdim"]:
        raise b.refuse("a distance of another order than 2", "write it as arithmetic")
    away = emit_binary(b, "sub", b["x1"], b["x2"], last=False)
    moved = emit_binary(b, "add", away, float(b["eps"]), last=False)
    square = emit_binary(b, "mul", moved, moved, last=False)
    last = len(b.shape(square)) - 1
    average = b.emit("mean", [square], b.out_shape, last=False, axes=(last,), keepdims=False)
    total = emit_binary(b, "mul", average, float(b.shape(square)[last]), last=False)
    return b.emit("sqrt", [total], b.out_shape)


def logsumexp(b: Bound) -> str:
    """log(sum(exp(x - m))) + m, with the largest number m."""
    x = b.activation()
    shape = b.shape(x)
    axes = tuple(sorted(axis_of(int(d), len(shape)) for d in b["dim"]))
    largest = emit_max(b, x, axes)
    powers = b.emit("exp", [emit_binary(b, "sub", x, largest, last=False)], shape, last=False)
    kept = b.shape(largest)
    average = b.emit("mean", [powers], kept, last=False, axes=axes, keepdims=True)
    total = emit_binary(b, "mul", average, float(math.prod(shape[a] for a in axes)), last=False)
    found = emit_binary(b, "add", b.emit("log", [total], kept, last=False), largest, last=False)
    return b.emit("reshape", [found], b.out_shape, shape=b.out_shape)


def cumsum(b: Bound) -> str:
    """Sums up to each place, as a product with a triangle of ones."""
    x = b.activation()
    _check_real(b, x)
    rank = len(b.shape(x))
    axis = axis_of(int(b["dim"]), rank)
    size = b.shape(x)[axis]
    if size > MAX_TRIANGLE:
        raise b.refuse(f"a running sum of {size} numbers, at most {MAX_TRIANGLE} are", "sum up shorter parts")
    order = (*(i for i in range(rank) if i != axis), axis)
    back = tuple(order.index(i) for i in range(rank))
    turned = x if axis == rank - 1 else emit_permute(b, x, order, last=False)
    weight = b.tensor(torch.ones(size, size).tril(), "triangle")
    made = b.emit("linear", [turned, weight], b.shape(turned), last=axis == rank - 1, clamp=None)
    return made if axis == rank - 1 else emit_permute(b, made, back)


def softmax(b: Bound) -> str:
    """aten::softmax."""
    x = b.activation()
    return b.emit("softmax", [x], b.out_shape, axis=axis_of(int(b["dim"]), len(b.out_shape)))


def log_softmax(b: Bound) -> str:
    """log(softmax(x))."""
    x = b.activation()
    axis = axis_of(int(b["dim"]), len(b.out_shape))
    share = b.emit("softmax", [x], b.out_shape, last=False, axis=axis)
    return b.emit("log", [share], b.out_shape)


HANDLERS: dict[str, Callable[[Bound], Any]] = {
    "aten::max_pool2d": max_pool2d,
    "aten::max_pool2d_with_indices": max_pool2d_with_indices,
    "aten::max_pool1d": max_pool1d,
    "aten::avg_pool2d": avg_pool2d,
    "aten::avg_pool1d": avg_pool1d,
    "aten::adaptive_avg_pool2d": adaptive_avg_pool2d,
    "aten::_adaptive_avg_pool2d": adaptive_avg_pool2d,
    "aten::adaptive_avg_pool1d": adaptive_avg_pool1d,
    "aten::adaptive_max_pool2d": adaptive_max_pool2d,
    "aten::adaptive_max_pool1d": adaptive_max_pool1d,
    "aten::amax": _extreme(least=False),
    "aten::amin": _extreme(least=True),
    "aten::max": _max_or_maximum(least=False),
    "aten::min": _max_or_maximum(least=True),
    "aten::mean": mean,
    "aten::sum": sum_,
    "aten::var": var,
    "aten::std": std,
    "aten::linalg_vector_norm": vector_norm,
    "aten::norm": vector_norm,
    "aten::cosine_similarity": cosine_similarity,
    "aten::pairwise_distance": pairwise_distance,
    "aten::logsumexp": logsumexp,
    "aten::cumsum": cumsum,
    "aten::softmax": softmax,
    "aten::_softmax": softmax,
    "aten::log_softmax": log_softmax,
    "aten::_log_softmax": log_softmax,
}
