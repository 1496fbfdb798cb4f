"""Learned rounding: the pieces by hand, the whole against rounding to nearest."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.networks import Net, plan_of, residual_network, samples

from pocketpress.compress.distill.examples import Augmentation, Examples
from pocketpress.compress.learn.blocks import border_bytes, split
from pocketpress.compress.learn.finetune import QatOptions, step_count, train_quantized
from pocketpress.compress.learn.operators import operator
from pocketpress.compress.learn.rounding import RoundingOptions, SoftWeight, learn_rounding
from pocketpress.compress.learn.simulate import Simulation, on_grid
from pocketpress.compress.quantize.apply import apply_plan
from pocketpress.compress.quantize.plan import QuantizationOptions, QuantizationPlan
from pocketpress.core.errors import DataError
from pocketpress.core.program import Quantization
from pocketpress.testing import all_cases
from pocketpress.verify.parity import sqnr_db
from pocketpress.verify.reference import interpret


def test_a_soft_weight_by_hand() -> None:
    """w/s = 1.3: floor 1, h = 0.3, so V = logit(0.4/1.2) = -0.6931; rounding to nearest gives 1."""
    soft = SoftWeight(torch.tensor([1.3, -0.6]), torch.tensor([1.0, 1.0]), 7)
    assert soft.floor.tolist() == [1.0, -1.0]
    assert float(soft.variable[0].detach()) == pytest.approx(np.log(0.4 / 0.8), abs=1e-5)
    assert soft.up().detach().numpy() == pytest.approx([0.3, 0.4], abs=1e-5)
    assert soft.soft().detach().numpy() == pytest.approx([1.3, -0.6], abs=1e-5)
    assert soft.integers().tolist() == [1.0, -1.0]
    # 1 - |2h - 1|^2 = 1 - 0.16 and 1 - 0.04
    assert float(soft.indecision(2.0).detach()) == pytest.approx(0.84 + 0.96, abs=1e-4)


def test_a_soft_weight_stays_on_its_grid() -> None:
    soft = SoftWeight(torch.tensor([9.7, -9.7]), torch.tensor([1.0, 1.0]), 7)
    assert soft.integers().tolist() == [7.0, -7.0]


def test_on_grid_by_hand() -> None:
    """Scale 0.5, zero point 1: 0.7 -> 1.4 -> 1 -> 0.5; 100 saturates at (127 - 1) / 2; gradient 1 and 0."""
    x = torch.tensor([0.7, 100.0], requires_grad=True)
    out = on_grid(x, Quantization.per_tensor(0.5, 1))
    assert out.tolist() == [0.5, 63.0]
    out.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1.0, 0.0]


@settings(max_examples=60, deadline=None)
@given(st.floats(-50, 50), st.floats(0.01, 2), st.integers(-100, 100))
def test_inside_the_grid_the_error_is_half_a_step(x: float, scale: float, zero: int) -> None:
    quant = Quantization.per_tensor(scale, zero)
    step = float(quant.step)
    got = float(on_grid(torch.tensor(x, dtype=torch.float64), quant))
    if (-128 - zero) * step <= x <= (127 - zero) * step:
        assert abs(got - x) <= step / 2 * (1 + 1e-6)


@pytest.mark.parametrize("case", [c for c in all_cases() if c.precision == "fp32"], ids=lambda c: c.id)
def test_operators_are_the_references(case) -> None:  # type: ignore[no-untyped-def]
    truth = interpret(case.program, case.feeds)
    sim = Simulation(case.program, None)
    feeds = {n: torch.from_numpy(np.stack([v, v])) for n, v in case.feeds.items()}
    got = sim.run(case.program.nodes, feeds, case.program.outputs)
    for name, value in truth.items():
        for row in got[name].numpy():
            assert np.allclose(row, value, atol=1e-5 * max(1.0, float(np.abs(value).max())))
    assert operator(case.op) is not None


def test_residual_blocks_are_not_cut() -> None:
    program = residual_network()
    learned = frozenset(plan_of(program).weights)
    blocks = split(program, learned)
    assert [n for b in blocks for n in b.nodes] == list(program.nodes)
    for block in blocks:
        assert len(block.inputs) == 1 and len(block.outputs) == 1
    assert border_bytes(program, learned) >= 4 * 3 * 8 * 8


def test_a_network_without_narrow_places_is_cut_all_the_same() -> None:
    net = Net()
    x = net.input(1, 3, 8, 8)
    skip = net.conv(x, 4, 3)
    y = skip
    for _ in range(12):
        y = net.conv(y, 4, 3)
    program = net.build(net.op("add", skip, y, name="output"))
    learned = frozenset(n.name for n in program.nodes if n.op == "conv2d")
    blocks = split(program, learned)
    assert len(blocks) >= 2 and max(sum(n.name in learned for n in b.nodes) for b in blocks) <= 12


def test_learning_beats_rounding_to_nearest_at_4_bits() -> None:
    program = residual_network()
    feeds, judges = samples(program, 48), samples(program, 64)[48:]
    bits = {n.name: 4 for n in program.nodes if n.op in ("conv2d", "linear")}
    plan = plan_of(program, QuantizationOptions(weight_bits=bits), count=16)
    learned = learn_rounding(program, plan, feeds, RoundingOptions(steps=80))
    truth = np.concatenate([interpret(program, f)["output"] for f in judges])
    found = []
    for candidate in (plan, learned):
        small = apply_plan(program, candidate)
        found.append(sqnr_db(truth, truth - np.concatenate([interpret(small, f)["output"] for f in judges])))
    assert found[1] > found[0] + 1
    for name, integers in learned.rounded.items():
        assert integers.dtype == np.int8 and np.abs(integers).max() <= 7
        quant, node = plan.weights[name], next(n for n in program.nodes if n.name == name)
        weight = program.constants[node.inputs[1]]
        ratio = weight / quant.spread(weight.shape)
        inside = np.abs(ratio) <= 7
        assert (np.abs(integers - ratio)[inside] <= 1 + 1e-4).all()


def test_the_simulation_is_the_integer_program_up_to_rounding() -> None:
    program = residual_network()
    plan = replace(plan_of(program), bias_shifts={})
    learned = learn_rounding(program, plan, samples(program, 4), RoundingOptions(steps=1))
    feed = samples(program, 1)[0]
    exact = interpret(apply_plan(program, learned), feed)["output"]
    sim = Simulation(program, learned)
    nodes = {n.name: n for n in program.nodes}
    constants = {
        nodes[name].inputs[1]: torch.from_numpy(
            (value * learned.weights[name].spread(value.shape)).astype(np.float32)
        )
        for name, value in learned.rounded.items()
    }
    constants |= {nodes[name].inputs[2]: torch.from_numpy(b) for name, b in learned.biases.items()}
    feeds = {n: sim.enter(n, torch.from_numpy(v)[None]) for n, v in feed.items()}
    got = sim.run(program.nodes, feeds, ["output"], constants)["output"].numpy()[0]
    assert sqnr_db(exact, exact - got) > 30


def test_same_seed_same_integers() -> None:
    program = residual_network()
    plan, feeds = plan_of(program), samples(program, 8)
    first, second = (learn_rounding(program, plan, feeds, RoundingOptions(steps=5)) for _ in range(2))
    assert all(np.array_equal(first.rounded[n], second.rounded[n]) for n in first.rounded)


def test_a_block_that_has_seen_enough_places_stops_early() -> None:
    """64 places of 8 samples a step: 100 steps, or the two that see 1,000 places."""
    program = residual_network()
    plan, feeds = plan_of(program), samples(program, 8)
    maps = [program.type(n.outputs[0]).shape for n in program.nodes]
    side = max(shape[2] for shape in maps if len(shape) == 4)
    seen = 2 * 8 * side * side - 1
    short, long = (
        learn_rounding(program, plan, feeds, RoundingOptions(steps=steps, places=places))
        for steps, places in ((2, None), (100, seen))
    )
    first = next(n.name for n in program.nodes if n.name in plan.weights)
    assert np.array_equal(short.rounded[first], long.rounded[first])


def test_training_on_the_grid_brings_the_outputs_closer_to_the_teachers() -> None:
    program = residual_network()
    bits = {n.name: 4 for n in program.nodes if n.op in ("conv2d", "linear")}
    plan = plan_of(program, QuantizationOptions(weight_bits=bits), count=16)
    feeds, judges = samples(program, 256), samples(program, 272)[256:]
    examples = Examples((torch.from_numpy(np.concatenate([f["x"] for f in feeds])),))
    options = QatOptions(epochs=16, batch=16, rate=0.01, bias_rate=0.005)
    steps: list[None] = []
    trained = train_quantized(
        program, plan, examples, None, False, options, advance=lambda: steps.append(None)
    )
    assert len(steps) == step_count(examples, options) == 16 * 16
    truth = np.concatenate([interpret(program, f)["output"] for f in judges])
    found = []
    for candidate in (plan, trained):
        small = apply_plan(program, candidate)
        found.append(sqnr_db(truth, truth - np.concatenate([interpret(small, f)["output"] for f in judges])))
    assert found[1] > found[0] + 1
    assert all(np.abs(v).max() <= 7 for v in trained.rounded.values())


def test_training_on_the_grid_goes_on_to_the_same_bits() -> None:
    program = residual_network()
    plan = plan_of(program)
    examples = Examples((torch.from_numpy(np.concatenate([f["x"] for f in samples(program, 48)])),))
    options, kept = QatOptions(epochs=3, batch=16, rate=0.02), []

    def train(**fields: Any) -> QuantizationPlan:
        turns = Augmentation(torch.Generator().manual_seed(5), 1, mirror=True)
        return train_quantized(program, plan, examples, None, False, options, augmentation=turns, **fields)

    whole = train(save=lambda state: kept.append(copy.deepcopy(state)))
    steps: list[None] = []
    resumed = train(state=kept[0], advance=lambda: steps.append(None))
    assert len(steps) == step_count(examples, options), "what was done before counts as done"
    assert [state["epoch"] for state in kept] == [1, 2, 3]
    for name in whole.rounded:
        assert np.array_equal(whole.rounded[name], resumed.rounded[name])
        assert np.array_equal(whole.biases[name], resumed.biases[name])


def test_training_needs_samples() -> None:
    program = residual_network()
    examples = Examples((torch.zeros(1, 3, 8, 8),))
    with pytest.raises(DataError, match="too few training samples: got 1; allowed: at least 2"):
        train_quantized(program, plan_of(program), examples, None, False, QatOptions())
