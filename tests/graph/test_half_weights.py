"""Weights in half precision."""

from __future__ import annotations

import numpy as np
from tests.graph.same import assert_same
from tests.reference.networks import Net, residual_network

from pocketpress.graph.half_weights import half_weights


def test_weights_are_half_and_activations_float() -> None:
    before = residual_network()
    after = half_weights(before)
    assert {v.dtype for v in after.constants.values()} == {np.dtype("float16")}
    assert all(after.type(n.outputs[0]).dtype == "float32" for n in after.nodes)
    assert_same(before, after, tolerance=5e-3)


def test_large_weights_saturate_instead_of_becoming_infinite() -> None:
    net = Net()
    program = net.build(net.op("linear", net.input(1, 2), net.constant([[1e9, -1e9]]), name="y"))
    after = half_weights(program)
    weight = next(iter(after.constants.values()))
    assert weight.tolist() == [[65504.0, -65504.0]]
