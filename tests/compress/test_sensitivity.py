"""Sensitivities: numbers worked out by hand on two layers, then what must always hold."""

from __future__ import annotations

import numpy as np
import pytest
from tests.reference.networks import Net, plan_of, residual_network, samples

from pocketpress.compress.mixed.sensitivity import measure_sensitivity, on_grid, sources
from pocketpress.compress.quantize.plan import QuantizationOptions, QuantizationPlan
from pocketpress.core.program import Program, Quantization
from pocketpress.verify.reference import interpret_node

FEEDS = [{"x": np.asarray([[1.0, 2.0]], np.float32)}]


def two_layers() -> Program:
    """y = [x1 + 0.3 x2, x2];  z = 0.5 y1 - y2, without biases."""
    net = Net()
    x = net.input(1, 2)
    y = net.op("linear", x, net.constant([[1.0, 0.3], [0.0, 1.0]], "w1"), name="y")
    return net.build(net.op("linear", y, net.constant([[0.5, -1.0]], "w2"), name="z"))


def by_hand() -> QuantizationPlan:
    """Steps of 1 for y, 0.5 for the first weights (0.3 -> 0.5), 0.4 for the second (-1 -> -0.8)."""
    return QuantizationPlan(
        integer_nodes=frozenset({"y", "z"}),
        activations={
            "x": Quantization.per_tensor(1.0),
            "y": Quantization.per_tensor(1.0),
            "z": Quantization.per_tensor(0.25),
        },
        weights={
            "y": Quantization.per_channel([0.5, 0.5], 0),
            "z": Quantization.per_channel([0.4], 0),
        },
        requantized_edges={},
        skipped=(),
    )


def test_noise_of_two_layers_by_hand() -> None:
    """x = [1, 2]: y = [1.6, 2] and z = -1.2, so the signal's power is 1.44.

    First weights rounded: y = [2, 2], z = -1, noise 0.04.  Second: 0.4 * 1.6 - 0.8 * 2 = -0.96, noise 0.0576
    (-1 / 0.4 = -2.5 rounds half to even, to -2).  y rounded to [2, 2]: z = -1, noise 0.04.  z rounded to
    -1.25: noise 0.0025.  x is whole already.  Everything: y = [2, 2], z = 0.8 - 1.6 = -0.8 -> -0.75, 0.2025.
    """
    found = measure_sensitivity(two_layers(), {8: by_hand()}, FEEDS, interpret_node)
    assert found.samples == 1
    assert found.weights[8] == pytest.approx({"y": 0.04 / 1.44, "z": 0.0576 / 1.44}, rel=1e-4)
    assert found.activations == pytest.approx({"x": 0.0, "y": 0.04 / 1.44, "z": 0.0025 / 1.44}, rel=1e-3)
    assert found.total == pytest.approx(0.2025 / 1.44, rel=1e-4)


def test_what_remains_when_one_is_kept_float_by_hand() -> None:
    """y kept: [1.6, 2] -> 0.64 - 1.6 = -0.96 -> -1, noise 0.04.  z kept: 1 - 2 = -1, noise 0.04."""
    found = measure_sensitivity(two_layers(), {8: by_hand()}, FEEDS, interpret_node)
    assert found.kept_float == pytest.approx({"y": 0.04 / 1.44, "z": 0.04 / 1.44}, rel=1e-4)


def test_on_grid_by_hand() -> None:
    """Step 0.5, zero point 126: codes -128 to 127 reach from -127 to 0.5; ties go to even."""
    quant = Quantization.per_tensor(0.5, 126)
    values = np.asarray([-200, -1.26, 0.25, 0.3, 9], np.float32)
    np.testing.assert_array_equal(on_grid(values, quant), np.asarray([-127, -1.5, 0, 0.5, 0.5], np.float32))


def test_fewer_bits_hurt_more_and_the_parts_add_up() -> None:
    program = residual_network()
    feeds = samples(program, 8, seed=3)
    eight = plan_of(program)
    four = plan_of(program, QuantizationOptions(weight_bits=dict.fromkeys(eight.weights, 4)))
    found = measure_sensitivity(program, {8: eight, 4: four}, feeds, interpret_node)
    assert set(found.weights[8]) == set(found.weights[4]) == set(eight.weights)
    assert all(found.weights[4][n] > 20 * found.weights[8][n] for n in eight.weights)
    parts = sum(found.weights[8].values()) + sum(found.activations.values())
    assert 0.4 * parts < found.total < 2.5 * parts


def test_moves_are_no_source_of_noise() -> None:
    net = Net()
    x = net.conv(net.input(1, 3, 8, 8), 4, name="conv")
    flat = net.op("reshape", x, shape=(1, 256), name="flat")
    program = net.build(net.linear(flat, 3, name="out"))
    plan = plan_of(program, QuantizationOptions(real_heads=False))
    assert sources(program, plan) == ["x", "conv", "out"]


def test_the_time_limit_leaves_the_least_samples() -> None:
    program = residual_network()
    feeds = samples(program, 8)
    found = measure_sensitivity(
        program, {8: plan_of(program)}, feeds, interpret_node, keep_float=False, expired=lambda: True
    )
    assert found.samples == 4
    assert found.kept_float == {}


def test_as_few_samples_as_asked_when_time_is_up() -> None:
    found = measure_sensitivity(
        two_layers(), {8: by_hand()}, FEEDS * 9, interpret_node, least=2, expired=lambda: True
    )
    assert found.samples == 2


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_wreck_has_a_number() -> None:
    """y is rounded to 0, whose logarithm is not finite."""
    net = Net()
    y = net.op("linear", net.input(1, 2), net.constant([[0.1, 0.1]], "w1"), name="y")
    program = net.build(net.op("log", y, name="z"))
    grid = Quantization.per_tensor(1.0)
    plan = QuantizationPlan(
        frozenset({"y"}), {"x": grid, "y": grid}, {"y": Quantization.per_channel([0.1], 0)}, {}, ()
    )
    found = measure_sensitivity(program, {8: plan}, FEEDS, interpret_node)
    assert found.activations["y"] > 1e30 and np.isfinite(found.total)
