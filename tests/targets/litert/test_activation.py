"""Fused activations by hand: exactly the clamp, or none."""

from __future__ import annotations

import pytest

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from ai_edge_litert import schema_py_generated as schema

from pocketpress.core.program import Quantization, TensorType
from pocketpress.targets.litert.activation import fused, integer_limits

KIND = schema.ActivationFunctionType


def int8(scale: float, zero_point: int) -> TensorType:
    return TensorType((1,), "int8", Quantization.per_tensor(scale, zero_point))


def test_float_clamps() -> None:
    real = TensorType((1,))
    assert fused(None, real) == KIND.NONE
    assert fused((0.0, None), real) == KIND.RELU
    assert fused((0.0, 6.0), real) == KIND.RELU6
    assert fused((-1.0, 1.0), real) == KIND.RELU_N1_TO_1
    assert fused((0.0, 5.0), real) is None


def test_saturation_makes_an_integer_clamp_superfluous() -> None:
    assert fused((0.0, None), int8(0.1, -128)) == KIND.NONE
    assert fused((0.0, 6.0), int8(6 / 255, -128)) == KIND.NONE
    assert fused((0.0, 6.0), int8(4 / 255, -128)) == KIND.NONE


def test_integer_clamp_inside_the_range_is_fused_when_the_integers_agree() -> None:
    assert integer_limits((0.0, 6.0), int8(0.1, -100)) == (-100, -40)
    assert fused((0.0, 6.0), int8(0.1, -100)) == KIND.RELU6
    assert fused((0.0, None), int8(0.1, -100)) == KIND.RELU
    assert fused((0.0, 6.04), int8(0.1, -100)) == KIND.RELU6


def test_a_limit_on_a_tie_is_not_left_to_the_runtime() -> None:
    tie = int8(6 / 60.5, -100)
    assert integer_limits((0.0, 6.0), tie) == (-100, -40)
    assert fused((0.0, 6.0), tie) is None


def test_other_limits_are_not_fused() -> None:
    assert fused((0.0, 5.0), int8(0.1, -100)) is None
