"""Mixed precision, from the command line to artifacts that keep their promises."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import Press
from tests.pipeline import stripes
from tests.reference.networks import ALL_INTEGER, plan_of, residual_network, samples

from pocketpress.compress.mixed.costs import costs_of
from pocketpress.compress.mixed.sensitivity import measure_sensitivity
from pocketpress.compress.quantize.apply import apply_plan
from pocketpress.compress.quantize.observe import TensorStats, observe
from pocketpress.compress.quantize.place import Placement, place
from pocketpress.compress.quantize.plan import QuantizationOptions, int8_tensors, make_plan
from pocketpress.core.program import Program, Quantization
from pocketpress.core.record import Limits, Record
from pocketpress.core.targets import resolve_targets
from pocketpress.pipeline.costs import BINS, histogram, quantized_costs, reached
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.mixed import choose_mixed, half_floats
from pocketpress.pipeline.outputs import Outputs
from pocketpress.pipeline.quantization import Quantized
from pocketpress.verify.reference import interpret, interpret_node


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stripes network with 24 channels: wide enough for 4 bits to save bytes in a file."""
    folder, given = tmp_path_factory.mktemp("wide"), stripes.NETWORK
    widened = given.replace("(3, 8,", "(3, 24,").replace("(8)", "(24)").replace("(8, 4)", "(24, 4)")
    assert widened.count("24") == 5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stripes, "NETWORK", widened)
        stripes.write_project(folder)
    return folder


def mixed(folder: Path, *argv: str | Path) -> tuple[str | Path, ...]:
    return (
        "press", f"{folder / 'net.py'}:factory", "--weights", folder / "w.safetensors",
        "--data", folder / "calib.npz", "--eval", folder / "eval.npz", "--metric", "top1", "--no-measure",
        "--json", "--precision", "mixed", "--rounding-steps", "0", *argv,
    )  # fmt: skip


