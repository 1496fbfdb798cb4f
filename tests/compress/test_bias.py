"""Bias correction: the mean error of rounded weights, taken back."""

from __future__ import annotations

import numpy as np
import pytest

from pocketpress.compress.quantize.bias import bias_shift
from pocketpress.core.program import Node, Quantization


def node(op: str, **attrs: object) -> Node:
    return Node(op, "n", ("x", "w"), ("n",), attrs)


def test_linear_by_hand() -> None:
    # scale 0.1: 0.24 -> 0.2 (error 0.04), -0.17 -> -0.2 (error 0.03); E[x] = (10, 100)
    weight = np.asarray([[0.24, -0.17]], np.float32)
    shift = bias_shift(node("linear"), weight, Quantization.per_channel([0.1], 0), np.asarray([10.0, 100.0]))
    np.testing.assert_allclose(shift, [0.4 + 3.0], rtol=1e-4)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_convolution_equals_the_measured_mean_error(groups: int) -> None:
    rng = np.random.default_rng(groups)
    weight = rng.normal(0, 1, (4, 4 // groups, 3, 3)).astype(np.float32)
    mean = rng.normal(0, 1, 4)
    quant = Quantization.per_channel([0.3] * 4, 0)
    shift = bias_shift(node("conv2d", groups=groups), weight, quant, mean)
    rounded = np.clip(np.rint(weight / np.float32(0.3)), -127, 127) * np.float32(0.3)
    for o in range(4):
        first = o // (4 // groups) * (4 // groups)
        wanted = sum(float((weight - rounded)[o, i].sum()) * mean[first + i] for i in range(4 // groups))
        assert shift[o] == pytest.approx(wanted, abs=1e-5)
