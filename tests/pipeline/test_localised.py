"""A device that computes one operator otherwise: the press says which, and keeps the parity that it saw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.targets.executorch.networks import mobile_network

from pocketpress.core.errors import DeviceError
from pocketpress.core.record import Parity
from pocketpress.core.signature import Signature
from pocketpress.core.target import Array, Runner, TargetSpec
from pocketpress.core.targets import all_targets
from pocketpress.pipeline.bench.golden import INTEGER_REFERENCE, Golden
from pocketpress.pipeline.bench.localised import localised
from pocketpress.verify.reference import interpret

SPEC = all_targets()["onnxruntime"]


@dataclass
class Rounded:
    """A runner whose outputs are all one step too high."""

    inner: Runner

    @property
    def signature(self) -> Signature:
        return self.inner.signature

    def run(self, feeds: list[Array]) -> list[Array]:
        steps = [spec.grid_scale or 0.0 for spec in self.signature.outputs]
        return [value + np.float32(s) for value, s in zip(self.inner.run(feeds), steps, strict=True)]

    def close(self) -> None:
        self.inner.close()


@dataclass
class OtherKernels:
    """A connection that runs here, and rounds the results of one kind of operator otherwise."""

    wrong: str
    lost_after: int = 10**6
    opened: int = 0

    def open(self, path: Path, spec: TargetSpec | None = None, threads: int = 1) -> Runner:
        assert spec is not None
        self.opened += 1
        if self.opened > self.lost_after:
            raise DeviceError("the device is gone")
        runner = spec.open_runner(path, threads)
        there = {node.op_type for node in onnx.load(path).graph.node}
        return Rounded(runner) if self.wrong in there else runner


@pytest.fixture
def golden() -> Golden:
    feeds = [{"x": np.random.default_rng(i).normal(size=(1, 3, 32, 32)).astype(np.float32)} for i in range(2)]
    outputs = [interpret(mobile_network(), feed) for feed in feeds]
    return Golden(tuple(feeds), tuple(outputs), tuple(outputs), INTEGER_REFERENCE, False)


def parity(equal: float | None) -> Parity:
    return Parity(samples=2, elements=20, equal=equal, within_1_lsb=1.0, max_lsb=1, max_abs=0.1)


def test_the_first_operator_that_differs_is_named(golden: Golden) -> None:
    device = OtherKernels("QLinearAdd")
    found = localised(parity(0.9), mobile_network, SPEC, golden, device)
    assert found.first_difference is not None
    add = next(node for node in mobile_network().nodes if node.op == "add")
    assert (found.first_difference.op, found.first_difference.tensor) == ("add", add.outputs[0])
    assert found.first_difference.max_lsb == 1
    assert found.equal == 0.9, "what was seen of the whole network stays"


def test_equal_outputs_are_not_searched(golden: Golden) -> None:
    device = OtherKernels("QLinearAdd")
    assert localised(parity(1.0), mobile_network, SPEC, golden, device).first_difference is None
    assert localised(parity(None), mobile_network, SPEC, golden, device).first_difference is None
    rounded = replace(golden, approximate=True)
    assert localised(parity(0.9), mobile_network, SPEC, rounded, device).first_difference is None
    assert device.opened == 0


def test_every_operator_agrees_alone(golden: Golden) -> None:
    found = localised(parity(0.9), mobile_network, SPEC, golden, OtherKernels("none"))
    assert found.first_difference is not None
    assert found.first_difference.note == "every operator agrees on the reference's own integers"


def test_a_device_that_is_lost_is_no_agreement(golden: Golden) -> None:
    device = OtherKernels("none", lost_after=2)
    found = localised(parity(0.9), mobile_network, SPEC, golden, device)
    assert found.first_difference is not None
    assert (found.first_difference.tensor, found.first_difference.note) == ("not found", "the device is gone")
    assert device.opened == 3, "the operators after that are not lowered for nobody"
    assert found.equal == 0.9
