"""All passes together, on networks grown at random."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.graph.same import assert_same, ops
from tests.reference.networks import Net

from pocketpress.core.program import Program
from pocketpress.graph.simplify import simplify
from pocketpress.verify.reference import interpret_node

STEPS = ("conv", "norm", "relu", "relu6", "pad", "noop", "residual", "scale", "reshape_twice")


def grown(steps: list[str], seed: int) -> Program:
    net = Net(seed)
    x = net.conv(net.input(1, 3, 5, 5), 4)
    for step in steps:
        if step == "conv":
            x = net.conv(x, 4, bias=False)
        elif step == "norm":
            x = net.op("mul", x, net.constant(net.rng.normal(1, 0.3, (1, 4, 1, 1))))
            x = net.op("add", x, net.constant(net.rng.normal(0, 0.3, (1, 4, 1, 1))))
        elif step in ("relu", "relu6"):
            x = net.op("clamp", x, low=0.0, high=6.0 if step == "relu6" else None)
        elif step == "pad":
            p = net.op("pad", x, before=(0, 0, 1, 0), after=(0, 0, 0, 1), value=0.0)
            x = net.conv(p, 4, 2, pad=0)
        elif step == "noop":
            x = net.op("clamp", net.op("mul", x, net.constant(1.0)), low=None, high=None)
        elif step == "residual":
            x = net.op("add", x, net.conv(x, 4, 1))
        elif step == "scale":
            x = net.op("mul", x, net.op("exp", net.constant(0.1)))
        else:
            shape = net.builder.type(x).shape
            x = net.op("reshape", net.op("reshape", x, shape=(-1,)), shape=shape)
    return net.build(net.op("reshape", x, name="output", shape=net.builder.type(x).shape))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=7), st.integers(0, 99))
def test_the_function_stays_the_same(steps: list[str], seed: int) -> None:
    before = grown(steps, seed)
    after = simplify(before, interpret_node)
    assert_same(before, after, tolerance=2e-5)
    assert len(after.nodes) <= len(before.nodes)
    assert simplify(after, interpret_node).nodes == after.nodes


def test_conv_norm_relu_is_one_node() -> None:
    assert ops(simplify(grown(["norm", "noop", "relu6"], 0), interpret_node)) == ["conv2d"]
