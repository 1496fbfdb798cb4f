"""Every operator in float: the runtime's results against the reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.targets.executorch.harness import run_both

from pocketpress.core.program import OPS, ProgramBuilder, TensorType
from pocketpress.targets.executorch.spec import SPEC

Array = np.ndarray
RNG = np.random.default_rng(7)


def normal(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def one(
    op: str, shape: tuple[int, ...], out: tuple[int, ...], constants: tuple[Array, ...] = (), **attrs: Any
) -> ProgramBuilder:
    """A program of one operator over one input and constants."""
    b = ProgramBuilder()
    x = b.input("x", TensorType(shape))
    held = [b.constant("c", value) for value in constants]
    b.node(op, [x, *held], TensorType(out), name="y", **attrs)
    return b


def two(op: str, a: tuple[int, ...], b_shape: tuple[int, ...], out: tuple[int, ...], **attrs: Any) -> Any:
    b = ProgramBuilder()
    names = [b.input("a", TensorType(a)), b.input("b", TensorType(b_shape))]
    b.node(op, names, TensorType(out), name="y", **attrs)
    return b


def flatten() -> ProgramBuilder:
    b = ProgramBuilder()
    b.node("reshape", [b.input("x", TensorType(IMAGE))], TensorType((2, 432)), name="y", shape=(2, 432))
    return b


CONV = {"stride": (1, 1), "pads": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1, "clamp": None}
TCONV = {
    "stride": (2, 2),
    "pads": (0, 0, 0, 0),
    "output_padding": (0, 0),
    "groups": 1,
    "clamp": None,
}
IMAGE = (2, 6, 9, 8)

CASES: dict[str, Callable[[], ProgramBuilder]] = {
    "conv2d": lambda: one(
        "conv2d",
        IMAGE,
        (2, 4, 5, 4),
        (normal(4, 6, 3, 3), normal(4)),
        **{**CONV, "stride": (2, 2), "pads": (1, 0, 1, 1), "clamp": (0.0, 6.0)},
    ),
    "conv2d dilated": lambda: one(
        "conv2d", IMAGE, (2, 4, 5, 4), (normal(4, 6, 3, 3),), **{**CONV, "dilation": (2, 2)}
    ),
    "conv2d grouped": lambda: one(
        "conv2d", IMAGE, (2, 4, 7, 6), (normal(4, 3, 3, 3), normal(4)), **{**CONV, "groups": 2}
    ),
    "conv2d depthwise": lambda: one(
        "conv2d",
        IMAGE,
        (2, 6, 9, 8),
        (normal(6, 1, 3, 3), normal(6)),
        **{**CONV, "groups": 6, "pads": (1, 1, 1, 1)},
    ),
    "conv2d depth multiplier": lambda: one(
        "conv2d",
        IMAGE,
        (2, 12, 9, 8),
        (normal(12, 1, 3, 3), normal(12)),
        **{**CONV, "groups": 6, "pads": (1, 1, 1, 1)},
    ),
    "conv_transpose2d": lambda: one(
        "conv_transpose2d",
        (1, 6, 4, 5),
        (1, 3, 8, 10),
        (normal(6, 3, 3, 3), normal(3)),
        **{**TCONV, "pads": (1, 1, 1, 1), "output_padding": (1, 1)},
    ),
    "conv_transpose2d grouped": lambda: one(
        "conv_transpose2d",
        (1, 6, 4, 5),
        (1, 4, 8, 10),
        (normal(6, 2, 2, 2), normal(4)),
        **{**TCONV, "groups": 2},
    ),
    "linear": lambda: one("linear", (2, 3, 7), (2, 3, 5), (normal(5, 7), normal(5)), clamp=(0.0, None)),
    "linear without bias": lambda: one("linear", (3, 7), (3, 5), (normal(5, 7),), clamp=None),
    "matmul": lambda: two("matmul", (2, 3, 4, 5), (2, 3, 5, 6), (2, 3, 4, 6)),
    "matmul broadcast": lambda: two("matmul", (2, 3, 4, 5), (1, 1, 5, 6), (2, 3, 4, 6)),
    "matmul 2d": lambda: two("matmul", (4, 5), (5, 6), (4, 6)),
    "add": lambda: two("add", IMAGE, IMAGE, IMAGE, clamp=(0.0, None)),
    "add broadcast": lambda: two("add", IMAGE, (6, 1, 1), IMAGE, clamp=None),
    "add constant": lambda: one("add", IMAGE, IMAGE, (normal(6, 1, 1),), clamp=None),
    "add scalar": lambda: one("add", IMAGE, IMAGE, (np.float32(0.5).reshape(()),), clamp=None),
    "sub": lambda: two("sub", (3, 5), (5,), (3, 5), clamp=None),
    "mul": lambda: two("mul", IMAGE, (2, 6, 1, 1), IMAGE, clamp=None),
    "div": lambda: one("div", (3, 5), (3, 5), (np.abs(normal(5)) + 1,)),
    "minimum": lambda: two("minimum", (3, 5), (3, 5), (3, 5)),
    "maximum": lambda: two("maximum", (3, 5), (3, 1), (3, 5)),
    "pow square": lambda: one("pow", (3, 5), (3, 5), exponent=2.0),
    "pow cube": lambda: one("pow", (3, 5), (3, 5), exponent=3),
    "pow reciprocal": lambda: one("pow", (3, 5), (3, 5), exponent=-1),
    "pow reciprocal square": lambda: one("pow", (3, 5), (3, 5), exponent=-2),
    "pow one": lambda: one("pow", (3, 5), (3, 5), exponent=1),
    "clamp": lambda: one("clamp", (3, 5), (3, 5), low=-0.5, high=0.25),
    "clamp from below": lambda: one("clamp", (3, 5), (3, 5), low=0.0, high=None),
    "sigmoid": lambda: one("sigmoid", (3, 50), (3, 50)),
    "tanh": lambda: one("tanh", (3, 50), (3, 50)),
    "hardswish": lambda: one("hardswish", IMAGE, IMAGE),
    "hardsigmoid": lambda: one("hardsigmoid", (3, 50), (3, 50)),
    "leaky_relu": lambda: one("leaky_relu", (3, 50), (3, 50), slope=0.2),
    "elu": lambda: one("elu", (3, 50), (3, 50), alpha=1.0),
    "gelu": lambda: one("gelu", (3, 50), (3, 50), approximate="none"),
    "gelu tanh": lambda: one("gelu", (3, 50), (3, 50), approximate="tanh"),
    "exp": lambda: one("exp", (3, 50), (3, 50)),
    "abs": lambda: one("abs", (3, 50), (3, 50)),
    "neg": lambda: one("neg", (3, 50), (3, 50)),
    "step": lambda: one("step", (3, 50), (3, 50)),
    "floor": lambda: one("floor", (3, 50), (3, 50)),
    "round": lambda: one("round", (3, 50), (3, 50)),
    "sin": lambda: one("sin", (3, 50), (3, 50)),
    "cos": lambda: one("cos", (3, 50), (3, 50)),
    "prelu": lambda: one("prelu", IMAGE, IMAGE, (normal(6),)),
    "prelu 2d": lambda: one("prelu", (3, 5), (3, 5), (normal(5),)),
    "prelu 3d": lambda: one("prelu", (2, 3, 5), (2, 3, 5), (normal(3),)),
    "max_pool2d": lambda: one(
        "max_pool2d",
        IMAGE,
        (2, 6, 5, 4),
        kernel=(3, 3),
        stride=(2, 2),
        pads=(1, 1, 1, 0),
        dilation=(1, 1),
    ),
    "max_pool2d dilated": lambda: one(
        "max_pool2d",
        IMAGE,
        (2, 6, 5, 4),
        kernel=(3, 3),
        stride=(1, 1),
        pads=(0, 0, 0, 0),
        dilation=(2, 2),
    ),
    "max_pool2d one pixel": lambda: one(
        "max_pool2d",
        IMAGE,
        (2, 6, 5, 4),
        kernel=(1, 1),
        stride=(2, 2),
        pads=(0, 0, 0, 0),
        dilation=(1, 1),
    ),
    "avg_pool2d": lambda: one(
        "avg_pool2d",
        IMAGE,
        (2, 6, 4, 4),
        kernel=(2, 2),
        stride=(2, 2),
        pads=(0, 0, 0, 0),
        count_include_pad=True,
    ),
    "avg_pool2d counted padding": lambda: one(
        "avg_pool2d",
        IMAGE,
        (2, 6, 5, 4),
        kernel=(3, 3),
        stride=(2, 2),
        pads=(1, 1, 1, 0),
        count_include_pad=True,
    ),
    "avg_pool2d padded": lambda: one(
        "avg_pool2d",
        IMAGE,
        (2, 6, 5, 4),
        kernel=(3, 3),
        stride=(2, 2),
        pads=(1, 1, 1, 0),
        count_include_pad=False,
    ),
    "mean": lambda: one("mean", IMAGE, (2, 6, 1, 1), axes=(2, 3), keepdims=True),
    "mean flat": lambda: one("mean", IMAGE, (2, 6), axes=(2, 3), keepdims=False),
    "mean channels": lambda: one("mean", IMAGE, (2, 1, 9, 8), axes=(1,), keepdims=True),
    "mean last": lambda: one("mean", (2, 3, 7), (2, 3), axes=(-1,), keepdims=False),
    "mean first": lambda: one("mean", (5, 3, 7), (3, 7), axes=(0,), keepdims=False),
    "mean apart": lambda: one("mean", (5, 3, 7), (1, 3, 1), axes=(0, 2), keepdims=True),
    "mean all": lambda: one("mean", (5, 3, 7), (), axes=(0, 1, 2), keepdims=False),
    "softmax": lambda: one("softmax", (3, 50), (3, 50), axis=-1),
    "softmax over channels": lambda: one("softmax", IMAGE, IMAGE, axis=1),
    "softmax over rows": lambda: one("softmax", (3, 4, 5), (3, 4, 5), axis=1),
    "layer_norm": lambda: one(
        "layer_norm", (2, 7, 16), (2, 7, 16), (normal(16), normal(16)), axes=(2,), eps=1e-5
    ),
    "layer_norm two axes": lambda: one(
        "layer_norm", (2, 7, 16), (2, 7, 16), (normal(7, 16), normal(7, 16)), axes=(1, 2), eps=1e-5
    ),
    "concat": lambda: two("concat", IMAGE, (2, 3, 9, 8), (2, 9, 9, 8), axis=1),
    "reshape": flatten,
    "permute": lambda: one("permute", IMAGE, (2, 9, 8, 6), axes=(0, 2, 3, 1)),
    "permute 5d": lambda: one("permute", (2, 3, 4, 5, 6), (6, 2, 5, 3, 4), axes=(4, 0, 3, 1, 2)),
    "slice": lambda: one(
        "slice", IMAGE, (2, 3, 7, 8), starts=(0, 2, 1, 0), sizes=(2, 3, 7, 8), steps=(1, 1, 1, 1)
    ),
    "slice steps": lambda: one(
        "slice", IMAGE, (2, 2, 5, 3), starts=(0, 1, 0, 2), sizes=(2, 2, 5, 3), steps=(1, 3, 2, 2)
    ),
    "pad": lambda: one("pad", (2, 3, 4), (3, 3, 9), before=(1, 0, 2), after=(0, 0, 3), value=0.5),
    "resize_nearest": lambda: one("resize_nearest", IMAGE, (2, 6, 18, 24), size=(18, 24)),
    "resize_nearest odd": lambda: one("resize_nearest", IMAGE, (2, 6, 13, 5), size=(13, 5)),
    "resize_nearest smaller": lambda: one("resize_nearest", IMAGE, (2, 6, 3, 4), size=(3, 4)),
    "resize_bilinear": lambda: one(
        "resize_bilinear", IMAGE, (2, 6, 18, 11), size=(18, 11), align_corners=False
    ),
    "resize_bilinear corners": lambda: one(
        "resize_bilinear", IMAGE, (2, 6, 18, 11), size=(18, 11), align_corners=True
    ),
}
POSITIVE = {
    "log": lambda: one("log", (3, 50), (3, 50)),
    "sqrt": lambda: one("sqrt", (3, 50), (3, 50)),
    "rsqrt": lambda: one("rsqrt", (3, 50), (3, 50)),
    "pow root": lambda: one("pow", (3, 5), (3, 5), exponent=0.5),
    "pow reciprocal root": lambda: one("pow", (3, 5), (3, 5), exponent=-0.5),
}


@pytest.mark.parametrize("name", [*CASES, *POSITIVE])
def test_equals_reference(name: str, tmp_path: Path) -> None:
    program = {**CASES, **POSITIVE}[name]().build(["y"])
    expected, got = run_both(program, tmp_path, positive=name in POSITIVE)
    for want, have in zip(expected, got, strict=True):
        assert have.shape == want.shape
        np.testing.assert_allclose(have, want, rtol=2e-5, atol=4e-6)


def test_many_inputs_are_concatenated_in_groups(tmp_path: Path) -> None:
    b = ProgramBuilder()
    names = [b.input(f"x{i}", TensorType((1, i + 1, 3))) for i in range(12)]
    b.node("concat", names, TensorType((1, 78, 3)), name="y", axis=1)
    expected, got = run_both(b.build(["y"]), tmp_path)
    np.testing.assert_array_equal(got[0], expected[0])


def test_the_card_names_every_operator_tested() -> None:
    tested = {name.split()[0] for name in (*CASES, *POSITIVE)}
    elsewhere = {"quantize", "dequantize", "dynamic_conv2d", "dynamic_linear", "embedding", "cast"}
    elsewhere |= {"gru", "lstm", "rnn", "whole", "argmax", "power"}
    assert tested | elsewhere == SPEC.float_ops
    assert SPEC.float_ops | SPEC.integer_ops <= set(OPS)
