"""What does not depend on the input is computed once."""

from __future__ import annotations

import numpy as np
from tests.graph.same import assert_same, ops
from tests.reference.networks import Net

from pocketpress.graph.fold_constants import fold_constants
from pocketpress.verify.reference import interpret_node


def test_a_chain_of_constants_becomes_one() -> None:
    net = Net()
    c = net.op("exp", net.op("neg", net.constant([0.0, 1.0])))
    before = net.build(net.op("add", net.input(1, 2), c, name="y"))
    after = fold_constants(before, interpret_node)
    assert ops(after) == ["add"]
    np.testing.assert_allclose(after.constants[after.nodes[0].inputs[1]], [1.0, np.exp(-1)], rtol=1e-6)
    assert_same(before, after)


def test_a_constant_output_keeps_its_node() -> None:
    net = Net()
    x = net.op("abs", net.input(1, 2), name="y")
    before = net.build(x, net.op("neg", net.constant([3.0]), name="k"))
    after = fold_constants(before, interpret_node)
    assert after.outputs == ("y", "k")
    assert_same(before, after)
