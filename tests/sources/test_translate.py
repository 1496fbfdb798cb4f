"""Every ATen handler: the translated program computes what torch computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pocketpress.core.errors import BlockedError, UnsupportedError
from pocketpress.core.program import Program
from pocketpress.sources.aten import comparisons, indices, places, recurrent, selection, unpooling, whole
from pocketpress.sources.aten.translate import HANDLERS, to_program
from pocketpress.verify.reference import interpret

Function = Callable[..., Any]
IMAGE, MATRIX, SEQUENCE = (1, 4, 6, 6), (2, 5), (1, 3, 8)
CORNER = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
TAPS = torch.linspace(-1, 1, 72).reshape(2, 4, 3, 3)


class Wrapped(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs)


def translated(module: nn.Module, *inputs: torch.Tensor) -> Program:
    with torch.no_grad():
        return to_program(torch.export.export(module.eval(), inputs))[0]


SHAPES = [
    (6, 4, 3, 3), (4, 2, 2, 2), (3,), (4,), (5, 3), (5, 4), (5, 6), (4, 1, 1), (1, 1, 6, 6), (4, 2), (1,) * 5,
    (8, 2, 3), (2, 3, 8),
]  # fmt: skip
PARAMETERS = {s: torch.randn(s, generator=torch.Generator().manual_seed(sum(s))) for s in SHAPES}
W = PARAMETERS[6, 4, 3, 3]


def parameter(*shape: int) -> torch.Tensor:
    return PARAMETERS[shape]


GRIDS = {
    "turned": F.affine_grid(torch.tensor([[[0.8, -0.5, 0.3], [0.6, 0.9, -0.2]]]), [1, 4, 5, 7], False),
    "zoomed": F.affine_grid(torch.tensor([[[1.3, 0.0, 0.2], [0.0, -0.7, 0.1]]]), [1, 4, 5, 7], False),
}

CASES: dict[str, tuple[Function | nn.Module, tuple[tuple[int, ...], ...]]] = {
    # resampling
    "nearest-exact-up": (lambda x: F.interpolate(x, (12, 12), mode="nearest-exact"), (IMAGE,)),
    "nearest-exact-odd": (lambda x: F.interpolate(x, (4, 9), mode="nearest-exact"), (IMAGE,)),
    "nearest-exact-half": (lambda x: F.interpolate(x, (3, 2), mode="nearest-exact"), (IMAGE,)),
    "nearest-factor": (lambda x: F.interpolate(x, scale_factor=1.3, mode="nearest"), (IMAGE,)),
    "nearest-exact-factor": (lambda x: F.interpolate(x, scale_factor=1.3, mode="nearest-exact"), (IMAGE,)),
    "bilinear-factor": (lambda x: F.interpolate(x, scale_factor=(1.3, 0.7), mode="bilinear"), (IMAGE,)),
    "bicubic": (lambda x: F.interpolate(x, (9, 4), mode="bicubic"), (IMAGE,)),
    "bicubic-corners": (lambda x: F.interpolate(x, (9, 11), mode="bicubic", align_corners=True), (IMAGE,)),
    "bicubic-antialias": (lambda x: F.interpolate(x, (4, 3), mode="bicubic", antialias=True), (IMAGE,)),
    "bilinear-antialias": (lambda x: F.interpolate(x, (4, 3), mode="bilinear", antialias=True), (IMAGE,)),
    "pixel-unshuffle": (nn.PixelUnshuffle(2), (IMAGE,)),
    **{
        f"grid-{kind}-{padding}-{corners}-{mode}": (
            lambda x, kind=kind, padding=padding, corners=corners, mode=mode: F.grid_sample(
                x, GRIDS[kind], mode, padding, align_corners=corners
            ),
            (IMAGE,),
        )
        for kind in ("turned", "zoomed")
        for padding in ("zeros", "border", "reflection")
        for corners in (False, True)
        for mode in ("bilinear", "bicubic")
    },
    "grid-nearest": (lambda x: F.grid_sample(x, GRIDS["turned"], "nearest", align_corners=False), (IMAGE,)),
    **{
        f"grid-computed-{padding}-{corners}": (
            lambda x, g, padding=padding, corners=corners: F.grid_sample(
                x, g, "bilinear", padding, align_corners=corners
            ),
            (IMAGE, (1, 5, 3, 2)),
        )
        for padding in ("zeros", "border")
        for corners in (False, True)
    },
    # products
    "conv2d": (nn.Conv2d(4, 6, 3, stride=2, padding=1), (IMAGE,)),
    "conv2d-dilated-grouped": (nn.Conv2d(4, 8, (3, 2), dilation=(2, 1), groups=2, bias=False), (IMAGE,)),
    "conv2d-same": (nn.Conv2d(4, 2, (2, 3), padding="same"), (IMAGE,)),
    "conv2d-valid": (nn.Conv2d(4, 2, 3, padding="valid"), (IMAGE,)),
    "conv1d": (nn.Conv1d(3, 5, 3, stride=2, padding=1, dilation=1), (SEQUENCE,)),
    "conv1d-same": (nn.Conv1d(3, 5, 4, padding="same", dilation=2), (SEQUENCE,)),
    "conv_transpose1d": (
        nn.ConvTranspose1d(3, 4, 3, stride=2, padding=1, output_padding=1),
        (SEQUENCE,),
    ),
    "conv_transpose2d": (nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1), (IMAGE,)),
    "conv_transpose2d-grouped": (nn.ConvTranspose2d(4, 4, 2, stride=2, groups=2), (IMAGE,)),
    **{
        f"conv_transpose2d-{name}": (nn.ConvTranspose2d(4, 4, (3, 2), **settings), (IMAGE,))
        for name, settings in {
            "dilated": {"dilation": (2, 3), "padding": (1, 0)},
            "dilated-grouped": {"dilation": 2, "groups": 2, "output_padding": (1, 0)},
            "dilated-cropped": {"dilation": (2, 1), "padding": 2},
            "dilated-strided": {"dilation": 2, "stride": (2, 3), "padding": 1, "output_padding": 1},
        }.items()
    },
    "conv_transpose1d-dilated": (nn.ConvTranspose1d(3, 6, 3, padding=4, dilation=2, groups=3), (SEQUENCE,)),
    "convolution": (
        lambda x: torch.ops.aten.convolution(x, W, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1),
        (IMAGE,),
    ),
    "convolution-transposed": (
        lambda x: torch.ops.aten.convolution(
            x, parameter(4, 2, 2, 2), None, [2, 2], [0, 0], [1, 1], True, [0, 0], 1
        ),
        (IMAGE,),
    ),
    "linear": (nn.Linear(5, 3), (MATRIX,)),
    "linear-3d": (nn.Linear(8, 3, bias=False), (SEQUENCE,)),
    "addmm": (lambda x: torch.addmm(parameter(3), x, parameter(5, 3)), (MATRIX,)),
    "mm-constant": (lambda x: x @ parameter(5, 4), (MATRIX,)),
    "mm": (lambda x, y: torch.mm(x, y), (MATRIX, (5, 2))),
    "bmm": (lambda x, y: torch.bmm(x, y), ((2, 3, 4), (2, 4, 5))),
    "matmul": (lambda x, y: torch.matmul(x, y), ((1, 2, 3, 4), (2, 4, 5))),
    "einsum-linear": (lambda x: torch.einsum("ncij,ck->nkij", x, parameter(4, 2)), (IMAGE,)),
    "einsum-heads": (lambda x: torch.einsum("abc,cde->abde", x, PARAMETERS[8, 2, 3]), (SEQUENCE,)),
    "einsum-joined": (lambda x: torch.einsum("abde,dec->abc", x, PARAMETERS[2, 3, 8]), ((1, 4, 2, 3),)),
    "einsum-scores": (
        lambda q, k: torch.einsum("aecd,abcd->acbe", q, k),
        ((1, 5, 2, 3), (1, 4, 2, 3)),
    ),
    # arithmetic
    "add": (lambda x, y: x + y, (IMAGE, (4, 1, 1))),
    "add-alpha": (lambda x, y: torch.add(x, y, alpha=0.5), (IMAGE, IMAGE)),
    "add-constant-left": (lambda x: 2.5 + x, (IMAGE,)),
    "add-constant-alpha": (lambda x: torch.add(x, parameter(4, 1, 1), alpha=3), (IMAGE,)),
    "sub": (lambda x, y: x - y, (IMAGE, IMAGE)),
    "sub-constant": (lambda x: x - 1.5, (IMAGE,)),
    "rsub": (lambda x: torch.rsub(x, 2.0), (IMAGE,)),
    "rsub-alpha": (lambda x: torch.rsub(x, 2.0, alpha=3), (IMAGE,)),
    "constant-minus": (lambda x: parameter(4, 1, 1) - x, (IMAGE,)),
    "mul": (lambda x, y: x * y, (IMAGE, (1, 4, 1, 1))),
    "whole-constants": (lambda x: (x * torch.arange(6) + torch.tensor(2) + torch.eye(6).bool(),), (IMAGE,)),
    "mul-constant": (lambda x: x * 0.3, (IMAGE,)),
    "div": (lambda x, y: x / (y.abs() + 1), (IMAGE, IMAGE)),
    "div-constant": (lambda x: x / 7, (IMAGE,)),
    "div-by-tensor-constant": (lambda x: x / (parameter(4, 1, 1).abs() + 1), (IMAGE,)),
    "reciprocal-like": (lambda x: 3.0 / (x.abs() + 1), (IMAGE,)),
    "minimum": (lambda x, y: torch.minimum(x, y), (IMAGE, IMAGE)),
    "maximum": (lambda x, y: torch.maximum(x, y), (IMAGE, IMAGE)),
    "in-place": (lambda x: (x * 1.0).add_(1.0).mul_(2.0).sub_(0.5).div_(3.0).neg_(), (IMAGE,)),
    "in-place-activations": (
        lambda x: F.relu_(F.relu6(x * 2.0, inplace=True).clamp_(0.1, 5).add_(-1)),
        (IMAGE,),
    ),
    # activations
    "relu": (nn.ReLU(), (IMAGE,)),
    "relu6": (nn.ReLU6(), (IMAGE,)),
    "hardtanh": (nn.Hardtanh(-0.5, 0.7), (IMAGE,)),
    "clamp": (lambda x: x.clamp(-0.2, 0.9), (IMAGE,)),
    "clamp-low": (lambda x: x.clamp(min=-0.2), (IMAGE,)),
    "clamp_min": (lambda x: torch.clamp_min(x, 0.3), (IMAGE,)),
    "clamp_max": (lambda x: torch.clamp_max(x, 0.3), (IMAGE,)),
    "sigmoid": (nn.Sigmoid(), (IMAGE,)),
    "tanh": (nn.Tanh(), (IMAGE,)),
    "hardswish": (nn.Hardswish(), (IMAGE,)),
    "hardsigmoid": (nn.Hardsigmoid(), (IMAGE,)),
    "silu": (nn.SiLU(), (IMAGE,)),
    "silu-in-place": (lambda x: F.silu(x * 2.0, inplace=True), (IMAGE,)),
    "leaky_relu": (nn.LeakyReLU(0.2), (IMAGE,)),
    "elu": (nn.ELU(0.7), (IMAGE,)),
    "gelu": (nn.GELU(), (IMAGE,)),
    "gelu-tanh": (nn.GELU(approximate="tanh"), (IMAGE,)),
    "prelu": (nn.PReLU(4), (IMAGE,)),
    "softplus-of-one-tensor": (lambda x: (lambda y: torch.where(y > 20, y, F.softplus(y)))(x * 9), (IMAGE,)),
    "prelu-written-out": (
        lambda x: (
            torch.where(x > 0, x, parameter(4, 1, 1) * x),
            torch.where(torch.greater(x, torch.tensor(0.0)), x, 0.2 * x),
        ),
        (IMAGE,),
    ),
    "prelu-shared": (nn.PReLU(), (IMAGE,)),
    "exp": (lambda x: torch.exp(x), (IMAGE,)),
    "log-sqrt-rsqrt": (
        lambda x: torch.log(x.abs() + 1) + torch.sqrt(x.abs()) + torch.rsqrt(x.abs() + 1),
        (IMAGE,),
    ),
    "abs-neg": (lambda x: -x.abs(), (IMAGE,)),
    "other-names": (
        lambda x, y: torch.negative(
            torch.subtract(torch.multiply(x, y), torch.absolute(torch.divide(x, torch.clip(y, 1.0, 2.0))))
        ).true_divide(3.0),
        (IMAGE, IMAGE),
    ),
    "square": (lambda x: torch.square(x), (IMAGE,)),
    "pow-2": (lambda x: x**2, (IMAGE,)),
    "pow-3": (lambda x: x**3, (IMAGE,)),
    "pow-constant": (lambda x: torch.pow(x, torch.tensor(3.0)), (IMAGE,)),
    "pow-half": (lambda x: x.abs() ** 0.5, (IMAGE,)),
    "logarithms-of-sums": (
        lambda x: (F.softplus(x * 20), F.softplus(x, 2.0), F.mish(x), F.logsigmoid(x * 20), F.softsign(x)),
        (IMAGE,),
    ),
    "of-elu": (lambda x: (F.selu(x), F.celu(x), F.celu(x, 0.6), F.elu(x, 0.5).expm1()), (IMAGE,)),
    "shrinking": (
        lambda x: (F.softshrink(x, 0.3), F.tanhshrink(x), F.threshold(x, 0.2, 0.2), F.rrelu(x, 0.1, 0.2)),
        (IMAGE,),
    ),
    "gates": (lambda x: (F.glu(x, 1), torch.logit(x, 0.2), torch.logit(torch.sigmoid(x))), (IMAGE,)),
    "in-place-of-others": (
        lambda x: F.mish(F.selu(F.celu(x * 2, inplace=True), inplace=True), inplace=True),
        (IMAGE,),
    ),
    "powers-and-logarithms": (
        lambda x: (x.exp2(), *(f(x.abs() + 1) for f in (torch.log2, torch.log10, torch.log1p))),
        (IMAGE,),
    ),
    "mixtures": (
        lambda x, y: (torch.addcmul(x, x, y, value=0.5), torch.addcmul(x, y, y), torch.lerp(x, y, 0.3)),
        (IMAGE, IMAGE),
    ),
    # normalisation
    "group_norm": (nn.Sequential(nn.GroupNorm(2, 4), nn.GroupNorm(4, 4), nn.GroupNorm(1, 4)), (IMAGE,)),
    "group_norm-plain": (nn.GroupNorm(2, 4, affine=False), ((2, 4, 3),)),
    "instance_norm": (nn.Sequential(nn.InstanceNorm2d(4, affine=True), nn.InstanceNorm2d(4)), (IMAGE,)),
    "instance_norm-1d": (nn.InstanceNorm1d(3), (SEQUENCE,)),
    "instance_norm-running": (nn.InstanceNorm2d(4, affine=True, track_running_stats=True), (IMAGE,)),
    "rms_norm": (nn.Sequential(nn.RMSNorm(8), nn.RMSNorm(8, 1e-3, False)), (SEQUENCE,)),
    "batch_norm": (nn.BatchNorm2d(4), (IMAGE,)),
    "batch_norm-plain": (nn.BatchNorm2d(4, affine=False), (IMAGE,)),
    "batch_norm-1d": (nn.BatchNorm1d(5), (MATRIX,)),
    "batch_norm-decomposed": (
        lambda x: torch.ops.aten._native_batch_norm_legit_no_training(
            x, parameter(4), parameter(4), parameter(4), parameter(4).abs(), 0.1, 1e-5
        )[0],
        (IMAGE,),
    ),
    "layer_norm": (nn.LayerNorm(8), (SEQUENCE,)),
    "layer_norm-two-axes": (nn.LayerNorm((3, 8), elementwise_affine=False), (SEQUENCE,)),
    "layer_norm-decomposed": (lambda x: torch.native_layer_norm(x, [8], None, None, 1e-5)[0], (SEQUENCE,)),
    # reductions
    "max_pool2d": (nn.MaxPool2d(3, stride=2, padding=1), (IMAGE,)),
    "max_pool2d-ceil": (nn.MaxPool2d(3, stride=2, ceil_mode=True), (IMAGE,)),
    "max_pool2d-dilated": (nn.MaxPool2d(2, stride=1, dilation=2), (IMAGE,)),
    "max_pool2d-with-indices": (lambda x: torch.ops.aten.max_pool2d_with_indices(x, [2, 2])[0], (IMAGE,)),
    "avg_pool2d": (nn.AvgPool2d(2), (IMAGE,)),
    "avg_pool2d-padded": (nn.AvgPool2d(3, stride=2, padding=1), (IMAGE,)),
    "avg_pool2d-padding-not-counted": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (IMAGE,)),
    "avg_pool2d-ceil": (nn.AvgPool2d(2, ceil_mode=True), (IMAGE,)),
    "avg_pool2d-ceil-cut": (nn.AvgPool2d(2, 3, ceil_mode=True), ((1, 4, 7, 8),)),
    "avg_pool2d-ceil-cut-padded": (
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        ((1, 4, 8, 6),),
    ),
    "einsum-of-diagonals": (lambda x: torch.einsum("ncii,ck->nki", x, parameter(4, 2)), ((1, 4, 6, 6),)),
    "avg_pool2d-divisor": (nn.AvgPool2d(3, 2, 1, divisor_override=2), (IMAGE,)),
    "pooled-sequences": (
        lambda x: (
            F.max_pool1d(x, 3, 2, 1),
            F.max_pool1d(x, 2, 1, dilation=2),
            F.max_pool1d(x, 3, 2, ceil_mode=True),
            F.avg_pool1d(x, 3, 2, 1),
            F.avg_pool1d(x, 3, 2, 1, count_include_pad=False),
            F.adaptive_avg_pool1d(x, 1),
            F.adaptive_avg_pool1d(x, 4),
            F.adaptive_avg_pool1d(x, 3),
            F.adaptive_max_pool1d(x, 4),
        ),
        (SEQUENCE,),
    ),
    "adaptive-uneven": (nn.AdaptiveAvgPool2d((4, 5)), (IMAGE,)),
    "adaptive-max-uneven": (
        lambda x: (
            F.adaptive_max_pool2d(x, 4),
            F.adaptive_max_pool2d(x, (5, 3)),
            F.adaptive_max_pool2d(x, (2, 4)),
            F.adaptive_max_pool2d(x, 9),
            F.adaptive_max_pool1d(x[0], 4),
        ),
        (IMAGE,),
    ),
    "adaptive-max-overlapping": (lambda x: F.adaptive_max_pool2d(x, (6, 3)), ((1, 2, 13, 8),)),
    "adaptive-max": (lambda x: (F.adaptive_max_pool2d(x, 1), F.adaptive_max_pool2d(x, (3, 2))), (IMAGE,)),
    "largest": (
        lambda x: (
            x.amax((2, 3)),
            x.amax(1),
            x.amax((0, -1), keepdim=True),
            x.amax((1, 3)),
            x.max(),
            x.max(2)[0],
            x.max(-1, keepdim=True).values,
        ),
        (IMAGE,),
    ),
    "least": (
        lambda x, y: (x.amin((2, 3)), x.min(), x.min(1)[0], torch.min(x, y), torch.max(x, y)),
        (IMAGE, IMAGE),
    ),
    "spread": (
        lambda x: (
            x.var(1),
            x.std((2, 3), keepdim=True),
            x.var(),
            x.std(-1, unbiased=False),
            x.std(correction=0),
        ),
        (IMAGE,),
    ),
    "lengths": (
        lambda x: (
            x.norm(),
            x.norm(dim=1),
            x.norm(1, -1, True),
            x.norm(float("inf"), 2),
            torch.linalg.vector_norm(x, 2, (2, 3)),
            F.normalize(x),
        ),
        (IMAGE,),
    ),
    "distances": (
        lambda x, y: (F.cosine_similarity(x, y), F.cosine_similarity(x, y, -1), F.pairwise_distance(x, y)),
        (IMAGE, IMAGE),
    ),
    "logsumexp": (lambda x: (x.mul(50).logsumexp(1), x.logsumexp((2, 3), keepdim=True)), (IMAGE,)),
    "running-sums": (lambda x: (x.cumsum(1), x.cumsum(-1)), (IMAGE,)),
    "adaptive-1": (nn.AdaptiveAvgPool2d(1), (IMAGE,)),
    "adaptive-3": (nn.AdaptiveAvgPool2d((3, 2)), (IMAGE,)),
    "mean": (lambda x: x.mean((2, 3)), (IMAGE,)),
    "mean-all": (lambda x: x.mean(), (IMAGE,)),
    "mean-negative-axis": (lambda x: x.mean(-1, keepdim=True), (IMAGE,)),
    "sum": (lambda x: x.sum(1), (IMAGE,)),
    "softmax": (nn.Softmax(dim=1), (IMAGE,)),
    "log_softmax": (nn.LogSoftmax(dim=-1), (MATRIX,)),
    "softmax-decomposed": (lambda x: torch.ops.aten._softmax(x, -1, False), (MATRIX,)),
    "log_softmax-decomposed": (lambda x: torch.ops.aten._log_softmax(x, 1, False), (MATRIX,)),
    # shapes
    "reshape": (lambda x: x.reshape(2, -1), (IMAGE,)),
    "view": (lambda x: x.view(1, 4, 36), (IMAGE,)),
    "flatten": (nn.Flatten(), (IMAGE,)),
    "unflatten": (nn.Unflatten(1, (2, 2)), (IMAGE,)),
    "squeeze": (lambda x: x.squeeze(), (IMAGE,)),
    "squeeze-axis": (lambda x: x.squeeze(0).unsqueeze(-1), (IMAGE,)),
    "permute": (lambda x: x.permute(0, 2, -1, 1), (IMAGE,)),
    "transpose": (lambda x: x.transpose(-1, 1), (IMAGE,)),
    "t": (lambda x: x.t(), (MATRIX,)),
    "t-decomposed": (lambda x: torch.ops.aten.t(x), (MATRIX,)),
    "slice": (lambda x: x[:, 1:3, ::2, -4:], (IMAGE,)),
    "select": (lambda x: x[:, -1], (IMAGE,)),
    "split": (lambda x: torch.split(x, [1, 3], 1), (IMAGE,)),
    "split-even": (lambda x: torch.split(x, 4, -1), (IMAGE,)),
    "chunk": (lambda x: torch.add(*torch.chunk(x, 2, 1)), (IMAGE,)),
    "unbind": (lambda x: torch.unbind(x, 1)[2], (IMAGE,)),
    "cat": (lambda x, y: torch.cat([x, y, x], -3), (IMAGE, IMAGE)),
    "cat-with-empty": (lambda x: torch.cat([x, x[:, :0]], 1), (IMAGE,)),
    "cat-constant": (lambda x: torch.cat([x, parameter(1, 1, 6, 6)], 1), (IMAGE,)),
    "stack": (lambda x, y: torch.stack([x, y], -1), (MATRIX, MATRIX)),
    "pad": (lambda x: F.pad(x, (1, 2, 0, 3)), (IMAGE,)),
    "pad-modes": (
        lambda x: (
            [F.pad(x, (1, 2, 3, 0), mode=m) for m in ("reflect", "replicate", "circular")]
            + [F.pad(x, (-1, 2, 0, -2)), F.pad(x, (-1, 0))]
        ),
        (IMAGE,),
    ),
    "pad-long": (lambda x: F.pad(x, (64, 40), mode="reflect"), ((1, 1, 80),)),
    "flip": (lambda x: (x.flip(1), x.flip(2, -1)), (IMAGE,)),
    "flip-long": (lambda x: x.flip(-1), ((2, 130),)),
    "roll": (lambda x: (x.roll((-1, 2), (2, 3)), x.roll(7), x.roll(6, 2)), (IMAGE,)),
    "repeat": (
        lambda x: (
            x.repeat(2, 1, 3),
            x.repeat(1, 1, 2, 1),
            x.tile(2),
            x.repeat_interleave(2, 1),
            x.repeat_interleave(3),
            x[..., :1].expand(1, 3, 130),
            x[:, :1].broadcast_to(1, 5, 8),
        ),
        (SEQUENCE,),
    ),
    "other-shapes": (
        lambda x, y: (
            x[:, :1].expand_as(y),
            x.view_as(y),
            x.reshape_as(y),
            x.ravel(),
            x.movedim(1, -1),
            x.mT,
            x.moveaxis((0, 1), (2, 0)),
            x.swapaxes(1, 2),
            x.swapdims(0, 3),
            x.narrow(2, -3, 2),
            x[0, 0].T,
            *x.tensor_split(4, 2),
            torch.concatenate([x, y], 1),
            torch.concat([x, y]),
            x.type_as(y),
        ),
        (IMAGE, IMAGE),
    ),
    "numpy-t": (lambda x: torch.ops.aten.numpy_T(x), (SEQUENCE,)),
    "adjoint": (lambda x: x.adjoint(), (SEQUENCE,)),
    "constants-like-it": (
        lambda x: (
            x
            + torch.zeros_like(x)
            + torch.ones_like(x)
            + torch.full_like(x, 2.5)
            + x.new_zeros(1)
            + x.new_ones(5)
            + x.new_full((2, 1), 3.0)
        ),
        (MATRIX,),
    ),
    "constants-as-it-is": (  # weights of a type and a shape that are read from the input stay weights
        lambda x: (
            F.conv_transpose2d(
                x, CORNER.detach().type_as(x).expand(x.size(1), 1, -1, -1), stride=2, groups=4
            ),
            F.conv2d(x, TAPS.double().to(x)),
            F.conv2d(x, TAPS[:1, :1, :1, :1].expand_as(x[:, :, :1, :1])),
            F.conv2d(x, TAPS[:, :, 1].reshape(1, 24).view_as(x[:, :, :1]).transpose(2, 3)),
            F.conv2d(x, TAPS[:, :, :, :1].reshape(1, 24).reshape_as(x[:, :, 0])[..., None]),
        ),
        (IMAGE,),
    ),
    "half-constants": (
        lambda x: (
            (x - TAPS[0, :, :1, :1].half()) / TAPS[1, :, :1, :1].half(),
            x * CORNER[0, :, :1].bfloat16(),
        ),
        ((1, 4, 6, 2),),
    ),
    "channels-exchanged": (lambda x: (x[:, [2, 1, 0, 3]], x[..., [-1, 0, 3]], x[[0]]), (IMAGE,)),
    "sequences-resized": (
        lambda x: (
            F.interpolate(x, 12),
            F.interpolate(x, 5),
            F.interpolate(x, scale_factor=1.3),
            F.interpolate(x, 12, mode="linear"),
            F.interpolate(x, 5, mode="linear", align_corners=True),
            F.interpolate(x, scale_factor=1.3, mode="linear"),
        ),
        (SEQUENCE,),
    ),
    "affine-grid": (
        lambda theta, x: F.grid_sample(x, F.affine_grid(theta, [1, 4, 3, 5], False), align_corners=False),
        ((1, 2, 3), IMAGE),
    ),
    "pad-value": (lambda x: torch.constant_pad_nd(x, [1, 1], 0.5), (IMAGE,)),
    "nearest": (lambda x: F.interpolate(x, scale_factor=2), (IMAGE,)),
    "nearest-down": (lambda x: F.interpolate(x, size=(4, 9)), (IMAGE,)),
    "bilinear": (lambda x: F.interpolate(x, size=(9, 4), mode="bilinear"), (IMAGE,)),
    "bilinear-corners": (
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
        (IMAGE,),
    ),
    "pixel_shuffle": (nn.PixelShuffle(2), (IMAGE,)),
    "channel_shuffle": (lambda x: torch.channel_shuffle(x, 2), (IMAGE,)),
    "expand": (lambda x: x.expand(2, 4, 6, 6), (IMAGE,)),
    "expand-new-axis": (lambda x: x.expand(3, 2, 5) * 1.0, (MATRIX,)),
    # nothing at inference
    "dropout": (
        nn.Sequential(nn.Dropout(0.5), nn.Dropout(inplace=True), nn.Dropout2d(), nn.Identity(), nn.ReLU()),
        (IMAGE,),
    ),
    "identities": (lambda x: x.contiguous().clone().detach().float().to(torch.float32) * 1.0, (IMAGE,)),
    # attention
    "attention": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v),
        ((1, 2, 5, 4), (1, 2, 6, 4), (1, 2, 6, 3)),
    ),
    "attention-causal": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        ((1, 2, 5, 4), (1, 2, 5, 4), (1, 2, 5, 3)),
    ),
    "attention-mask-scale": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=parameter(5, 6), scale=0.3),
        ((1, 2, 5, 4), (1, 2, 6, 4), (1, 2, 6, 3)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_program_computes_what_torch_computes(name: str) -> None:
    function, shapes = CASES[name]
    module = function if isinstance(function, nn.Module) else Wrapped(function)
    generator = torch.Generator().manual_seed(0)
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + 0.25)
    inputs = [torch.randn(shape, generator=generator) for shape in shapes]
    program = translated(module, *inputs)
    with torch.no_grad():
        wanted = module.eval()(*[i.clone() for i in inputs])
    wanted = wanted if isinstance(wanted, (tuple, list)) else [wanted]
    got = interpret(program, dict(zip(program.inputs, (i.numpy() for i in inputs), strict=True)))
    assert len(program.outputs) == len(wanted)
    for output, value in zip(program.outputs, wanted, strict=True):
        assert got[output].shape == tuple(value.shape)
        np.testing.assert_allclose(got[output], value.numpy(), rtol=2e-5, atol=2e-5)


def test_the_table_reaches_every_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: set[str] = set()
    for name, handler in list(HANDLERS.items()):

        def noted(b: Any, name: str = name, handler: Any = handler) -> Any:
            reached.add(name)
            return handler(b)

        monkeypatch.setitem(HANDLERS, name, noted)
    for function, shapes in CASES.values():
        module = function if isinstance(function, nn.Module) else Wrapped(function)
        translated(module, *[torch.ones(shape) for shape in shapes])
    elsewhere = {
        **indices.HANDLERS,
        **recurrent.HANDLERS,
        **comparisons.HANDLERS,
        **selection.HANDLERS,
        **unpooling.HANDLERS,
        **whole.HANDLERS,
        **places.HANDLERS,
    }
    missing = {n.removeprefix("aten::").rstrip("_") for n in HANDLERS if n not in elsewhere} - {
        n.removeprefix("aten::").rstrip("_") for n in reached
    }
    aliases = {
        "_adaptive_avg_pool2d",
        "contiguous",
        "_unsafe_view",
        "view_copy",
        "alias",
        "lift_fresh_copy",
        "_to_copy",
    }
    aliases |= {"copy", "fill", "slice_scatter", "select_scatter"}  # tests/sources/test_in_place.py
    aliases |= {"feature_alpha_dropout", "alpha_dropout", "_reshape_alias", "norm"}
    aliases |= {"grid_sampler_2d"}  # of decomposed programs
    aliases |= {"split_with_sizes", "feature_dropout", "constant_pad_nd"}  # which of them torch picks varies
    assert missing - aliases == set()


REFUSED: dict[str, tuple[Function, tuple[tuple[int, ...], ...], str]] = {
    "pooling-indices": (
        lambda x: F.max_pool2d(x, 2, return_indices=True)[1].float(), (IMAGE,),
        "indices of max pooling, which no runtime has; upsample by nearest",
    ),
    "max-pool3d": (
        lambda x: F.max_pool3d(x, 3, 2, 1), ((1, 1, 4, 4, 4),), "max_pool3d is not supported; pool depth",
    ),
    "avg-pool3d": (
        lambda x: F.avg_pool3d(x, 2), ((1, 1, 4, 4, 4),), "avg_pool3d is not supported; pool depth",
    ),
    "bicubic-huge": (
        lambda x: F.interpolate(x, (6, 800_000), mode="bicubic"), (IMAGE,), "of 6 to 800000 pixels; resize",
    ),
    "grid-huge": (
        lambda x: F.grid_sample(x, torch.linspace(-1, 1, 320_000).view(1, 400, 400, 2), align_corners=False),
        (IMAGE,),
        "36 pixels at 160000 places",
    ),
    "grid-computed-nearest": (
        lambda x, g: F.grid_sample(x, g, "nearest", align_corners=False), (IMAGE, (1, 2, 2, 2)),
        "computed grid with mode nearest and zeros padding; use bilinear",
    ),
    "grid-batch": (
        lambda x, g: F.grid_sample(x, g, align_corners=False), ((2, 1, 4, 4), (2, 2, 2, 2)),
        "several images; sample one",
    ),
    "computed-weight": (
        lambda x, w: F.conv_transpose2d(x, w[:4]),
        (IMAGE, W.shape),
        "transposed convolution with a computed weight",
    ),
    "avg-pool-ceil": (
        lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
        ((1, 4, 8, 6),),
        "ceil_mode where a window is cut",
    ),
    "cast": (lambda x: x.to(torch.float16), (IMAGE,), "cast to torch.float16; keep the network in float32"),
    "conv3d": (lambda x: F.conv3d(x, parameter(1, 1, 1, 1, 1)), ((1, 1, 2, 2, 2),), ""),
    "many-uneven-maxima": (
        lambda x: F.adaptive_max_pool2d(x, (33, 1)), ((1, 1, 50, 2),), "from 50 to 33 has uneven windows",
    ),
    "indices-of-uneven-maxima": (
        lambda x: F.adaptive_max_pool2d(x, 4, return_indices=True)[1].float(), (IMAGE,), "indices of maxima",
    ),
    "dropout-left-on": (lambda x: F.dropout(x), (IMAGE,), "F.dropout with training=self.training"),
    "channel-dropout-left-on": (lambda x: F.dropout2d(x), (IMAGE,), "dropout in training mode"),
    "alpha-dropout-left-on": (lambda x: F.alpha_dropout(x, training=True), (IMAGE,), "in training mode"),
    "dropout-of-a-constant": (lambda x: x + F.dropout(torch.ones(6)), (IMAGE,), "would be drawn once"),
    "noise": (lambda x: x + torch.randn(6), (IMAGE,), "draw random numbers outside"),
    "noise-of-its-shape": (lambda x: x + torch.rand_like(x), (IMAGE,), "draw random numbers outside"),
    "noise-in-place": (lambda x: x + torch.empty(6).normal_(), (IMAGE,), "draw random numbers outside"),
    "indices-of-maxima": (
        lambda x: F.adaptive_max_pool2d(x, 3, return_indices=True)[1], (IMAGE,),
        "indices of maxima, which no runtime has",
    ),
    "soft-threshold": (lambda x: F.softplus(x, 1, 5), (IMAGE,), "softplus with threshold 5; use at least 10"),
    "norm-of-three": (lambda x: x.norm(3), (IMAGE,), "a norm of order 3; use 1, 2 or infinity"),
    "variance-of-one": (lambda x: x.var(0), (IMAGE,), "the variance of 1 number; use correction=0"),
    "long-sum": (lambda x: x.cumsum(0), ((1025,),), "a running sum of 1025 numbers, at most 1024 are"),
    "prime-flip": (lambda x: x.flip(0), ((37,),), "a flip of 37 elements; flip outside the network"),
    "prime-copies": (lambda x: x.expand(67, 5), ((1, 5),), "expand by 67; let broadcasting do it"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_names_the_users_line(name: str) -> None:
    function, shapes, text = REFUSED[name]
    with pytest.raises(UnsupportedError) as caught:
        translated(Wrapped(function), *[torch.randn(shape) for shape in shapes])
    message = str(caught.value)
    assert text in message and "\n" not in message
    assert "test_translate.py" in message, message


def test_everything_unsupported_is_listed_at_once() -> None:
    """Behind an unsupported operator stands a stand-in, so that later ones are found; the rest is silent."""

    class Many(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.bernoulli(x)
            z = torch.special.bessel_j0(y) + torch.relu(y)
            return torch.bernoulli(z)

    with pytest.raises(BlockedError) as caught:
        translated(Many(), torch.ones(2, 3))
    found = caught.value.blockers
    assert [b.op for b in found] == ["aten::bernoulli", "aten::special_bessel_j0", "aten::bernoulli"]
    assert "y = torch.bernoulli(x)" in found[0].where and "give them as an input" in found[0].instead
    assert found[1].instead == "replace it by supported operators (docs/support.md)"
    assert "aten::bernoulli (" in str(caught.value) and ", ...)" in str(caught.value)


class Blocks(nn.Module):
    """``with`` statements, as in rotary embeddings and attention of other people's networks."""

    def __init__(self, last: Function) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 5)
        self.last = last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            relu = x.float().relu()
            parts = relu, self.linear(relu)
        with torch.no_grad():
            scale = torch.arange(5).float() / 5
            y = parts[0] * scale + parts[1]
        return y.relu() + self.last(x)  # type: ignore[no-any-return]


