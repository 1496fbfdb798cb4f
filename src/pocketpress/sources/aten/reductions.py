"""Means, sums and what is made of them: spread, lengths, distances, running sums, softmax."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pocketpress.sources.aten.bound import Bound, axis_of
from pocketpress.sources.aten.elementwise import emit_binary
from pocketpress.sources.aten.pooling import check_filled, emit_max
from pocketpress.sources.aten.shapes import emit_permute
from pocketpress.sources.aten.whole import INEXACT, LARGEST_SUM, NEXT_STEP, reach

_WHOLE_TORCH = (torch.int32, torch.int64)
MAX_TRIANGLE = 1024
"""Side of the matrix that a running sum becomes."""


def mean(b: Bound) -> str:
    """aten::mean over some or all axes."""
    x = b.activation()
    rank = len(b.shape(x))
    dims = b.args.get("dim")
    dims = dims if dims else list(range(rank))
    axes = tuple(sorted(axis_of(d, rank) for d in dims))
    check_filled(b, x)
    return b.emit("mean", [x], b.out_shape, axes=axes, keepdims=bool(b.args.get("keepdim")))


def sum_(b: Bound) -> str:
    """aten::sum as a mean times the count, which for whole numbers is rounded to them."""
    x = b.real(b.activation())
    shape = b.shape(x)
    dims = b.args.get("dim")
    dims = dims if dims else list(range(len(shape)))
    axes = tuple(sorted(axis_of(d, len(shape)) for d in dims))
    check_filled(b, x)
    average = b.emit("mean", [x], b.out_shape, last=False, axes=axes, keepdims=bool(b.args.get("keepdim")))
    count, whole = float(np.prod([shape[a] for a in axes])), b.node.meta["val"].dtype in _WHOLE_TORCH
    if whole and max(map(abs, reach(b.builder, x))) * count > LARGEST_SUM:
        raise b.refuse(f"a sum of {INEXACT}", NEXT_STEP)
    total = emit_binary(b, "mul", average, count, last=not whole)
    return b.emit("round", [total], b.out_shape) if whole else total


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
    x = b.real(b.activation())
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
    """log(softmax(x)), at least log(2^-126) = -87: a share that float32 cannot hold has no logarithm."""
    x = b.activation()
    axis = axis_of(int(b["dim"]), len(b.out_shape))
    share = b.emit("softmax", [x], b.out_shape, last=False, axis=axis)
    held = b.emit("clamp", [share], b.out_shape, last=False, low=LEAST_SHARE, high=None)
    return b.emit("log", [held], b.out_shape)


LEAST_SHARE = 2.0**-126
"""The least normal number of float32; runtimes make smaller ones 0."""

HANDLERS: dict[str, Callable[[Bound], Any]] = {
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
