"""Small 8-bit programs for the web targets."""

from __future__ import annotations

import numpy as np

from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType

SIDE = 8
PLAIN = {"stride": (1, 1), "pads": (0, 0, 0, 0), "dilation": (1, 1), "clamp": (0.0, None)}


def convolutions(channels: int, *, layers: int = 2, depthwise: bool = False, seed: int = 0) -> Program:
    """Quantise, some convolutions with ReLU (1 x 1, or depthwise 3 x 3), dequantise; float at both ends."""
    rng = np.random.default_rng(seed)
    b = ProgramBuilder()
    shape = (1, channels, SIDE, SIDE)
    grid = Quantization.per_tensor(0.05, -10)
    value = b.node("quantize", [b.input("x", TensorType(shape))], TensorType(shape, "int8", grid))
    kernel = (1, 3, 3) if depthwise else (channels, 1, 1)
    attrs = {**PLAIN, "pads": (1, 1, 1, 1), "groups": channels} if depthwise else {**PLAIN, "groups": 1}
    fan_in = int(np.prod(kernel))
    for _ in range(layers):
        scales = Quantization.per_channel(rng.uniform(0.5, 1, channels) / (64 * np.sqrt(fan_in)), 0)
        weight = b.constant("w", rng.integers(-127, 128, (channels, *kernel)).astype(np.int8), scales)
        bias_scale = Quantization.per_channel(scales.scales() * np.float32(0.05), 0)
        bias = b.constant("b", rng.integers(-50, 50, channels).astype(np.int32), bias_scale)
        value = b.node("conv2d", [value, weight, bias], TensorType(shape, "int8", grid), **attrs)
    return b.build([b.node("dequantize", [value], TensorType(shape))])


def bytes_at_the_border() -> Program:
    """int8 in, int8 out, of other scales."""
    b, shape = ProgramBuilder(), (1, 4)
    x = b.input("x", TensorType(shape, "int8", Quantization.per_tensor(0.5, 3)))
    y = b.node("requantize", [x], TensorType(shape, "int8", Quantization.per_tensor(0.3, -7)), name="y")
    return b.build([y])
