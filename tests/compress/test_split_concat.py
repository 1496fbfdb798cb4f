"""Concatenations of very different ranges, by hand and on a detection head."""

from __future__ import annotations

import numpy as np
import pytest
from tests.reference.networks import ALL_INTEGER, Net

from pocketpress.compress.quantize.apply import apply_plan
from pocketpress.compress.quantize.observe import TensorStats, observe
from pocketpress.compress.quantize.place import Placement, place
from pocketpress.compress.quantize.plan import QuantizationOptions, int8_tensors, make_plan
from pocketpress.compress.quantize.split_concat import narrow_inputs, split_concats
from pocketpress.core.program import Program
from pocketpress.core.program.ir import Array
from pocketpress.verify.reference import interpret

ANCHORS, CLASSES = 64, 3


def detector(after: str = "output") -> Program:
    """Boxes in pixels beside scores, as detection heads end: (1, 4 + classes, anchors)."""
    net = Net(seed=5)
    x = net.input(1, 3, 16, 16)
    features = net.conv(x, 8, stride=2, clamp=(0.0, 6.0))
    boxes = net.op("mul", net.op("sigmoid", net.conv(features, 4, 1)), net.constant(640.0), name="boxes")
    scores = net.op("sigmoid", net.conv(features, CLASSES, 1), name="scores")
    both = net.op("concat", boxes, scores, axis=1, name="both")
    flat = net.op("reshape", both, shape=(1, 4 + CLASSES, ANCHORS), name="flat")
    if after == "conv":
        return net.builder.build([net.conv(both, 2, 1, name="mixed"), scores])
    if after == "slices":
        low = net.op("slice", flat, starts=(0, 0, 0), sizes=(1, 4, ANCHORS), steps=(1, 1, 1), name="low")
        high = net.op("slice", flat, starts=(0, 4, 0), sizes=(1, 3, ANCHORS), steps=(1, 1, 1), name="high")
        return net.builder.build([low, net.op("tanh", high, name="squashed")])
    return net.builder.build([flat])


def samples(count: int = 16) -> list[dict[str, Array]]:
    rng = np.random.default_rng(1)
    return [{"x": rng.normal(0, 1, (1, 3, 16, 16)).astype(np.float32)} for _ in range(count)]


def quantised(program: Program, *, split: bool = True) -> tuple[Program, Placement]:
    placement = place(program, ALL_INTEGER)
    names = [n for n in int8_tensors(program, placement) if n not in program.constants]
    feeds = samples()
    stats = observe(program, names, feeds, len(feeds), lambda p, f, keep: interpret(p, f, keep=keep))
    if split:
        placement = split_concats(program, placement, stats)
    plan = make_plan(program, placement, stats, QuantizationOptions(estimator="min-max"))
    return apply_plan(program, plan), placement


def test_narrow_inputs_by_hand() -> None:
    """Spans 10, 1.2, 2 and 0: only the second is an eighth and loses; zeros lose nothing on any grid."""
    net = Net()
    names = [net.input(1, 2, name=n) for n in "abcd"]
    out = net.op("concat", *names, axis=1)
    program = net.builder.build([out])
    values = {"a": [0.0, 10.0], "b": [-0.2, 1.0], "c": [0.0, 2.0], "d": [0.0, 0.0]}
    stats = {name: TensorStats.of(np.asarray(v, np.float32)) for name, v in values.items()}
    found = narrow_inputs(program, program.nodes[0], stats)
    assert list(found) == [1]
    assert found[1] == pytest.approx(10 / 1.2)


def test_a_range_that_survives_is_left_alone() -> None:
    """An input whose values lie on the shared grid is not destroyed, however narrow."""
    net = Net()
    out = net.op("concat", net.input(1, 2, name="a"), net.input(1, 2, name="b"), axis=1)
    program = net.builder.build([out])
    stats = {
        "a": TensorStats.of(np.asarray([0, 255], np.float32)),
        "b": TensorStats.of(np.asarray([1, 3], np.float32)),
    }
    assert narrow_inputs(program, program.nodes[0], stats) == {}
    stats["b"] = TensorStats.of(np.asarray([0.4, 2.6], np.float32))
    assert list(narrow_inputs(program, program.nodes[0], stats)) == [1]


def test_a_detection_head_survives_int8() -> None:
    """Scores keep 1/256 resolution beside boxes of 640; on one scale a score is 0 or nothing."""
    program = detector()
    kept, placement = quantised(program)
    lost, _ = quantised(program, split=False)
    assert not {"both", "flat"} & placement.integer and {"scores", "boxes"} <= placement.integer
    assert any("both" in s.name and "ranges differ" in s.reason for s in placement.left_in_float)
    for feed in samples(4):
        real, good, bad = (
            np.asarray(next(iter(interpret(p, feed).values())), np.float64) for p in (program, kept, lost)
        )
        assert np.ptp(real[:, 4:]) > 0.5 and real[:, :4].max() > 300
        assert np.abs(good - real)[:, 4:].max() < 0.05
        assert len(np.unique(good[:, 4:])) > 50
        assert len(np.unique(bad[:, 4:])) <= 2
        assert np.abs(bad - real)[:, 4:].max() > 0.3
        assert np.abs(good - real)[:, :4].max() < 640 * 0.05


def test_slices_that_take_it_apart_keep_it_in_float() -> None:
    program = detector("slices")
    quantized, placement = quantised(program)
    assert not {"both", "flat", "low", "high"} & placement.integer
    assert "squashed" in placement.integer
    for feed in samples(2):
        real, got = interpret(program, feed), interpret(quantized, feed)
        assert np.abs(got["squashed"].astype(np.float64) - real["squashed"]).max() < 0.05


def test_inside_the_network_a_shared_input_keeps_its_own_scale() -> None:
    """The concatenation stays in integers; the scores, an output too, are converted on the way."""
    program = detector("conv")
    quantized, placement = quantised(program)
    assert "both" in placement.integer
    assert placement.loose_edges == {("both", 1)}
    assert float(quantized.type("scores_int8").quant.step) == pytest.approx(1 / 256)  # type: ignore[union-attr]


def test_nothing_changes_without_such_a_concatenation() -> None:
    net = Net(seed=2)
    x = net.input(1, 3, 16, 16)
    a, b = net.conv(x, 4), net.conv(x, 4)
    program = net.builder.build([net.op("concat", a, b, axis=1)])
    before = place(program, ALL_INTEGER)
    _, after = quantised(program)
    assert after == before
