"""Reductions, and normalisations that are made of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.sources.onnx.older import FLATTENED
from pocketpress.sources.steps.call import Call, Operator, Result

Reduction = Callable[[Tensor, list[int], bool], Tensor]


OF_NOTHING = {
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceSum", "ReduceSumSquare"), 0.0),
    **dict.fromkeys(("ReduceLogSum", "ReduceLogSumExp", "ReduceMax"), -math.inf),
    "ReduceMin": math.inf,
    "ReduceProd": 1.0,
}
"""Reductions of no numbers."""


def reduce(function: Reduction) -> Operator:
    """Axes from an input, or in older operator sets from an attribute."""

    def run(call: Call) -> Tensor:
        axes = call.ints(1, "axes", "axes")
        if not axes:
            if call.attribute("noop_with_empty_axes", 0):
                return call.x
            axes = list(range(call.x.ndim))
        keep = bool(call.attribute("keepdims", 1))
        if call.op in OF_NOTHING and not call.x.numel():
            return _of_nothing(call.op, call.x, axes, keep)
        return function(call.x, axes, keep)

    return run


def _of_nothing(op: str, x: Tensor, axes: list[int], keep: bool) -> Tensor:
    """What the standard says of a reduction of no numbers."""
    gone = {axis % x.ndim for axis in axes}
    sizes = [1 if i in gone else size for i, size in enumerate(x.shape) if keep or i not in gone]
    value = OF_NOTHING[op]
    if math.isinf(value) and not x.is_floating_point():
        ends = (0, 1) if x.dtype is torch.bool else (torch.iinfo(x.dtype).min, torch.iinfo(x.dtype).max)
        value = ends[value > 0]
    return torch.full(sizes, value, dtype=x.dtype)


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((a % x.ndim for a in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _position(function: Callable[..., Tensor]) -> Operator:
    def run(call: Call) -> Tensor:
        axis, keep = int(call.attribute("axis", 0)), bool(call.attribute("keepdims", 1))
        if call.attribute("select_last_index", 0):
            return call.x.shape[axis] - 1 - function(call.x.flip(axis), axis, keepdim=keep)
        return function(call.x, axis, keepdim=keep)

    return run


def _batch_norm(call: Call) -> Tensor:
    if call.attribute("training_mode", 0):
        raise call.refuse("training_mode", 1, "0: export the network in evaluation mode")
    scale, bias, mean, variance = (call.input(i) for i in range(1, 5))
    return F.batch_norm(call.x, mean, variance, scale, bias, eps=float(call.attribute("epsilon", 1e-5)))


def _instance_norm(call: Call) -> Tensor:
    epsilon = float(call.attribute("epsilon", 1e-5))
    return F.instance_norm(call.x, weight=call.input(1), bias=call.input(2), eps=epsilon)


def _layer_norm(call: Call) -> Result:
    axis = int(call.attribute("axis", -1)) % call.x.ndim
    shape = list(call.x.shape[axis:])
    epsilon = float(call.attribute("epsilon", 1e-5))
    scale, bias = call.input(1), call.optional(2)
    if call.outputs > 1:
        return _layer_norm_with_statistics(call.x, list(range(axis, call.x.ndim)), scale, bias, epsilon)
    if list(scale.shape) == shape and (bias is None or list(bias.shape) == shape):
        return F.layer_norm(call.x, shape, scale, bias, epsilon)
    found = F.layer_norm(call.x, shape, None, None, epsilon) * scale
    return found if bias is None else found + bias


def _layer_norm_with_statistics(
    x: Tensor, axes: list[int], scale: Tensor, bias: Tensor | None, epsilon: float
) -> list[Tensor]:
    """The result, the mean and the inverse deviation."""
    mean = x.mean(axes, keepdim=True)
    inverse = torch.rsqrt((x - mean).square().mean(axes, keepdim=True) + epsilon)
    found = (x - mean) * inverse * scale
    return [found if bias is None else found + bias, mean, inverse]


def _rms_norm(call: Call) -> Tensor:
    axes = list(range(int(call.attribute("axis", -1)) % call.x.ndim, call.x.ndim))
    epsilon = float(call.attribute("epsilon", 1e-5))
    return call.x * torch.rsqrt(call.x.square().mean(axes, keepdim=True) + epsilon) * call.input(1)


def _group_norm(call: Call) -> Tensor:
    groups, epsilon = int(call.attribute("num_groups")), float(call.attribute("epsilon", 1e-5))
    scale, bias = call.input(1), call.input(2)
    if len(scale) == call.x.shape[1]:
        return F.group_norm(call.x, groups, scale, bias, epsilon)
    each = call.x.shape[1] // groups
    return F.group_norm(call.x, groups, scale.repeat_interleave(each), bias.repeat_interleave(each), epsilon)


def _over_axes(function: Callable[[Tensor, int], Tensor]) -> Operator:
    """Over one axis, or as in older operator sets over all from one on."""

    def run(call: Call) -> Tensor:
        axis = int(call.attribute("axis", -1))
        if not call.attribute(FLATTENED, 0):
            return function(call.x, axis)
        axis = axis + call.x.ndim if axis < 0 else axis
        wide = [place for place in range(axis, call.x.ndim) if call.x.shape[place] > 1]
        if len(wide) == 1:
            return function(call.x, wide[0])
        flat = call.x.reshape(*call.x.shape[:axis], math.prod(call.x.shape[axis:]))
        return function(flat, -1).reshape(call.x.shape)

    return run


def _hardmax(x: Tensor, axis: int) -> Tensor:
    """1 at the largest number of an axis, of equal ones the first."""
    line = torch.arange(x.shape[axis]).reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    return (x.argmax(axis, keepdim=True) == line).to(x.dtype)


def _lp_norm(call: Call) -> Tensor:
    axis, p = int(call.attribute("axis", -1)), int(call.attribute("p", 2))
    size = call.x.abs() if p == 1 else call.x.square()
    total = size.sum(axis, keepdim=True)
    return call.x / (total if p == 1 else total.sqrt()).clamp_min(1e-12)


def _local_response(call: Call) -> Tensor:
    size = int(call.attribute("size"))
    alpha, beta = float(call.attribute("alpha", 1e-4)), float(call.attribute("beta", 0.75))
    square = call.x.square()
    channels = call.x.shape[1]
    sides = (math.floor((size - 1) / 2), math.ceil((size - 1) / 2))
    wide = F.pad(square, [0, 0] * (call.x.ndim - 2) + list(sides))
    sums = torch.stack([wide.narrow(1, i, channels) for i in range(size)]).sum(0)
    return call.x / (float(call.attribute("bias", 1.0)) + alpha / size * sums).pow(beta)


TABLE: dict[str, Operator] = {
    "ArgMax": _position(torch.argmax),
    "ArgMin": _position(torch.argmin),
    "BatchNormalization": _batch_norm,
    "GroupNormalization": _group_norm,
    "Hardmax": _over_axes(_hardmax),
    "InstanceNormalization": _instance_norm,
    "LRN": _local_response,
    "LayerNormalization": _layer_norm,
    "LogSoftmax": _over_axes(torch.log_softmax),
    "LpNormalization": _lp_norm,
    "RMSNormalization": _rms_norm,
    "ReduceL1": reduce(lambda x, axes, keep: x.abs().sum(axes, keepdim=keep)),
    "ReduceL2": reduce(lambda x, axes, keep: x.square().sum(axes, keepdim=keep).sqrt()),
    "ReduceLogSum": reduce(lambda x, axes, keep: x.sum(axes, keepdim=keep).log()),
    "ReduceLogSumExp": reduce(lambda x, axes, keep: torch.logsumexp(x, axes, keepdim=keep)),
    "ReduceMax": reduce(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "ReduceMean": reduce(lambda x, axes, keep: x.mean(axes, keepdim=keep)),
    "ReduceMin": reduce(lambda x, axes, keep: x.amin(axes, keepdim=keep)),
    "ReduceProd": reduce(_product),
    "ReduceSum": reduce(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
    "ReduceSumSquare": reduce(lambda x, axes, keep: x.square().sum(axes, keepdim=keep)),
    "Softmax": _over_axes(torch.softmax),
}
