"""Heads: exact sums, by hand and against integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.networks import Net, plan_of, quantized, residual_network, samples

from pocketpress.compress.quantize.head import fits_exactly, power_of_two
from pocketpress.compress.quantize.plan import QuantizationOptions
from pocketpress.core.program.exact import exact_nodes, exact_outputs
from pocketpress.verify.parity import sqnr_db
from pocketpress.verify.reference import interpret


@pytest.mark.parametrize(
    ("scale", "power"), [(0.3, 0.5), (0.5, 0.5), (0.51, 1.0), (3.0, 4.0), (2.0**-9, 2.0**-9)]
)
def test_power_of_two_covers(scale: float, power: float) -> None:
    assert power_of_two(scale) == power


def test_the_exact_range() -> None:
    """255 * 127 * 518 = 16,775,430 is below 2^24 = 16,777,216; one more input is not."""
    assert fits_exactly(np.full((2, 518), 127, np.int8), None)
    assert not fits_exactly(np.full((2, 519), 127, np.int8), None)
    assert not fits_exactly(np.full((2, 518), 127, np.int8), np.array([0, 1786], np.int32))


def test_the_head_writes_the_integer_sum_times_the_scales() -> None:
    program = residual_network()
    plan, small = plan_of(program), quantized(program)
    assert plan.heads == {"output"} and exact_outputs(small) == {"output"} and len(exact_nodes(small)) == 2
    product = small.producers()[small.producers()["output"].inputs[0]]
    source = small.producers()[product.inputs[0]].inputs[0]
    step = plan.activations[program.producers()["output"].inputs[0]].step
    assert np.log2(float(step)) % 1 == 0
    feed = samples(program, 1)[0]
    got = interpret(small, feed, keep=["output", source])
    weight = small.constants[product.inputs[1]].astype(np.int64)
    integers = (
        got[source].astype(np.int64) - plan.activations[program.producers()["output"].inputs[0]].zero_point
    )
    bias = np.rint(small.constants[product.inputs[2]].astype(np.float64) / float(step)).astype(np.int64)
    sums = integers @ weight.T + bias
    expected = (sums * float(step)).astype(np.float32) * plan.weights["output"].scales()
    assert np.array_equal(got["output"], expected)


def test_a_head_errs_less_than_rounded_scores() -> None:
    program = residual_network()
    feeds = samples(program, 16)
    truth = np.concatenate([interpret(program, f)["output"] for f in feeds])
    found = []
    for heads in (True, False):
        small = quantized(program, QuantizationOptions(real_heads=heads), count=16)
        found.append(sqnr_db(truth, truth - np.concatenate([interpret(small, f)["output"] for f in feeds])))
    assert found[0] > found[1]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 400), st.integers(0, 10_000))
def test_float32_sums_are_exact_in_any_order(inputs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-127, 128, inputs).astype(np.int8)
    x = rng.integers(-255, 256, inputs)
    order = rng.permutation(inputs)
    products = (x * weight).astype(np.float32) * np.float32(2.0**-7)
    assert float(np.add.reduce(products[order])) == float((x * weight.astype(np.int64)).sum()) * 2.0**-7


def test_no_head_with_a_second_reader_or_a_clamp() -> None:
    net = Net()
    x = net.conv(net.input(1, 3, 8, 8), 8, 3)
    flat = net.op("mean", x, axes=(2, 3), keepdims=False)
    first = net.linear(flat, 6, name="first")
    program = net.build(net.linear(first, 4, name="output"))
    assert plan_of(program).heads <= {"output"}
