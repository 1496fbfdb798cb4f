"""Small programs for the tests of the Core ML target."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.signature import Signature, signature_of

NEEDS_COREMLTOOLS = pytest.mark.skipif(
    importlib.util.find_spec("coremltools") is None, reason="the Core ML target needs coremltools"
)
"""Looks for the package without importing it, which takes ten seconds."""

CONV = {"stride": (1, 1), "pads": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "clamp": None}
IMAGE = (1, 3, 6, 6)


def int8_conv(clamp: tuple[float | None, float | None] | None = None) -> Program:
    """quantize, conv2d, dequantize with random integers."""
    rng = np.random.default_rng(0)
    b = ProgramBuilder()
    x = b.input("x", TensorType(IMAGE))
    q = b.node("quantize", [x], TensorType(IMAGE, "int8", Quantization.per_tensor(0.05, -3)), name="q")
    scales = rng.uniform(0.01, 0.02, 12)
    w = b.constant(
        "w", rng.integers(-127, 128, (12, 3, 3, 3)).astype(np.int8), Quantization.per_channel(scales, 0)
    )
    bias_quant = Quantization.per_channel(np.float32(0.05) * scales.astype(np.float32), 0)
    bias = b.constant("b", rng.integers(-900, 900, 12).astype(np.int32), bias_quant)
    out_type = TensorType((1, 12, 6, 6), "int8", Quantization.per_tensor(0.11, 10))
    y = b.node("conv2d", [q, w, bias], out_type, name="conv", **{**CONV, "clamp": clamp})
    out = b.node("dequantize", [y], TensorType((1, 12, 6, 6)), name="y")
    return b.build([out])


def float_conv() -> Program:
    """One convolution with float weights."""
    rng = np.random.default_rng(0)
    b = ProgramBuilder()
    x = b.input("x", TensorType(IMAGE))
    w = b.constant("w", rng.standard_normal((4, 3, 3, 3)).astype(np.float32))
    y = b.node("conv2d", [x, w], TensorType((1, 4, 6, 6)), name="y", **CONV)
    return b.build([y])


def signed(program: Program) -> Signature:
    """The program's signature."""
    return signature_of(program, precision="w8a8-static" if program.is_quantized else "fp32")


def image(seed: int = 1) -> np.ndarray:
    """A random input."""
    return (np.random.default_rng(seed).standard_normal(IMAGE) * 3).astype(np.float32)
