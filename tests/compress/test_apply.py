"""The int8 program that a plan makes."""

from __future__ import annotations

import numpy as np
from tests.reference.networks import Net, plan_of, quantized, residual_network, samples

from pocketpress.compress.quantize.apply import apply_plan
from pocketpress.compress.quantize.plan import QuantizationPlan
from pocketpress.core.program import Quantization, check_program
from pocketpress.verify.parity import sqnr_db
from pocketpress.verify.reference import interpret

PIXELS = Quantization.per_tensor(1.0, 0)


def test_borders_are_float_and_everything_between_is_integer() -> None:
    program = residual_network()
    small = quantized(program)
    check_program(small)
    assert small.inputs == program.inputs and small.outputs == program.outputs
    assert small.type("x").dtype == "float32" and small.type("output").dtype == "float32"
    ops = [n.op for n in small.nodes]
    assert ops[0] == "quantize" and ops[-3:] == ["dequantize", "linear", "mul"] and ops.count("quantize") == 1
    assert all(small.type(n.outputs[0]).dtype == "int8" for n in small.nodes[:-3])


def test_the_int8_network_is_close_to_the_float_network() -> None:
    program = residual_network()
    small = quantized(program, count=16)
    feeds = samples(program, 16)
    truth = np.concatenate([interpret(program, f)["output"] for f in feeds])
    got = np.concatenate([interpret(small, f)["output"] for f in feeds])
    assert sqnr_db(truth, truth - got) > 25


def test_weights_are_the_planned_integers() -> None:
    program = residual_network()
    plan = plan_of(program)
    small = apply_plan(program, plan)
    weight = small.constants["stem_weight"]
    assert weight.dtype == np.int8 and int(np.abs(weight).max()) <= 127
    assert small.type("stem_weight").quant == plan.weights["stem"]
    assert small.constants["stem_bias"].dtype == np.int32


def test_a_float_island_is_dequantised_and_quantised_again() -> None:
    net = Net()
    x = net.conv(net.input(1, 2, 4, 4), 2, name="a")
    y = net.op("gelu", x, name="g", approximate="none")
    small = quantized(net.build(net.conv(y, 2, name="y")))
    assert [n.op for n in small.nodes] == [
        "quantize", "conv2d", "dequantize", "gelu", "quantize", "conv2d", "dequantize",
    ]  # fmt: skip


def test_several_outputs_one_of_them_read_further() -> None:
    net = Net()
    x = net.conv(net.input(1, 2, 4, 4), 2, name="features")
    y = net.op("softmax", net.linear(net.op("reshape", x, shape=(1, 32)), 3), name="share", axis=1)
    program = net.build(x, y)
    small = quantized(program)
    assert small.outputs == ("features", "share")
    feeds = samples(program, 1)[0]
    wanted, got = interpret(program, feeds), interpret(small, feeds)
    for name in small.outputs:
        assert got[name].dtype == np.float32
        assert np.abs(got[name] - wanted[name]).max() < 0.1 * max(1, np.abs(wanted[name]).max())


def test_an_output_that_is_an_input() -> None:
    net = Net()
    x = net.input(1, 2, 4, 4)
    small = quantized(net.build(net.conv(x, 2, name="y"), x))
    feeds = samples(small, 1)[0]
    np.testing.assert_array_equal(interpret(small, feeds)["x"], feeds["x"])


def test_a_raw_input_takes_pixels() -> None:
    net = Net()
    program = net.build(net.conv(net.input(1, 3, 4, 4), 2, name="y"))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 4, 4))
    feeds = [{"x": pixels.astype(np.float32)}]
    plan = plan_of(program, fixed={"x": Quantization.per_tensor(1.0, -128)}, feeds=feeds)
    small = apply_plan(program, plan, {"x": PIXELS})
    assert small.type("x").dtype == "uint8"
    got = interpret(small, {"x": pixels.astype(np.uint8)})["y"]
    wanted = interpret(program, feeds[0])["y"]
    assert sqnr_db(wanted, wanted - got) > 30


def test_an_empty_plan_with_a_raw_input_is_the_float_network_on_pixels() -> None:
    net = Net()
    program = net.build(net.conv(net.input(1, 3, 4, 4), 2, name="y"))
    raw = apply_plan(program, QuantizationPlan(frozenset(), {}, {}, {}, ()), {"x": PIXELS})
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 4, 4))
    np.testing.assert_array_equal(
        interpret(raw, {"x": pixels.astype(np.uint8)})["y"],
        interpret(program, {"x": pixels.astype(np.float32)})["y"],
    )


def test_a_constant_operand_of_a_sum_is_quantised_once() -> None:
    net = Net()
    x = net.conv(net.input(1, 2, 4, 4), 2, name="a")
    program = net.build(net.op("add", x, net.constant(np.linspace(-1, 1, 16).reshape(1, 1, 4, 4)), name="y"))
    small = quantized(program)
    stored = [v for n, v in small.constants.items() if n.startswith("c") and v.dtype == np.int8]
    assert len(stored) == 1 and stored[0].shape == (1, 1, 4, 4)
    feeds = samples(program, 1)[0]
    wanted = interpret(program, feeds)["y"]
    assert sqnr_db(wanted, wanted - interpret(small, feeds)["y"]) > 25
