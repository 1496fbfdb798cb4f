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
    if int(b["dilation"][0]) != 1:
        raise b.refuse("transposed convolution with dilation")
    if len(b.shape(x)) != 3:
        raise b.refuse("convolution without a batch axis", "add a batch axis of one")
    shape, pad, out = (*b.shape(x)[:2], 1, b.shape(x)[2]), int(b["padding"][0]), b.out_shape
    image = b.emit("reshape", [x], shape, last=False, shape=shape)
    y = b.emit(
        "conv_transpose2d",
        [image, *_weights(b, weight.unsqueeze(2), b["bias"])],
        (*out[:2], 1, out[2]),
        last=False,
        stride=(1, int(b["stride"][0])),
        pads=(0, pad, 0, pad),
        output_padding=(0, int(b["output_padding"][0])),
        groups=int(b["groups"]),
        clamp=None,
    )
    return b.emit("reshape", [y], out, shape=out)


def conv_transpose2d(b: Bound) -> str:
    """aten::conv_transpose2d without dilation."""
    if isinstance(b["weight"], str):
        raise b.refuse("transposed convolution with a computed weight")
    if pair(b["dilation"]) != (1, 1):
        raise b.refuse("transposed convolution with dilation")
    h, w = pair(b["padding"])
    return b.emit(
        "conv_transpose2d",
        [b.activation("input"), *_weights(b, b["weight"], b["bias"])],
        b.out_shape,
        stride=pair(b["stride"]),
        pads=(h, w, h, w),
        output_padding=pair(b["output_padding"]),
        groups=int(b["groups"]),
        clamp=None,
    )


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
