"""Every operator in int8: the runtime's integers must equal the reference's, all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.targets.executorch.harness import run_both

from pocketpress.core.program import OPS, ProgramBuilder, Quantization, TensorType
from pocketpress.core.program.tables import real_table
from pocketpress.targets.executorch.spec import SPEC

Array = np.ndarray
RNG = np.random.default_rng(11)
Q = Quantization.per_tensor
ALL = np.arange(-128, 128, dtype=np.int8)


def q8(shape: tuple[int, ...], scale: float = 0.05, zero: int = 3, dtype: str = "int8") -> TensorType:
    return TensorType(shape, dtype, Q(scale, zero))


def unary(op: str, type_in: TensorType, type_out: TensorType, **attrs: Any) -> ProgramBuilder:
    b = ProgramBuilder()
    b.node(op, [b.input("x", type_in)], type_out, name="y", **attrs)
    return b


def weighted(
    op: str, type_in: TensorType, type_out: TensorType, weight: Array, axis: int, bias: bool, **attrs: Any
) -> ProgramBuilder:
    b = ProgramBuilder()
    x = b.input("x", type_in)
    channels = type_out.shape[-1 if op == "linear" else 1]
    scales = RNG.uniform(0.001, 0.02, channels).astype(np.float32)
    names = [x, b.constant("w", weight, Quantization.per_channel(scales, axis))]
    if bias:
        value = RNG.integers(-5000, 5000, channels).astype(np.int32)
        bias_scales = [float(type_in.quant.step * np.float32(s)) for s in scales]
        names.append(b.constant("b", value, Quantization.per_channel(bias_scales, 0)))
    b.node(op, names, type_out, name="y", **attrs)
    return b


def ints(*shape: int) -> Array:
    return RNG.integers(-127, 128, shape).astype(np.int8)


CONV = {"stride": (1, 1), "pads": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1, "clamp": None}
TCONV = {"stride": (2, 2), "pads": (0, 0, 0, 0), "output_padding": (0, 0), "groups": 1, "clamp": None}
IMAGE = q8((2, 6, 9, 8))


def out(*shape: int) -> TensorType:
    return q8(shape, 0.2, -7)


def like(type_: TensorType, *shape: int) -> TensorType:
    return TensorType(shape, type_.dtype, type_.quant)


PRODUCTS: dict[str, Callable[[], ProgramBuilder]] = {
    "conv2d": lambda: weighted(
        "conv2d",
        IMAGE,
        out(2, 4, 5, 4),
        ints(4, 6, 3, 3),
        0,
        True,
        **{**CONV, "stride": (2, 2), "pads": (1, 0, 1, 1)},
    ),
    "conv2d clamped": lambda: weighted(
        "conv2d", IMAGE, out(2, 4, 9, 8), ints(4, 6, 1, 1), 0, True, **{**CONV, "clamp": (0.0, 6.0)}
    ),
    "conv2d clamp that saturation implies": lambda: weighted(
        "conv2d",
        IMAGE,
        q8((2, 4, 9, 8), 6 / 255, -128),
        ints(4, 6, 1, 1),
        0,
        True,
        **{**CONV, "clamp": (0.0, 6.0)},
    ),
    "conv2d without bias": lambda: weighted(
        "conv2d", IMAGE, out(2, 4, 5, 4), ints(4, 6, 3, 3), 0, False, **{**CONV, "dilation": (2, 2)}
    ),
    "conv2d grouped": lambda: weighted(
        "conv2d", IMAGE, out(2, 4, 7, 6), ints(4, 3, 3, 3), 0, True, **{**CONV, "groups": 2}
    ),
    "conv2d depthwise": lambda: weighted(
        "conv2d",
        IMAGE,
        out(2, 6, 5, 4),
        ints(6, 1, 3, 3),
        0,
        True,
        **{**CONV, "groups": 6, "pads": (1, 1, 1, 0), "stride": (2, 2)},
    ),
    "conv2d depthwise 5x5": lambda: weighted(
        "conv2d",
        q8((1, 33, 20, 20)),
        out(1, 33, 20, 20),
        ints(33, 1, 5, 5),
        0,
        True,
        **{**CONV, "groups": 33, "pads": (2, 2, 2, 2)},
    ),
    "conv2d depth multiplier": lambda: weighted(
        "conv2d",
        IMAGE,
        out(2, 12, 9, 8),
        ints(12, 1, 3, 3),
        0,
        True,
        **{**CONV, "groups": 6, "pads": (1, 1, 1, 1)},
    ),
    "conv_transpose2d": lambda: weighted(
        "conv_transpose2d",
        q8((1, 6, 4, 5)),
        out(1, 3, 8, 10),
        ints(6, 3, 3, 3),
        1,
        True,
        **{**TCONV, "pads": (1, 1, 1, 1), "output_padding": (1, 1)},
    ),
    "conv_transpose2d clamped": lambda: weighted(
        "conv_transpose2d",
        q8((1, 6, 4, 5)),
        out(1, 3, 8, 10),
        ints(6, 3, 2, 2),
        1,
        False,
        **{**TCONV, "clamp": (0.0, None)},
    ),
    "linear": lambda: weighted("linear", q8((2, 3, 70)), out(2, 3, 50), ints(50, 70), 0, True, clamp=None),
    "linear clamped": lambda: weighted(
        "linear", q8((3, 70)), out(3, 50), ints(50, 70), 0, True, clamp=(0.0, 6.0)
    ),
}


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_product_equals_reference(name: str, seed: int, tmp_path: Path) -> None:
    expected, got = run_both(PRODUCTS[name]().build(["y"]), tmp_path, seed=seed)
    np.testing.assert_array_equal(got[0], expected[0])
    assert len(np.unique(expected[0])) > 8


def pairs(
    op: str, sa: float, sb: float, so: float, clamp: Any = None, zeros: tuple[int, int, int] = (3, -7, 11)
) -> tuple[ProgramBuilder, dict[str, Array]]:
    """All 65,536 pairs of int8 operands."""
    b = ProgramBuilder()
    shape = (256, 256)
    names = [b.input("a", q8(shape, sa, zeros[0])), b.input("b", q8(shape, sb, zeros[1]))]
    b.node(op, names, q8(shape, so, zeros[2]), name="y", clamp=clamp)
    left, right = np.meshgrid(ALL, ALL, indexing="ij")
    return b, {"a": np.ascontiguousarray(left), "b": np.ascontiguousarray(right)}


@pytest.mark.parametrize("op", ["add", "sub"])
@pytest.mark.parametrize("p", [(127, 127), (64, 100), (1, 253), (89, 3), (200, 17)])
@pytest.mark.parametrize("step", [0.05, 0.0117, 1.37])
def test_sums_of_tied_scales(op: str, p: tuple[int, int], step: float, tmp_path: Path) -> None:
    so = np.float32(step)
    program, feeds = pairs(op, float(so) * p[0] / 127, float(so) * p[1] / 127, float(so))
    expected, got = run_both(program.build(["y"]), tmp_path, feeds=feeds)
    np.testing.assert_array_equal(got[0], expected[0])


def test_sum_with_a_clamp(tmp_path: Path) -> None:
    program, feeds = pairs("add", 0.05, 0.05 * 90 / 127, 0.05, clamp=(0.0, 3.0))
    expected, got = run_both(program.build(["y"]), tmp_path, feeds=feeds)
    np.testing.assert_array_equal(got[0], expected[0])


@pytest.mark.parametrize("p", [1, 2, 3, 17, 100, 126])
@pytest.mark.parametrize("step", [0.05, 0.0117, 1.37])
def test_product_of_tied_scales(p: int, step: float, tmp_path: Path) -> None:
    sb = 0.021
    program, feeds = pairs("mul", step * p / 127 / sb, sb, step)
    expected, got = run_both(program.build(["y"]), tmp_path, feeds=feeds)
    np.testing.assert_array_equal(got[0], expected[0])


@pytest.mark.parametrize("op", ["add", "mul", "sub"])
@pytest.mark.parametrize("shape", [(6, 1, 1), (1, 1, 9, 8), (1, 6, 1, 1), (2, 6, 9, 8), (1,)])
@pytest.mark.parametrize("constant", [True, False])
def test_broadcasts(op: str, shape: tuple[int, ...], constant: bool, tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", IMAGE)
    sb = 0.05 * 45 / 127
    held = RNG.integers(-128, 128, shape).astype(np.int8)
    other = b.constant("c", held, Q(sb, -4)) if constant else b.input("c", q8(shape, sb, -4))
    so = 0.05 if op != "mul" else 0.05 * sb * 127 / 3
    b.node(op, [x, other], q8(IMAGE.shape, so, 1), name="y", clamp=None)
    expected, got = run_both(b.build(["y"]), tmp_path)
    np.testing.assert_array_equal(got[0], expected[0])


def clear_of_ties(op: str, attrs: dict[str, Any], near: float, zero: int, type_out: TensorType) -> TensorType:
    """An input scale near ``near`` whose 256 results keep 1/500 step away from a rounding tie."""
    for i in range(2000):
        quant = Q(near * (1 + i / 5000), zero)
        fraction = np.abs(real_table(op, attrs, quant, type_out.quant) % 1 - 0.5)
        if fraction.min() > 0.002:
            return TensorType(type_out.shape, "int8", quant)
    raise AssertionError("no scale found")


TABLES: dict[str, tuple[dict[str, Any], Quantization]] = {
    "sigmoid": ({}, Q(1 / 256, -128)),
    "tanh": ({}, Q(1 / 128, 0)),
    "hardswish": ({}, Q(0.0371, -118)),
    "hardsigmoid": ({}, Q(1 / 256, -128)),
    "leaky_relu": ({"slope": 0.1}, Q(0.0371, -100)),
    "elu": ({"alpha": 1.0}, Q(0.0371, -100)),
}


@pytest.mark.parametrize("op", TABLES)
@pytest.mark.parametrize("near", [0.023, 0.061, 0.13])
@pytest.mark.parametrize("zero", [-5, 0, -128, 40])
def test_table_equals_reference_for_all_inputs(op: str, near: float, zero: int, tmp_path: Path) -> None:
    attrs, quant = TABLES[op]
    type_out = TensorType((1, 8, 8, 4), "int8", quant)
    program = unary(op, clear_of_ties(op, attrs, near, zero, type_out), type_out, **attrs).build(["y"])
    expected, got = run_both(program, tmp_path, feeds={"x": ALL.reshape(1, 8, 8, 4)})
    np.testing.assert_array_equal(got[0], expected[0])


@pytest.mark.parametrize("zero_in", [-128, 0, 17])
@pytest.mark.parametrize("scale_in", [0.013, 0.05, 0.2])
@pytest.mark.parametrize("zero_out", [-128, 5])
def test_requantize_signed(zero_in: int, scale_in: float, zero_out: int, tmp_path: Path) -> None:
    program = unary("requantize", q8((256,), scale_in, zero_in), q8((256,), 0.047, zero_out))
    expected, got = run_both(program.build(["y"]), tmp_path, feeds={"x": ALL})
    np.testing.assert_array_equal(got[0], expected[0])


@pytest.mark.parametrize("scale_out", [1 / 255, 0.018658, 0.0071])
@pytest.mark.parametrize("zero_out", [-128, -14])
def test_requantize_pixels(scale_out: float, zero_out: int, tmp_path: Path) -> None:
    pixels = np.arange(256, dtype=np.uint8)
    program = unary("requantize", q8((256,), 1 / 255, 0, "uint8"), q8((256,), scale_out, zero_out))
    expected, got = run_both(program.build(["y"]), tmp_path, feeds={"x": pixels})
    np.testing.assert_array_equal(got[0], expected[0])


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("ratio", [0.5, 0.25, 1.5, 127 / 46, 45 / 127, 127 / 200, 0.1])
@pytest.mark.parametrize("scale", [0.037, 0.0041, 1.0])
def test_requantize_across_ties(dtype: str, ratio: float, scale: float, tmp_path: Path) -> None:
    """Ratios that end on ties, or a rounding error beside them."""
    stored = np.arange(256, dtype=np.uint8).view(dtype)
    for zero_out in (-7, 12):
        type_in = q8((256,), scale * ratio, 0 if dtype == "uint8" else 5, dtype)
        program = unary("requantize", type_in, q8((256,), scale, zero_out)).build(["y"])
        expected, got = run_both(program, tmp_path, feeds={"x": stored})
        np.testing.assert_array_equal(got[0], expected[0])


@pytest.mark.parametrize(("low", "high"), [(0.0, None), (0.0, 6.0), (-1.0, 1.0), (None, 2.0), (-50.0, 50.0)])
def test_clamp(low: float | None, high: float | None, tmp_path: Path) -> None:
    type_ = q8((256,), 0.05, 3)
    program = unary("clamp", type_, type_, low=low, high=high).build(["y"])
    expected, got = run_both(program, tmp_path, feeds={"x": ALL})
    np.testing.assert_array_equal(got[0], expected[0])


@pytest.mark.parametrize("area", [(7, 7), (8, 8), (1, 1), (5, 9), (16, 16)])
@pytest.mark.parametrize("zero", [-128, 0, 9])
@pytest.mark.parametrize("odd", [1, 3, 5])
def test_mean_of_tied_scale(area: tuple[int, int], zero: int, odd: int, tmp_path: Path) -> None:
    """Output scale ``s_in * d / N`` with d odd: ``sum / d`` is never near a tie."""
    count = area[0] * area[1]
    divisor = count // 2 * 2 + odd
    program = unary(
        "mean",
        q8((1, 37, *area), 0.05, zero),
        q8((1, 37, 1, 1), 0.05 * divisor / count, -3),
        axes=(2, 3),
        keepdims=True,
    ).build(["y"])
    for seed in range(20):
        expected, got = run_both(program, tmp_path, seed=seed)
        np.testing.assert_array_equal(got[0], expected[0])


@pytest.mark.parametrize(
    ("axes", "keepdims", "shape"),
    [
        ((1,), True, (2, 1, 9, 8)),
        ((3,), False, (2, 6, 9)),
        ((1, 2, 3), False, (2,)),
        ((2,), True, (2, 6, 1, 8)),
    ],
)
def test_mean_over_other_axes(
    axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...], tmp_path: Path
) -> None:
    count = int(np.prod([IMAGE.shape[a] for a in axes]))
    divisor = count + 1 - count % 2
    type_out = q8(shape, 0.05 * divisor / count, 2)
    program = unary("mean", IMAGE, type_out, axes=axes, keepdims=keepdims).build(["y"])
    expected, got = run_both(program, tmp_path)
    np.testing.assert_array_equal(got[0], expected[0])


def flatten() -> ProgramBuilder:
    b = ProgramBuilder()
    b.node("reshape", [b.input("x", IMAGE)], like(IMAGE, 2, 432), name="y", shape=(2, 432))
    return b


def concatenated() -> ProgramBuilder:
    b = ProgramBuilder()
    names = [b.input(f"x{i}", like(IMAGE, 2, i + 1, 9, 8)) for i in range(7)]
    b.node("concat", names, like(IMAGE, 2, 28, 9, 8), name="y", axis=1)
    return b


MOVES: dict[str, Callable[[], ProgramBuilder]] = {
    "max_pool2d": lambda: unary(
        "max_pool2d",
        IMAGE,
        like(IMAGE, 2, 6, 5, 4),
        kernel=(3, 3),
        stride=(2, 2),
        pads=(1, 1, 1, 0),
        dilation=(1, 1),
    ),
    "concat": concatenated,
    "reshape": flatten,
    "permute": lambda: unary("permute", IMAGE, like(IMAGE, 2, 9, 8, 6), axes=(0, 2, 3, 1)),
    "slice": lambda: unary(
        "slice", IMAGE, like(IMAGE, 2, 3, 7, 8), starts=(0, 2, 1, 0), sizes=(2, 3, 7, 8), steps=(1, 1, 1, 1)
    ),
    "slice steps": lambda: unary(
        "slice", IMAGE, like(IMAGE, 2, 2, 5, 3), starts=(0, 1, 0, 2), sizes=(2, 2, 5, 3), steps=(1, 3, 2, 2)
    ),
    "pad": lambda: unary(
        "pad", IMAGE, like(IMAGE, 2, 6, 11, 12), before=(0, 0, 1, 2), after=(0, 0, 1, 2), value=0.0
    ),
    "pad with a value": lambda: unary(
        "pad", IMAGE, like(IMAGE, 2, 7, 9, 8), before=(0, 1, 0, 0), after=(0, 0, 0, 0), value=1.024
    ),
    "resize_nearest": lambda: unary("resize_nearest", IMAGE, like(IMAGE, 2, 6, 18, 24), size=(18, 24)),
    "resize_nearest odd": lambda: unary("resize_nearest", IMAGE, like(IMAGE, 2, 6, 13, 5), size=(13, 5)),
    "clamp": lambda: unary("clamp", IMAGE, IMAGE, low=0.0, high=None),
}


@pytest.mark.parametrize("name", MOVES)
def test_move_equals_reference(name: str, tmp_path: Path) -> None:
    expected, got = run_both(MOVES[name]().build(["y"]), tmp_path)
    np.testing.assert_array_equal(got[0], expected[0])


@pytest.mark.parametrize("scale", [0.018, 1 / 255, 0.11])
def test_borders_of_an_image(scale: float, tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 3, 32, 32)))
    held = b.node("quantize", [x], q8((1, 3, 32, 32), scale, -5))
    pooled = b.node(
        "max_pool2d",
        [held],
        q8((1, 3, 16, 16), scale, -5),
        kernel=(2, 2),
        stride=(2, 2),
        pads=(0, 0, 0, 0),
        dilation=(1, 1),
    )
    b.node("dequantize", [pooled], TensorType((1, 3, 16, 16)), name="y")
    expected, got = run_both(b.build(["y"]), tmp_path)
    np.testing.assert_array_equal(got[0], expected[0])


def test_pixels_become_floats(tmp_path: Path) -> None:
    """The float artifact of a network with raw uint8 input."""
    b = ProgramBuilder()
    x = b.input("x", q8((1, 1, 16, 16), 1 / 255, 0, "uint8"))
    b.node("dequantize", [x], TensorType((1, 1, 16, 16)), name="y")
    feeds = {"x": np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)}
    expected, got = run_both(b.build(["y"]), tmp_path, feeds=feeds)
    np.testing.assert_array_equal(got[0], expected[0])


def test_quantize_near_ties(tmp_path: Path) -> None:
    """Values on and beside the ties, whose reciprocal scale is exact."""
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 1030)))
    b.node("quantize", [x], q8((1, 1030), 0.25, 3), name="y")
    grid = (np.arange(1030, dtype=np.float32) - 515) * np.float32(0.125)
    for shift in (-1e-6, 0, 1e-6):
        feeds = {"x": (grid * np.float32(1 + shift))[None]}
        expected, got = run_both(b.build(["y"]), tmp_path, feeds=feeds)
        np.testing.assert_array_equal(got[0], expected[0])


def test_the_card_promises_only_what_is_tested_here() -> None:
    tested = {name.split()[0] for name in (*PRODUCTS, *TABLES, *MOVES)}
    tested |= {"add", "sub", "mul", "mean", "quantize", "dequantize", "requantize"}
    assert tested == SPEC.integer_ops
    assert {op for op in SPEC.integer_ops if OPS[op].integer == "float"} == set()
