"""One-operator programs whose weights are stored in few bits, for the tests of this target."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketpress.compress.weight_only.integers import apply_weights, plan_integers
from pocketpress.compress.weight_only.palette import palettize
from pocketpress.core.precision import parse_precision
from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.program.ir import Array

WEIGHT_ONLY = ("w8", "w8-block-8", "w4", "w4-block-8", "palette-1", "palette-3", "palette-4", "palette-8")
"""Every kind of storage: with and without blocks, one, two and three bit fields, whole bytes."""

CLAMPS = (None, (0.0, None), (-0.4, 0.6))


def conv2d(clamp: object = None, **changes: object) -> Program:
    attrs: dict[str, object] = {"stride": (1, 1), "pads": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}
    attrs.update(changes)
    groups = int(str(attrs["groups"]))
    b, rng = ProgramBuilder(), np.random.default_rng(5)
    x = b.input("x", TensorType((1, 16, 9, 7)))
    w = b.constant("w", rng.normal(0, 0.2, (24 if groups < 16 else 16, 16 // groups, 3, 3)).astype("f"))
    bias = b.constant("b", rng.normal(0, 0.3, b.type(w).shape[0]).astype("f"))
    (sy, sx), (dy, dx) = attrs["stride"], attrs["dilation"]  # type: ignore[misc]
    size = ((9 + 2 - 2 * dy - 1) // sy + 1, (7 + 2 - 2 * dx - 1) // sx + 1)
    out = TensorType((1, b.type(w).shape[0], *size))
    return b.build([b.node("conv2d", [x, w, bias], out, name="y", clamp=clamp, **attrs)])


def conv_transpose2d(clamp: object = None, **_: object) -> Program:
    b, rng = ProgramBuilder(), np.random.default_rng(6)
    x = b.input("x", TensorType((1, 16, 5, 6)))
    w = b.constant("w", rng.normal(0, 0.2, (16, 12, 3, 3)).astype("f"))
    bias = b.constant("b", rng.normal(0, 0.3, 12).astype("f"))
    attrs = {"stride": (2, 2), "pads": (1, 1, 1, 1), "output_padding": (1, 1), "groups": 1, "clamp": clamp}
    return b.build([b.node("conv_transpose2d", [x, w, bias], TensorType((1, 12, 10, 12)), name="y", **attrs)])


def linear(clamp: object = None, shape: tuple[int, ...] = (3, 40), bias: bool = True) -> Program:
    b, rng = ProgramBuilder(), np.random.default_rng(7)
    inputs = [b.input("x", TensorType(shape))]
    inputs.append(b.constant("w", rng.normal(0, 0.2, (21, shape[-1])).astype("f")))
    if bias:
        inputs.append(b.constant("b", rng.normal(0, 0.3, 21).astype("f")))
    return b.build([b.node("linear", inputs, TensorType((*shape[:-1], 21)), name="y", clamp=clamp)])


OPERATORS: dict[str, Callable[[object], Program]] = {
    "conv": conv2d,
    "strided": lambda clamp: conv2d(clamp, stride=(2, 1)),
    "dilated": lambda clamp: conv2d(clamp, dilation=(2, 1)),
    "grouped": lambda clamp: conv2d(clamp, groups=2),
    "depthwise": lambda clamp: conv2d(clamp, groups=16),
    "transposed": conv_transpose2d,
    "linear": linear,
    "linear3d": lambda clamp: linear(clamp, (2, 5, 32), bias=False),
}


def stored(program: Program, precision: str, *, everywhere: bool = True) -> Program:
    """Weights in a weight-only precision; ``everywhere``: in 4 bits even where the planner takes 8."""
    wanted = parse_precision(precision)
    if wanted.palette:
        return palettize(program, wanted.weight_bits)[0]
    types = dict(plan_integers(program, wanted.weight_bits, wanted.block).types)
    if everywhere and wanted.weight_bits == 4:
        for name, type_ in types.items():
            assert type_.quant is not None
            wider = tuple(s * 127 / 7 for s in type_.quant.scale)
            quant = Quantization(wider, 0, type_.quant.axis, type_.quant.block)
            types[name] = TensorType(type_.shape, "int4", quant)
    return apply_weights(program, types)


def feed(program: Program, seed: int = 0) -> dict[str, Array]:
    """Normally distributed inputs."""
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal(program.type(n).shape).astype(np.float32) for n in program.inputs}
