"""Convolutions and matrix products."""

from __future__ import annotations

from typing import Any

import torch

from pocketpress.sources.aten.bound import Bound, pair


def _weights(b: Bound, weight: Any, bias: Any) -> list[str]:
    names = [b.tensor(weight, "weight")]
    return names if bias is None else [*names, b.tensor(bias, "bias")]


def _same_pads(b: Bound, weight: torch.Tensor) -> tuple[int, int, int, int]:
    if b["padding"] == "valid":
        return (0, 0, 0, 0)
    dilation = pair(b["dilation"])
    total = [dilation[i] * (weight.shape[2 + i] - 1) for i in range(2)]
    return (total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2)


def conv2d(b: Bound) -> str:
    """aten::conv2d, numeric or named padding."""
    if isinstance(b["padding"], str):
        pads = _same_pads(b, b["weight"])
    else:
        h, w = pair(b["padding"])
        pads = (h, w, h, w)
    return _conv2d(b, b.activation("input"), b["weight"], b["bias"], pads)


def _conv2d(b: Bound, x: str, weight: Any, bias: Any, pads: tuple[int, int, int, int]) -> str:
    if isinstance(weight, str):
        raise b.refuse("convolution with a computed weight")
    shape = b.shape(x)
    if len(shape) == 3:
        raise b.refuse("convolution without a batch axis", "add a batch axis of one")
    return b.emit(
        "conv2d",
        [x, *_weights(b, weight, bias)],
        b.out_shape,
        stride=pair(b["stride"]),
        pads=pads,
        dilation=pair(b["dilation"]),
        groups=int(b["groups"]),
        clamp=None,
    )


def conv1d(b: Bound) -> str:
    """aten::conv1d as a 2-D convolution over height one."""
    x, weight = b.activation("input"), b["weight"]
    if isinstance(weight, str):
        raise b.refuse("convolution with a computed weight")
    if len(b.shape(x)) != 3:
        raise b.refuse("convolution without a batch axis", "add a batch axis of one")
    n, c, length = b.shape(x)
    image = b.emit("reshape", [x], (n, c, 1, length), last=False, shape=(n, c, 1, length))
    left, right = _line_pads(b, weight)
    out = b.out_shape
    y = b.emit(
        "conv2d",
        [image, *_weights(b, weight.unsqueeze(2), b["bias"])],
        (out[0], out[1], 1, out[2]),
        last=False,
        stride=(1, int(b["stride"][0])),
        pads=(0, left, 0, right),
        dilation=(1, int(b["dilation"][0])),
        groups=int(b["groups"]),
        clamp=None,
    )
    return b.emit("reshape", [y], out, shape=out)


def _line_pads(b: Bound, weight: torch.Tensor) -> tuple[int, int]:
    if not isinstance(b["padding"], str):
        return (int(b["padding"][0]),) * 2
    total = 0 if b["padding"] == "valid" else int(b["dilation"][0]) * (weight.shape[2] - 1)
    return total // 2, total - total // 2


def conv_transpose1d(b: Bound) -> str:
    """aten::conv_transpose1d as a 2-D one over height one."""
    x, weight = b.activation("input"), b["weight"]
    if isinstance(weight, str):
        raise b.refuse("transposed convolution with a computed weight")
    if len(b.shape(x)) != 3:
        raise b.refuse("convolution without a batch axis", "add a batch axis of one")
    shape, out = (*b.shape(x)[:2], 1, b.shape(x)[2]), b.out_shape
    image = b.emit("reshape", [x], shape, last=False, shape=shape)
    line = {name: (first, int(b[name][0])) for name, first in _FLAT.items()}
    y = _conv_transpose2d(b, image, weight.unsqueeze(2), line, (*out[:2], 1, out[2]), last=False)
    return b.emit("reshape", [y], out, shape=out)


def conv_transpose2d(b: Bound) -> str:
    """aten::conv_transpose2d."""
    if isinstance(b["weight"], str):
        raise b.refuse("transposed convolution with a computed weight")
    image = {name: pair(b[name]) for name in _FLAT}
    return _conv_transpose2d(b, b.activation("input"), b["weight"], image, b.out_shape)


