"""The whole plan: weights, biases and what was left alone."""

from __future__ import annotations

import numpy as np
import pytest
from tests.reference.networks import ALL_INTEGER, Net, plan_of, quantized, residual_network

from pocketpress.compress.quantize.plan import QuantizationOptions
from pocketpress.core.errors import UserError


def test_every_product_has_one_scale_per_output_channel() -> None:
    program = residual_network()
    plan = plan_of(program)
    products = [n for n in program.nodes if n.op in ("conv2d", "linear")]
    assert set(plan.weights) == {n.name for n in products}
    for node in products:
        assert len(plan.weights[node.name].scale) == program.type(node.inputs[1]).shape[0]
        assert plan.weights[node.name].axis == 0


def test_planning_is_deterministic() -> None:
    program = residual_network()
    assert plan_of(program).activations == plan_of(program).activations


@pytest.mark.parametrize("estimator", ["min-max", "percentile", "mse"])
def test_every_estimator_makes_a_program(estimator: str) -> None:
    assert quantized(residual_network(), QuantizationOptions(estimator=estimator)).is_quantized


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(UserError, match="unknown range estimator"):
        plan_of(residual_network(), QuantizationOptions(estimator="entropy"))


def test_what_stays_in_float_is_in_the_plan() -> None:
    net = Net()
    x = net.op("gelu", net.linear(net.input(1, 6), 4), name="g", approximate="none")
    plan = plan_of(net.build(x))
    assert [s.name for s in plan.skipped] == ["gelu g"]


def test_a_huge_bias_raises_its_weight_scale_so_that_int32_holds_it() -> None:
    net = Net()
    x = net.input(1, 2)
    weight = net.constant(np.full((2, 2), 1e-6), "w")
    program = net.build(net.op("linear", x, weight, net.constant([1e4, 0.0], "b"), name="y"))
    plan = plan_of(program, integer_ops=ALL_INTEGER)
    small = quantized(program)
    bias = next(v for n, v in small.constants.items() if n.endswith("_bias"))
    assert abs(int(bias[0])) <= 2**25
    step = float(plan.activations["x"].step) * plan.weights["y"].scale[0]
    assert bias[0] * step == pytest.approx(1e4, rel=1e-3)


def test_a_softmax_that_only_float_operators_read_has_no_scale() -> None:
    for reader, held in (("exp", False), ("sigmoid", True)):
        net = Net()
        x = net.op("softmax", net.linear(net.input(1, 6), 4), name="s", axis=1)
        plan = plan_of(net.build(net.linear(net.op(reader, x), 2)))
        assert ("s" in plan.activations) is held
