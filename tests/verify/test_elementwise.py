"""Borders and element-wise integer arithmetic: numbers worked out by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.verify.one_node import grid, run

CLAMP = {"clamp": None}


def int8(*values: int) -> np.ndarray:
    return np.asarray(values, np.int8)


def test_quantize_rounds_half_to_even_and_saturates() -> None:
    x = np.asarray([0.0, 0.25, 0.75, 1.25, -0.25, -0.75, 1000.0, -1000.0], np.float32)
    # scale 1/2: 0, 0.5 -> 0, 1.5 -> 2, 2.5 -> 2, -0.5 -> 0, -1.5 -> -2; zero point 3 on top
    assert run("quantize", [(x, None)], (8,), grid(0.5, 3)).tolist() == [3, 3, 5, 5, 3, 1, 127, -128]


def test_quantize_multiplies_by_the_float32_reciprocal() -> None:
    scale = np.float32(0.1)
    x = np.asarray([0.15, 0.25, 0.35, 0.45], np.float32)
    inverse = np.float32(1) / scale
    wanted = [round(float(v * inverse)) for v in x]
    assert run("quantize", [(x, None)], (4,), grid(0.1)).tolist() == wanted


def test_dequantize_subtracts_the_zero_point_first() -> None:
    out = run("dequantize", [(int8(-128, -3, 0, 127), grid(0.5, -3))], (4,), None)
    assert out.dtype == np.float32
    assert out.tolist() == [-62.5, 0.0, 1.5, 65.0]


@pytest.mark.parametrize(
    ("q", "wanted"),
    # (q + 10) * 0.25 / 0.5 + 4, halves to even
    [(-10, 4), (-9, 4), (-8, 5), (-7, 6), (127, 72), (-128, -55)],
)
def test_requantize_changes_scale_and_zero_point(q: int, wanted: int) -> None:
    assert run("requantize", [(int8(q), grid(0.25, -10))], (1,), grid(0.5, 4)).tolist() == [wanted]


def test_requantize_takes_pixels_to_int8() -> None:
    pixels = np.asarray([0, 1, 128, 255], np.uint8)
    out = run("requantize", [(pixels, grid(1.0, 0))], (4,), grid(1.0, -128))
    assert out.tolist() == [-128, -127, 0, 127]


def test_add_with_tied_scales_is_integer_addition() -> None:
    a, b = int8(1, 100, -100, 0), int8(2, 100, -100, -1)
    out = run("add", [(a, grid(0.1)), (b, grid(0.1))], (4,), grid(0.1), **CLAMP)
    assert out.tolist() == [3, 127, -128, -1]


def test_add_scales_each_side() -> None:
    # 10*(63/127) - 7*(32/127) = 406/127 = 3.196...; plus zero point 5
    s = 1.0
    out = run(
        "add", [(int8(11), grid(s * 63 / 127, 1)), (int8(-9), grid(s * 32 / 127, -2))], (1,), grid(s, 5),
        **CLAMP,
    )  # fmt: skip
    assert out.tolist() == [8]


def test_sub_and_broadcasting() -> None:
    a = np.asarray([[[10, 20], [30, 40]]], np.int8)
    b = np.asarray([[[1], [2]]], np.int8)
    out = run("sub", [(a, grid(0.5)), (b, grid(0.5))], (1, 2, 2), grid(0.5), **CLAMP)
    assert out.tolist() == [[[9, 19], [28, 38]]]


def test_mul() -> None:
    # (12 - 2) * (-5 - 1) * (0.5 * 0.25 / 1) = -7.5 -> -8 (even), + 3
    out = run("mul", [(int8(12), grid(0.5, 2)), (int8(-5), grid(0.25, 1))], (1,), grid(1.0, 3), **CLAMP)
    assert out.tolist() == [-5]


def test_clamp_is_applied_to_the_real_result() -> None:
    a, b = int8(-50, 0, 50), int8(0, 0, 50)
    out = run("add", [(a, grid(0.1)), (b, grid(0.1))], (3,), grid(0.1, -10), clamp=(0.0, 6.0))
    assert out.tolist() == [-10, -10, 50]  # 0 -> -10, 6.0/0.1 = 60 -> 50


def test_clamp_operator_keeps_the_grid() -> None:
    q = int8(-128, -11, -10, 0, 127)
    out = run("clamp", [(q, grid(0.1, -10))], (5,), grid(0.1, -10), low=0.0, high=None)
    assert out.tolist() == [-10, -10, -10, 0, 127]


ratio = st.integers(1, 254).map(lambda p: p / 127)
point = st.integers(-128, 127)


@settings(max_examples=60, deadline=None)
@given(ratio, ratio, point, point, point, st.floats(1e-4, 1e3))
def test_sums_with_ratios_over_127_equal_exact_arithmetic(
    ra: float, rb: float, za: int, zb: int, zo: int, scale: float
) -> None:
    """Every sum, computed in fractions: float32 scales do not move one result across a rounding tie."""
    q = np.arange(-128, 128, 5, dtype=np.int8)
    a, b = np.meshgrid(q, q)
    step = float(np.float32(scale))
    out = run(
        "add", [(a, grid(step * ra, za)), (b, grid(step * rb, zb))], a.shape, grid(step, zo), **CLAMP
    )  # fmt: skip
    pa, pb = round(ra * 127), round(rb * 127)
    for got, x, y in zip(out.reshape(-1)[::7], a.reshape(-1)[::7], b.reshape(-1)[::7], strict=True):
        exact = Fraction((int(x) - za) * pa + (int(y) - zb) * pb, 127)
        assert got == max(-128, min(127, round(exact) + zo))


def test_float_numbers_of_rank_0_stay_of_rank_0() -> None:
    out = run("mul", [(np.float32(1.5), None)], (), None, [(np.float32(2.0), None)], **CLAMP)
    assert out.shape == ()
    assert float(out) == 3.0