def test_blocks_of_with_statements_are_read() -> None:
    torch.manual_seed(0)
    network, x = Blocks(torch.abs), torch.randn(2, 5)
    program = translated(network, x)
    (found,) = interpret(program, {program.inputs[0]: x.numpy()}).values()
    np.testing.assert_allclose(found, network(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_what_is_not_supported_in_a_block_is_refused() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            y = torch.bernoulli(x)
        return y + 1

    with pytest.raises(BlockedError, match="aten::bernoulli is not supported"):
        translated(Wrapped(function), torch.ones(2, 5))


def test_names_of_inputs_and_outputs() -> None:
    class Two(nn.Module):
        def forward(self, left: torch.Tensor, right: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"total": left + right, "same": left}

    program = translated(Two(), torch.ones(2), torch.ones(2))
    assert program.inputs == ("left", "right") and program.outputs == ("total", "same")


def test_an_output_may_be_called_like_an_operator() -> None:
    """The graph's own node is called mean too; the public name must win."""

    class Two(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"mean": x.mean(1), "x": x * 2.0}

    program = translated(Two(), torch.ones(2, 3))
    assert program.inputs == ("x",) and program.outputs == ("mean", "x_1")


def test_one_output_twice() -> None:
    program = translated(Wrapped(lambda x: (x.abs(), x.abs(), x)), torch.ones(2))
    assert program.outputs == ("output_0", "output_1", "output_2")
    got = interpret(program, {program.inputs[0]: np.asarray([-1.0, 2.0], np.float32)})
    assert got["output_1"].tolist() == [1.0, 2.0] and got["output_2"].tolist() == [-1.0, 2.0]


def test_an_unused_input_is_listed() -> None:
    class Half(nn.Module):
        def forward(self, x: torch.Tensor, ignored: torch.Tensor) -> torch.Tensor:
            return x.abs()

    exported = torch.export.export(Half(), (torch.ones(2), torch.ones(3)))
    _, skipped = to_program(exported)
    assert skipped == (("ignored", "input is never used by the network"),)


def test_a_constant_output() -> None:
    program = translated(Wrapped(lambda x: (x.abs(), torch.full((2,), 3.0))), torch.ones(2))
    assert interpret(program, {program.inputs[0]: np.ones(2, np.float32)})["output_1"].tolist() == [3.0, 3.0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.uint8])
def test_other_dtypes_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(UnsupportedError, match="has dtype"):
        translated(Wrapped(lambda x: x + x), torch.ones(2, dtype=dtype))


def test_a_dynamic_shape_is_refused() -> None:
    exported = torch.export.export(
        Wrapped(lambda x: x.abs()), (torch.ones(2, 3),), dynamic_shapes=[({0: torch.export.Dim("n", min=2)},)]
    )
    with pytest.raises(UnsupportedError, match=r"has a dynamic shape.*export with static shapes"):
        to_program(exported)


def test_lines_of_the_users_code_are_kept() -> None:
    program = translated(Wrapped(lambda x: x.abs() + 1), torch.ones(2))
    assert all("test_translate.py" in n.source for n in program.nodes if n.op in ("abs", "add"))


@pytest.mark.parametrize(
    "function", [lambda x: x.log_softmax(1), lambda x: torch.ops.aten._log_softmax(x, 1, False)]
)
def test_the_logarithm_of_a_share_that_vanishes_is_finite(function: Callable[..., Any]) -> None:
    class Scores(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return function(x)  # type: ignore[no-any-return]

    x = torch.tensor([[3.0, -80.0, -200.0, 0.0]])
    program, _ = to_program(torch.export.export(Scores(), (x,)))
    (found,) = interpret(program, {program.inputs[0]: x.numpy()}).values()
    wanted = np.maximum(x.log_softmax(1).numpy(), np.log(2.0**-126))
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
