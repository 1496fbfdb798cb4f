"""What changes nothing goes."""

from __future__ import annotations

import numpy as np
from tests.graph.same import assert_same, ops
from tests.reference.networks import Net

from pocketpress.graph.remove_noops import remove_noops


def test_every_kind_of_noop_goes() -> None:
    net = Net()
    x = net.op("abs", net.input(1, 2, 3, 4))
    x = net.op("reshape", x, shape=(1, 2, 3, 4))
    x = net.op("permute", x, axes=(0, 1, 2, 3))
    x = net.op("slice", x, starts=(0, 0, 0, 0), sizes=(1, 2, 3, 4), steps=(1, 1, 1, 1))
    x = net.op("abs", net.op("reshape", x, shape=(1, 24, 1)))
    x = net.op("permute", x, axes=(2, 1, 0))
    x = net.op("reshape", net.op("abs", x), shape=(1, 2, 3, 4))
    x = net.op("clamp", x, low=None, high=None)
    x = net.op("pad", x, before=(0, 0, 0, 0), after=(0, 0, 0, 0), value=0.0)
    x = net.op("add", x, net.constant(np.zeros((1, 2, 1, 1))))
    x = net.op("mul", x, net.constant(1.0))
    x = net.op("concat", x, axis=1)
    before = net.build(net.op("neg", x, name="y"))
    after = remove_noops(before)
    assert ops(after) == ["abs", "reshape", "abs", "abs", "reshape", "neg"]
    assert_same(before, after)


def test_what_only_looks_like_a_noop_stays() -> None:
    net = Net()
    x = net.op("abs", net.input(1, 2, 2, 2))
    x = net.op("permute", x, axes=(0, 1, 3, 2))
    x = net.op("add", x, net.constant(np.zeros((1, 2, 1, 1))), clamp=(0.1, None))
    x = net.op("mul", x, net.constant([[[[1.0]], [[2.0]]]]))
    x = net.op("slice", x, starts=(0, 0, 1, 0), sizes=(1, 2, 1, 2), steps=(1, 1, 1, 1))
    before = net.build(net.op("reshape", x, name="y", shape=(2, 2)))
    assert_same(before, remove_noops(before))
    assert ops(remove_noops(before)) == ["abs", "permute", "add", "mul", "slice", "reshape"]


def test_an_addition_of_zeros_that_broadcasts_stays() -> None:
    net = Net()
    before = net.build(net.op("add", net.input(1, 2), net.constant(np.zeros((3, 2)))))
    assert ops(remove_noops(before)) == ["add"]


def test_chains_merge() -> None:
    net = Net()
    x = net.op("permute", net.input(2, 3, 4), axes=(1, 2, 0))
    x = net.op("permute", x, axes=(2, 0, 1))
    x = net.op("reshape", net.op("reshape", net.op("abs", x), shape=(24,)), shape=(4, 6))
    before = net.build(net.op("neg", x))
    after = remove_noops(before)
    assert ops(after) == ["abs", "reshape", "neg"]
    assert_same(before, after)


def test_outputs_keep_their_public_names() -> None:
    net = Net()
    x = net.op("abs", net.input(1, 4), name="inner")
    first = net.op("reshape", x, name="first", shape=(1, 4))
    second = net.op("reshape", x, name="second", shape=(1, 4))
    before = net.build(first, second, net.op("neg", x, name="third"))
    after = remove_noops(before)
    assert after.outputs == ("first", "second", "third")
    assert_same(before, after)


def test_an_input_that_is_an_output_stays_a_node() -> None:
    net = Net()
    x = net.input(1, 4)
    before = net.build(net.op("reshape", x, name="y", shape=(1, 4)))
    after = remove_noops(before)
    assert ops(after) == ["reshape"]
    assert_same(before, after)


def test_idempotent() -> None:
    net = Net()
    x = net.op("reshape", net.op("abs", net.input(1, 4)), shape=(4, 1))
    once = remove_noops(net.build(net.op("reshape", x, name="y", shape=(1, 4))))
    assert remove_noops(once).nodes == once.nodes


def test_slices_in_a_row_are_one() -> None:
    """Every second from 1, and of those every third from 1: every sixth from 3."""
    net = Net()
    x = net.op("slice", net.input(1, 20), starts=(0, 1), sizes=(1, 9), steps=(1, 2))
    before = net.build(net.op("slice", x, starts=(0, 1), sizes=(1, 2), steps=(1, 3)))
    after = remove_noops(before)
    assert ops(after) == ["slice"]
    assert (after.nodes[0].attrs["starts"], after.nodes[0].attrs["steps"]) == ((0, 3), (1, 6))
    assert_same(before, after)
