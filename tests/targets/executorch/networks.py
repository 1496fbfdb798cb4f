"""A small MobileNet-style int8 network with scales as the quantiser chooses them."""

from __future__ import annotations

import numpy as np

from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType

PER_TENSOR = Quantization.per_tensor


class _Writer:
    def __init__(self, seed: int) -> None:
        self.b = ProgramBuilder()
        self.rng = np.random.default_rng(seed)

    def conv(
        self,
        x: str,
        channels: int,
        kernel: int,
        stride: int,
        groups: int,
        scale: float,
        zero: int,
        relu6: bool,
    ) -> str:
        type_ = self.b.type(x)
        n, c, h, w = type_.shape
        weight = self.rng.integers(-127, 128, (channels, c // groups, kernel, kernel)).astype(np.int8)
        gain = 1.5 / (127 * np.sqrt(weight[0].size))
        scales = self.rng.uniform(0.5 * gain, gain, channels).astype(np.float32)
        bias = self.rng.integers(-2000, 2000, channels).astype(np.int32)
        bias_scales = [float(type_.quant.step * s) for s in scales]
        return self.b.node(
            "conv2d",
            [
                x,
                self.b.constant("w", weight, Quantization.per_channel(scales, 0)),
                self.b.constant("b", bias, Quantization.per_channel(bias_scales, 0)),
            ],
            TensorType((n, channels, -(-h // stride), -(-w // stride)), "int8", PER_TENSOR(scale, zero)),
            stride=(stride, stride),
            pads=(0, 0, 1, 1) if stride == 2 else (kernel // 2,) * 4,
            dilation=(1, 1),
            groups=groups,
            clamp=(0.0, 6.0) if relu6 else None,
        )


def mobile_network(*, seed: int = 0, pixels: bool = False) -> Program:
    """Convolution, two inverted residuals with a tied addition, mean and classifier."""
    w = _Writer(seed)
    b = w.b
    if pixels:
        x = b.input("x", TensorType((1, 3, 32, 32), "uint8", PER_TENSOR(1 / 255, 0)))
        x = b.node("requantize", [x], TensorType((1, 3, 32, 32), "int8", PER_TENSOR(0.0047, -110)))
    else:
        x = b.input("x", TensorType((1, 3, 32, 32)))
        x = b.node("quantize", [x], TensorType((1, 3, 32, 32), "int8", PER_TENSOR(0.0231, -3)))
    relu6 = 6 / 255
    x = w.conv(x, 16, 3, 2, 1, relu6, -128, True)
    out = 0.041
    left = w.conv(x, 24, 1, 1, 1, out * 96 / 127, 4, False)
    y = w.conv(left, 96, 1, 1, 1, relu6, -128, True)
    y = w.conv(y, 96, 3, 1, 96, relu6, -128, True)
    y = w.conv(y, 24, 1, 1, 1, out * 127 / 127, -9, False)
    x = b.node("add", [left, y], TensorType((1, 24, 16, 16), "int8", PER_TENSOR(out, 2)), clamp=None)
    x = w.conv(x, 48, 3, 2, 24, relu6, -128, True)
    mean = PER_TENSOR(relu6 * 63 / 64, -128)
    x = b.node("mean", [x], TensorType((1, 48, 1, 1), "int8", mean), axes=(2, 3), keepdims=True)
    x = b.node("reshape", [x], TensorType((1, 48), "int8", mean), shape=(1, 48))
    weight = w.rng.integers(-127, 128, (10, 48)).astype(np.int8)
    scales = w.rng.uniform(0.0005, 0.002, 10)
    held = b.constant("fc", weight, Quantization.per_channel(scales, 0))
    x = b.node("linear", [x, held], TensorType((1, 10), "int8", PER_TENSOR(0.013, 5)), clamp=None)
    return b.build([b.node("dequantize", [x], TensorType((1, 10)), name="y")])
