"""Permutes of channels-last networks cancel; the function and its interface stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.graph.same import assert_same, ops
from tests.reference.networks import Net

from pocketpress.core.program import Program
from pocketpress.graph.cancel_permutes import cancel_permutes, movement

NCHW, NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def conv(net: Net, x: str, channels: int, **options: Any) -> str:
    """A convolution as Keras writes it."""
    first = net.conv(net.op("permute", x, axes=NCHW), channels, bias=False, **options)
    return net.op("permute", first, axes=NHWC)


def checked(before: Program) -> Program:
    after = cancel_permutes(before)
    assert_same(before, after)
    assert movement(after) <= movement(before)
    return after


def test_a_chain_keeps_one_permute_at_each_end() -> None:
    net = Net()
    x = net.op("add", conv(net, net.input(1, 4, 4, 3), 2), net.constant([[[0.5, -1.0]]]))
    x = net.op("clamp", x, low=0.0, high=6.0)
    after = checked(net.build(conv(net, x, 3)))
    assert ops(after) == ["permute", "conv2d", "add", "clamp", "conv2d", "permute"]
    (bias,) = (v for n, v in after.constants.items() if v.size == 2)
    assert bias.shape == (1, 2, 1, 1)


def test_residual_concat_padding_and_mean() -> None:
    net = Net()
    x = conv(net, net.input(1, 4, 4, 3), 4)
    y = net.op("add", conv(net, x, 4), x)
    y = net.op("concat", y, x, axis=3)
    y = net.op("pad", y, before=(0, 1, 0, 0), after=(0, 1, 2, 0), value=0.0)
    y = net.op("slice", conv(net, y, 2), starts=(0, 1, 0, 0), sizes=(1, 3, 5, 2), steps=(1, 1, 1, 1))
    after = checked(net.build(net.op("mean", y, axes=(1, 2), keepdims=False)))
    assert ops(after).count("permute") == 1 and after.nodes[0].op == "permute"


def test_arithmetic_on_the_input_follows_its_permute() -> None:
    net = Net()
    x = net.op("mul", net.input(1, 4, 4, 3), net.constant([1.0, 2.0, 3.0]))
    pooled = net.op("mean", conv(net, x, 2), axes=(1, 2), keepdims=False)
    assert ops(checked(net.build(pooled))) == ["permute", "mul", "conv2d", "mean"]


def test_a_gate_of_one_pixel_is_reshaped() -> None:
    net = Net()
    x = conv(net, net.input(1, 4, 4, 3), 4)
    gate = conv(net, net.op("mean", x, axes=(1, 2), keepdims=True), 4, kernel=1)
    after = checked(net.build(conv(net, net.op("mul", x, net.op("sigmoid", gate)), 2)))
    assert ops(after).count("permute") == 2


def test_a_softmax_over_channels_stays_on_the_last_axis() -> None:
    net = Net()
    x = net.op("add", conv(net, net.input(1, 4, 4, 3), 5), net.constant([0.1, 0.2, 0.3, 0.4, 0.5]))
    after = checked(net.build(net.op("softmax", x, axis=3)))
    assert ops(after) == ["permute", "conv2d", "add", "permute", "softmax"]


def test_two_readers_in_two_orders_share_each_version() -> None:
    net = Net()
    x = net.op("tanh", conv(net, net.input(1, 4, 4, 3), 2))
    flat = net.op("reshape", x, shape=(1, 32))
    after = checked(net.build(conv(net, x, 2), flat, net.op("neg", flat)))
    assert ops(after).count("permute") == 3  # the input, the flattening, the output


def test_outputs_that_are_permutes_of_inputs_or_of_each_other() -> None:
    net = Net()
    x = net.input(1, 2, 3, 4)
    there = net.op("permute", x, axes=NCHW)
    back = net.op("permute", there, axes=NHWC)
    after = checked(net.build(there, back))
    assert movement(after)[1] == 1


def test_programs_without_permutes_are_left_alone() -> None:
    net = Net()
    program = net.build(net.conv(net.input(1, 2, 4, 4), 3))
    assert cancel_permutes(program) is program


@pytest.mark.parametrize("axes", [(0, 2, 1), (1, 0, 2), (2, 0, 1)])
def test_sequences(axes: tuple[int, ...]) -> None:
    net = Net()
    x = net.op("permute", net.input(2, 3, 4), axes=axes)
    x = net.op("add", net.op("tanh", x), net.constant(np.arange(net.builder.type(x).shape[2])))
    checked(net.build(net.op("permute", x, axes=tuple(axes.index(i) for i in range(3)))))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_program_of_moves_and_arithmetic_computes_the_same(data: st.DataObject) -> None:
    net = Net(seed=data.draw(st.integers(0, 9)))
    made = [net.input(1, 2, 3, 3)]
    for _ in range(data.draw(st.integers(2, 8))):
        x = data.draw(st.sampled_from(made))
        shape = net.builder.type(x).shape
        kind = data.draw(
            st.sampled_from(["permute", "tanh", "add", "concat", "mean", "conv", "constant", "pad"])
        )
        if kind == "permute":
            made.append(net.op("permute", x, axes=(0, *data.draw(st.permutations([1, 2, 3])))))
        elif kind == "add":
            same = [n for n in made if net.builder.type(n).shape == shape]
            made.append(net.op("add", x, data.draw(st.sampled_from(same))))
        elif kind == "concat":
            made.append(net.op("concat", x, x, axis=data.draw(st.integers(1, 3))))
        elif kind == "mean":
            made.append(net.op("mean", x, axes=(data.draw(st.integers(1, 3)),), keepdims=True))
        elif kind == "conv":
            made.append(net.conv(x, 2))
        elif kind == "constant":
            axis = data.draw(st.integers(0, 2))
            made.append(net.op("mul", x, net.constant(net.rng.normal(size=shape[1 + axis :]))))
        elif kind == "pad":
            made.append(net.op("pad", x, before=(0, 1, 0, 0), after=(0, 0, 2, 0), value=0.5))
        else:
            made.append(net.op("tanh", x))
    outputs = [n for n in dict.fromkeys(made[-2:]) if n != made[0]]
    checked(net.build(*outputs))