_FLAT = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1}
"""Settings of a transposed convolution, and what they are along an axis of one."""


def _conv_transpose2d(
    b: Bound,
    x: str,
    weight: torch.Tensor,
    settings: dict[str, tuple[int, int]],
    out: tuple[int, ...],
    *,
    last: bool = True,
) -> str:
    """A dilated one is a convolution where the stride is 1, else its kernel is written with zeros between."""
    (h, w), more = settings["padding"], settings["output_padding"]
    stride, dilation, groups = settings["stride"], settings["dilation"], int(b["groups"])
    reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    before = (reach[0] - h, reach[1] - w)
    if dilation != (1, 1) and stride == (1, 1) and min(before) >= 0:
        turned = _exchanged(weight, groups).flip(2, 3)
        pads = (*before, before[0] + more[0], before[1] + more[1])
        return b.emit(
            "conv2d",
            [x, *_weights(b, turned, b["bias"])],
            out,
            last=last,
            stride=stride,
            pads=pads,
            dilation=dilation,
            groups=groups,
            clamp=None,
        )
    if dilation != (1, 1):
        wide = weight.new_zeros(*weight.shape[:2], reach[0] + 1, reach[1] + 1)
        wide[:, :, :: dilation[0], :: dilation[1]] = weight
        weight = wide
    return b.emit(
        "conv_transpose2d",
        [x, *_weights(b, weight, b["bias"])],
        out,
        last=last,
        stride=stride,
        pads=(h, w, h, w),
        output_padding=more,
        groups=groups,
        clamp=None,
    )


def _exchanged(weight: torch.Tensor, groups: int) -> torch.Tensor:
    """Of (inputs, outputs per group, H, W) the same as (outputs, inputs per group, H, W)."""
    each = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    return each.transpose(1, 2).reshape(-1, each.shape[1], *weight.shape[2:])


def convolution(b: Bound) -> str:
    """aten::convolution, the decomposed form."""
    if len(b.shape(b["input"])) != 4:
        raise b.refuse("convolution that is not 2-D")
    if b["transposed"]:
        return conv_transpose2d(b)
    return conv2d(b)


def linear(b: Bound) -> str:
    """aten::linear."""
    if isinstance(b["weight"], str):
        raise b.refuse("linear layer with a computed weight")
    return b.emit(
        "linear", [b.activation("input"), *_weights(b, b["weight"], b["bias"])], b.out_shape, clamp=None
    )


def addmm(b: Bound) -> str:
    """aten::addmm with constant matrix, as a linear layer."""
    weight, bias = b["mat2"], b["self"]
    if isinstance(weight, str) or isinstance(bias, str) or b["beta"] != 1 or b["alpha"] != 1:
        raise b.refuse("addmm with computed weights")
    bias = bias.expand(weight.shape[1])
    return b.emit("linear", [b.activation("mat1"), *_weights(b, weight.t(), bias)], b.out_shape, clamp=None)


def matmul(b: Bound) -> str:
    """aten::matmul/mm/bmm: a linear layer when the right operand is a constant matrix."""
    names = [n for n in ("self", "other", "mat2") if n in b.args]
    left, right = b[names[0]], b[names[1]]
    if isinstance(right, torch.Tensor) and right.dim() == 2:
        return b.emit(
            "linear", [b.tensor(left), b.tensor(right.t().contiguous(), "weight")], b.out_shape, clamp=None
        )
    if min(len(b.shape(left)), len(b.shape(right))) < 2:
        raise b.refuse("matrix product with a vector", "use linear, or add an axis")
    return b.emit("matmul", [b.tensor(left), b.tensor(right)], b.out_shape)


HANDLERS = {
    "aten::conv2d": conv2d,
    "aten::conv1d": conv1d,
    "aten::conv_transpose1d": conv_transpose1d,
    "aten::conv_transpose2d": conv_transpose2d,
    "aten::convolution": convolution,
    "aten::linear": linear,
    "aten::addmm": addmm,
    "aten::matmul": matmul,
    "aten::mm": matmul,
    "aten::bmm": matmul,
}
