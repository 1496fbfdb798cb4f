"""Small quantised networks for the tests of this target."""

from __future__ import annotations

import numpy as np

from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType

PLAIN = {"stride": (1, 1), "pads": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "clamp": None}


def grid(scale: float, zero_point: int = 0) -> Quantization:
    return Quantization.per_tensor(scale, zero_point)


def conv(builder: ProgramBuilder, x: str, out: TensorType, **attrs: object) -> str:
    """A 3x3 int8 convolution with random weights."""
    rng = np.random.default_rng(len(builder.unique("w")))
    channels = (out.shape[1], builder.type(x).shape[1])
    scales = rng.uniform(0.002, 0.006, channels[0])
    weight = rng.integers(-127, 128, (*channels, 3, 3)).astype(np.int8)
    w = builder.constant("w", weight, Quantization.per_channel(scales, 0))
    step = builder.type(x).quant.step  # type: ignore[union-attr]
    bias = builder.constant(
        "b",
        rng.integers(-500, 500, channels[0]).astype(np.int32),
        Quantization.per_channel(scales * step, 0),
    )
    return builder.node("conv2d", [x, w, bias], out, **{**PLAIN, **attrs})


def residual() -> Program:
    """quantize, two convolutions, an addition, a mean and a fully connected layer, dequantize."""
    b = ProgramBuilder()
    rng = np.random.default_rng(3)
    shape = (1, 8, 12, 10)
    x = b.input("image", TensorType((1, 3, 12, 10)))
    q = b.node("quantize", [x], TensorType((1, 3, 12, 10), "int8", grid(0.031, -3)))
    unit = 0.05
    first = conv(b, q, TensorType(shape, "int8", grid(unit * 90 / 127, -128)), clamp=(0.0, None))
    second = conv(b, first, TensorType(shape, "int8", grid(unit * 113 / 127, 4)))
    total = b.node("add", [first, second], TensorType(shape, "int8", grid(unit, -20)), clamp=None)
    pooled = b.node(
        "mean", [total], TensorType((1, 8), "int8", grid(unit * 31 / 120, -10)), axes=(2, 3), keepdims=False
    )
    weight = rng.integers(-127, 128, (5, 8)).astype(np.int8)
    w = b.constant("fc", weight, Quantization.per_channel(rng.uniform(0.002, 0.006, 5), 0))
    logits = b.node("linear", [pooled, w], TensorType((1, 5), "int8", grid(0.04, 9)), clamp=None)
    return b.build([b.node("dequantize", [logits], TensorType((1, 5)), name="logits")])


def unary(op: str, quant_in: Quantization, quant_out: Quantization, **attrs: object) -> Program:
    """An operator on all 256 integers; int8 in, int8 out."""
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 1, 16, 16), "int8", quant_in))
    y = b.node(op, [x], TensorType((1, 1, 16, 16), "int8", quant_out), name="y", **attrs)
    return b.build([y])


ALL_INTEGERS = np.arange(-128, 128).astype(np.int8).reshape(1, 1, 16, 16)