def pressed(pocketpress: Press, *argv: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    done = pocketpress(*argv)
    assert done.code == 0, done.err + done.out
    data = json.loads(done.out)
    return data, data["recipe"]["options"]


@pytest.mark.slow
def test_a_generous_drop_buys_4_bits(pocketpress: Press, wide: Path) -> None:
    out = wide / "drop"
    data, options = pressed(
        pocketpress, *mixed(wide, "--max-drop", "10%", "--target", "onnxruntime", "--out", out)
    )
    target = data["targets"][0]
    assert target["verdict"] == "pass" and target["parity"]["equal"] == 1
    assert options["layers_4_bit"] >= 1 and options["layers_float"] == 0
    assert options["reference_drop"] <= 0.1 and target["metric"]["drop"] <= 0.1
    bits = {cost["weight_bits"] for cost in data["costs"] if cost["weight_bits"]}
    assert bits == {4, 8}


@pytest.mark.slow
def test_a_size_is_met_in_the_file(pocketpress: Press, wide: Path) -> None:
    argv = ("--target", "onnxruntime", "--out", wide / "size")
    plain, before = pressed(pocketpress, *mixed(wide, "--max-size", "1MB", *argv))
    assert before["layers_4_bit"] == before["layers_float"] == 0
    wanted = max(t["size_bytes"] for t in plain["targets"]) - 3000
    data, options = pressed(pocketpress, *mixed(wide, "--max-size", f"{wanted}B", *argv))
    assert max(t["size_bytes"] for t in data["targets"]) <= wanted
    assert options["layers_4_bit"] == 2


def test_a_size_out_of_reach_names_the_smallest(pocketpress: Press, wide: Path) -> None:
    done = pocketpress(*mixed(wide, "--max-size", "1KB", "--target", "onnxruntime", "--out", wide / "none"))
    assert done.code == 2 and done.line.startswith("no mixed assignment is that small: got --max-size 1 kB")
    assert "or more" in done.line and not (wide / "none").exists()


def test_mixed_needs_a_promise(pocketpress: Press, wide: Path) -> None:
    done = pocketpress(*mixed(wide, "--target", "onnxruntime", "--out", wide / "none"))
    assert done.code == 2 and "--max-drop or --max-size" in done.line


class Strict:
    """A judge for whom int8 is never good enough until the noise is a quarter of it."""

    identity = "strict"

    def __init__(self, program: Program, feeds: list[dict[str, Any]]) -> None:
        self.feeds = feeds
        self.float_outputs = [interpret(program, feed) for feed in feeds]
        self.seen: list[float] = []

    def loss(self, outputs: Outputs) -> float:
        """The noise itself is the loss."""
        pairs = list(zip(self.float_outputs, outputs, strict=True))
        noise = sum(float(np.sum((a["output"] - b["output"]) ** 2)) for a, b in pairs)
        return noise / sum(float(np.sum(a["output"] ** 2)) for a, _ in pairs)

    def drop(self, program: Program) -> float:
        self.seen.append(self.loss([interpret(program, feed) for feed in self.feeds]))
        return self.seen[-1]


def test_a_strict_drop_puts_a_few_layers_in_float_and_is_verified() -> None:
    program = residual_network()
    placement, feeds = place(program, ALL_INTEGER), samples(program, 16, seed=1)
    names = [n for n in int8_tensors(program, placement) if n not in program.constants]
    stats = observe(program, names, feeds, 16, lambda p, f, keep: interpret(p, f, keep=keep))

    def remake(where: Placement, bits: Mapping[str, int]) -> Quantized:
        plan = make_plan(program, where, stats, QuantizationOptions(weight_bits=bits))
        return Quantized(apply_plan(program, plan), program, plan, "mse")

    judge = Strict(program, feeds)
    plain = judge.drop(remake(placement, {}).program)
    limits = Limits(max_drop=plain / 4)
    found = choose_mixed(
        program, placement, remake, resolve_targets("litert"), limits, feeds, judge, Events()
    )
    floats = placement.integer - found.placement.integer
    assert 1 <= len(floats) < len(placement.integer)
    assert judge.drop(remake(found.placement, found.weight_bits).program) <= plain / 4
    assert found.choices["layers_float"] == len(floats) and not found.skipped
    reasons = [s.reason for s in found.placement.left_in_float]
    assert any("most harmful" in reason for reason in reasons)


def test_a_drop_that_cannot_be_kept_says_so() -> None:
    """A judge that nothing pleases: the best is delivered, with the reason."""
    program = residual_network()
    placement, feeds = place(program, ALL_INTEGER), samples(program, 4, seed=1)

    class Never(Strict):
        def drop(self, program: Program) -> float:
            return 1.0

    def remake(where: Placement, bits: Mapping[str, int]) -> Quantized:
        plan = plan_of(program) if where == placement else None
        if plan is None:
            names = [n for n in int8_tensors(program, where) if n not in program.constants]
            stats = observe(program, names, feeds, 4, lambda p, f, keep: interpret(p, f, keep=keep))
            plan = make_plan(program, where, stats, QuantizationOptions(weight_bits=bits))
        return Quantized(apply_plan(program, plan), program, plan, "mse")

    found = choose_mixed(
        program, placement, remake, resolve_targets("litert"), Limits(max_drop=1e-9), feeds,
        Never(program, feeds), Events(),
    )  # fmt: skip
    assert [s.name for s in found.skipped] == ["mixed precision"]
    assert "the best drops 1" in found.skipped[0].reason


def test_layers_and_what_they_hold() -> None:
    """The activation behind the stem is held by who writes it and by both who read it."""
    program = residual_network()
    placement, plan = place(program, ALL_INTEGER), plan_of(program)
    feeds = samples(program, 4, seed=1)
    found = measure_sensitivity(program, {8: plan}, feeds, interpret_node, keep_float=False)
    costs = costs_of(program, placement, found, 16)
    assert {layer.name for layer in costs.layers} == placement.integer
    shared = {border.name: border.holders for border in costs.borders}
    assert shared["stem"] == {"stem", "a0", "sum0"} and shared["x"] == {"stem"}


def test_float_layers_store_half_weights() -> None:
    """Only weights of products between float activations; integers stay as they are."""
    program = residual_network()
    mixed = apply_plan(program, plan_of(program, integer_ops=ALL_INTEGER - {"linear"}))
    halved = half_floats(mixed, resolve_targets("onnxruntime"))
    dtypes = {n.name: halved.type(n.inputs[1]).dtype for n in halved.nodes if n.op in ("linear", "conv2d")}
    assert dtypes["output"] == "float16" and set(dtypes.values()) == {"int8", "float16"}


def test_a_range_that_has_no_32_parts_has_no_histogram() -> None:
    dead = np.float32([0, 3e-45])  # activations of deep untrained networks shrink to the last denormal
    assert histogram(TensorStats.of(dead)) is None


def test_histogram_by_hand() -> None:
    """Values 0, 0, 0 and 31 in bins of width 31/32: heights log(4)/log(4) and log(2)/log(4)."""
    found = histogram(TensorStats.of(np.asarray([0, 0, 0, 31], np.float32)))
    assert found is not None and (found.low, found.high) == (0, 31)
    assert bytes.fromhex(found.bars) == bytes([255] + [0] * (BINS - 2) + [128])
    assert histogram(TensorStats.of(np.zeros(5, np.float32))) is None


def test_reached_by_hand() -> None:
    assert reached(Quantization.per_tensor(0.5, -128)) == (0.0, 127.5)
    assert reached(Quantization.per_tensor(0.001, 0), 16) == pytest.approx((-32.768, 32.767))


def test_costs_of_a_quantised_network() -> None:
    """Bytes by hand: the stem has 6x3x3x3 weights, 6 scales and 6 biases; shares of noise add up to one."""
    program = residual_network()
    plan, feeds = plan_of(program), samples(program, 4)
    stats = {name: TensorStats.of(np.linspace(0, 1, 50, dtype=np.float32)) for name in program.types}
    costs = quantized_costs(apply_plan(program, plan), program, plan, stats, feeds, Events())
    by_name = {cost.name: cost for cost in costs}
    assert next(iter(by_name)) == "x" and by_name["x"].op == "input"
    assert by_name["stem"].size_bytes == 6 * 27 + 4 * 12 and by_name["stem"].weight_bits == 8
    assert by_name["stem"].multiply_accumulates == 6 * 27 * 64
    assert by_name["sum0"].size_bytes == 0 and by_name["sum0"].activation_bits == 8
    assert sum(cost.noise_share or 0 for cost in costs) == pytest.approx(1)
    assert all(cost.histogram is not None for cost in costs)
    assert by_name["output"].activation_bits == 32 and "scores" in (by_name["output"].reason or "")


def test_the_record_has_the_costs_of_every_precision(pocketpress: Press, wide: Path) -> None:
    out = wide / "stored"
    argv = mixed(wide, "--target", "onnxruntime", "--out", out)
    done = pocketpress(*("fp16" if word == "mixed" else word for word in argv))
    assert done.code == 0, done.err
    costs = Record.read(out / "record.json").costs
    assert {cost.weight_bits for cost in costs} == {16} and costs[0].noise is None
    assert pocketpress("explain", out).out.count("w16") == len(costs)
