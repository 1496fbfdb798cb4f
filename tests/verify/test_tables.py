"""Look-up activations: 256 entries, computed in double precision."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.verify.one_node import grid, run

ALL = np.arange(-128, 128).astype(np.int8)
FUNCTIONS = {
    "sigmoid": (lambda x: 1 / (1 + math.exp(-x)), {}, grid(1 / 256, -128)),
    "tanh": (math.tanh, {}, grid(1 / 128, 0)),
    "hardswish": (lambda x: x * min(max(x + 3, 0), 6) / 6, {}, grid(0.03, -110)),
    "hardsigmoid": (lambda x: min(max(x + 3, 0), 6) / 6, {}, grid(1 / 256, -128)),
    "leaky_relu": (lambda x: x if x > 0 else 0.1 * x, {"slope": 0.1}, grid(0.04, -90)),
    "elu": (lambda x: x if x > 0 else math.expm1(x), {"alpha": 1.0}, grid(0.04, -90)),
}


@pytest.mark.parametrize("op", sorted(FUNCTIONS))
def test_every_entry_is_the_rounded_function(op: str) -> None:
    function, attrs, out_quant = FUNCTIONS[op]
    source = grid(0.0423, -5)
    out = run(op, [(ALL, source)], (256,), out_quant, **attrs)
    step_in, step_out = float(source.step), float(out_quant.step)
    for q, got in zip(ALL.tolist(), out.tolist(), strict=True):
        exact = function((q + 5) * step_in) / step_out + out_quant.zero_point
        assert abs(min(max(exact, -128), 127) - got) <= 0.5 + 1e-9


def test_sigmoid_at_zero_and_at_the_ends() -> None:
    out = run("sigmoid", [(np.asarray([0, 127, -128], np.int8), grid(0.1, 0))], (3,), grid(1 / 256, -128))
    assert out.tolist() == [0, 127, -128]
