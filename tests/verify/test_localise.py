"""Finding the first operator that a target computes otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.reference.networks import Net, quantized, residual_network, samples
from tests.verify.fake_targets import BROKEN, FAITHFUL

from pocketpress.core.program import check_program
from pocketpress.core.target import Runner, TargetSpec
from pocketpress.verify.localise import first_difference, isolate
from pocketpress.verify.reference import interpret


def opened(path: Path, spec: TargetSpec) -> Runner:
    return spec.open_runner(path)


def test_a_faithful_target_has_no_first_difference() -> None:
    program = quantized(residual_network())
    assert first_difference(program, FAITHFUL, samples(program, 2, seed=5), opened) is None


def test_the_broken_operator_is_found_and_not_one_that_only_inherits_the_error() -> None:
    program = quantized(residual_network())
    found = first_difference(program, BROKEN, samples(program, 2, seed=5), opened)
    assert found is not None
    assert (found.tensor, found.op, found.max_lsb) == ("a0", "conv2d", 1)
    assert found.equal is not None and 0.8 < found.equal < 0.85  # one of six channels


def test_an_operator_that_the_target_refuses_alone_is_passed_over() -> None:
    net = Net()
    x = net.conv(net.input(1, 2, 4, 4), 2, name="first")
    y = net.op("mul", x, x, name="square")
    program = quantized(net.build(net.conv(y, 2, 1, name="last")))
    found = first_difference(program, BROKEN, samples(program, 2), opened)
    assert found is not None and found.tensor == "last_int8"


def test_an_isolated_operator_computes_the_same_integers() -> None:
    program = quantized(residual_network())
    feeds = samples(program, 1, seed=9)[0]
    node = next(n for n in program.nodes if n.name == "sum0")
    values = interpret(program, feeds, keep={*node.inputs, *node.outputs})
    alone = isolate(program, node)
    check_program(alone)
    assert [n.op for n in alone.nodes] == ["quantize", "quantize", "add", "dequantize"]
    step = {n: program.type(n).quant for n in node.inputs}
    real = {
        f"input_{i}": ((values[n].astype(np.int32) - q.zero_point) * q.step).astype(np.float32)
        for i, n in enumerate(node.inputs)
        if (q := step[n]) is not None
    }
    np.testing.assert_array_equal(interpret(alone, real, keep=["result"])["result"], values["sum0"])


class _Nearly:
    """A runtime whose real numbers differ in their last bits."""

    def __init__(self, runner: Runner) -> None:
        self._runner, self.signature = runner, runner.signature

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        return [np.asarray(out * np.float32(1 + 2e-7)) for out in self._runner.run(inputs)]

    def close(self) -> None:
        self._runner.close()


def test_a_single_real_number_is_measured_by_its_size() -> None:
    net = Net()
    x = net.op("exp", net.linear(net.input(1, 4), 1), name="exp")
    program = quantized(net.build(net.linear(net.op("tanh", net.linear(x, 3)), 2)))
    found = first_difference(
        program, FAITHFUL, samples(program, 2), lambda path, spec: _Nearly(opened(path, spec))
    )
    assert found is None
