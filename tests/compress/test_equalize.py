"""Equalisation: by hand, and the float function stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from tests.reference.networks import Net, plan_of, residual_network, samples

from pocketpress.compress.quantize.channels import channel_groups
from pocketpress.compress.quantize.equalize import (
    EqualizationPlan,
    apply_equalization,
    plan_cross_layer,
    plan_equalization,
)
from pocketpress.compress.quantize.observe import observe
from pocketpress.core.program import Program
from pocketpress.verify.reference import interpret


def seen(program: Program, count: int = 8) -> dict[str, Any]:
    def run(p: Program, f: Mapping[str, Any], names: Iterable[str]) -> Mapping[str, Any]:
        return interpret(p, f, keep=names)

    feeds = samples(program, count)
    return observe(program, [o for n in program.nodes for o in n.outputs], feeds, count, run)


def two_layers(clamp: tuple[float | None, float | None] | None) -> Program:
    """Channel 0 writes 1000 times what channel 1 does."""
    net = Net()
    x = net.input(1, 2)
    first = net.op(
        "linear", x, net.constant([[1000.0, 0.0], [0.0, 1.0]]), net.constant([10.0, 1.0]), clamp=clamp
    )
    out = net.op("linear", first, net.constant([[1.0, 2.0]]), name="output", clamp=None)
    return net.build(out)


def test_cross_layer_by_hand() -> None:
    """r1 = (1000, 1), r2 = (1, 2): s = sqrt(r1 r2) / r2 = (31.62, 0.7071)."""
    program = two_layers((0.0, None))
    plan = plan_cross_layer(program)
    assert len(plan.scales) == 1
    assert plan.scales[0][1] == pytest.approx([1000**0.5, 2**0.5 / 2])
    equal = apply_equalization(program, plan)
    first, second = (n for n in equal.nodes)
    out_range = np.abs(equal.constants[first.inputs[1]]).max(axis=1)
    in_range = np.abs(equal.constants[second.inputs[1]]).max(axis=0)
    assert out_range == pytest.approx(in_range, rel=1e-5)
    assert equal.constants[first.inputs[2]] == pytest.approx([10 / 1000**0.5, 2**0.5], rel=1e-5)


@pytest.mark.parametrize("exponent", [0.5, 0.75, 1.0])
def test_the_float_function_stays(exponent: float) -> None:
    program = residual_network()
    plan = plan_equalization(program, seen(program), exponent)
    assert plan.scales
    equal = apply_equalization(program, plan)
    for feed in samples(program, 8):
        truth, got = interpret(program, feed)["output"], interpret(equal, feed)["output"]
        assert np.abs(truth - got).max() <= 1e-5 * np.abs(truth).max()


def test_peaks_become_alike() -> None:
    program = two_layers((0.0, None))
    plan = plan_equalization(program, seen(program), 1.0)
    equal = apply_equalization(program, plan)
    name = equal.nodes[0].outputs[0]
    before, after = seen(program)[name].channel_peak, seen(equal)[name].channel_peak
    assert before is not None and after is not None
    assert before.max() / before.min() > 100 and after.max() / after.min() < 40


@pytest.mark.parametrize("clamp", [(-1.0, 1.0), (None, 6.0), (1.0, None)])
def test_what_is_not_homogeneous_is_left_alone(clamp: tuple[float | None, float | None]) -> None:
    assert channel_groups(two_layers(clamp)) == ()


def test_a_ceiling_is_kept_by_the_channels_that_reach_it() -> None:
    program = two_layers((0.0, 6.0))
    plan = plan_equalization(program, seen(program), 0.75)
    ((group, scale),) = plan.scales
    assert group.ceiling == 6.0 and scale.max() == 1.0
    for feed in samples(program, 8):
        truth, got = (interpret(p, feed)["output"] for p in (program, apply_equalization(program, plan)))
        assert np.abs(truth - got).max() <= 1e-5 * max(1.0, np.abs(truth).max())


def test_an_empty_plan_changes_nothing() -> None:
    program = residual_network()
    assert apply_equalization(program, EqualizationPlan(())).constants == program.constants


def channels_last_network(channels: int) -> Program:
    """Linear layers on permuted images (N, 8, 8, C), as ConvNeXt has them."""
    net = Net(2)
    image = net.op("permute", net.conv(net.input(1, 3, 8, 8), channels), axes=(0, 2, 3, 1))
    wide = net.op("leaky_relu", net.linear(image, 8), slope=0.1)
    back = net.op("permute", net.linear(wide, channels), axes=(0, 3, 1, 2))
    return net.build(net.op("mean", back, name="output", axes=(2, 3), keepdims=False))


@pytest.mark.parametrize("channels", [6, 8])
def test_linear_layers_on_images_have_their_channels_last(channels: int) -> None:
    program = channels_last_network(channels)
    groups = channel_groups(program)
    assert [(group.axis, group.channels) for group in groups] == [(3, 8)]
    feeds = samples(program, 8)
    plan = plan_equalization(program, seen(program), 0.75)
    assert plan.scales and len(set(plan.scales[0][1].tolist())) > 1
    equal = apply_equalization(program, plan)
    for feed in feeds:
        truth, got = (interpret(p, feed)["output"] for p in (program, equal))
        np.testing.assert_allclose(got, truth, rtol=1e-5, atol=1e-5)
    assert plan_of(program).bias_shifts.keys() >= {n.name for n in program.nodes if n.op == "linear"}
