"""What a root, a logarithm or a quotient reads stays in float, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
from tests.reference.networks import ALL_INTEGER, Net, quantized, samples

from pocketpress.compress.quantize.place import place
from pocketpress.compress.quantize.relative import REASON, SPECTRUM, relative_nodes
from pocketpress.core.program import Program
from pocketpress.verify.reference import interpret


def power_mean(root: str, *, shared: bool = False) -> Program:
    """A layer, the mean of its squares, a root of that, and the layer divided by it."""
    net = Net()
    x = net.linear(net.input(1, 6), 6, name="x")
    square = net.op("mul", x, x, name="square")
    mean = net.op("mean", square, name="mean", axes=(1,), keepdims=True)
    safe = net.op("add", mean, net.constant([1e-6]), name="safe")
    found = net.op("mul", x, net.op(root, safe, name="root"), name="y")
    return net.build(found, *([net.linear(square, 2)] if shared else []))


@pytest.mark.parametrize("root", ["rsqrt", "sqrt", "log"])
def test_squares_and_means_that_only_a_root_reads(root: str) -> None:
    assert relative_nodes(power_mean(root)).keys() == {"square", "mean", "safe"}  # others read x
    assert relative_nodes(power_mean(root, shared=True)).keys() == {"mean", "safe"}


def test_a_denominator_counts_and_a_numerator_does_not() -> None:
    net = Net()
    x = net.input(1, 4)
    top, below = (net.op("add", net.linear(x, 4), net.constant([1.0]), name=n) for n in ("top", "below"))
    assert relative_nodes(net.build(net.op("div", top, below))) == {"below": REASON}


@pytest.mark.parametrize(("exponent", "names"), [(1 / 3, {"mean"}), (3.0, set())])
def test_a_power_below_one_is_a_root(exponent: float, names: set[str]) -> None:
    net = Net()
    mean = net.op("mean", net.linear(net.input(1, 4), 4), name="mean", axes=(1,), keepdims=True)
    assert relative_nodes(net.build(net.op("pow", mean, exponent=exponent))).keys() == names


def test_a_sigmoid_before_a_logarithm_stays_and_its_layer_does_not() -> None:
    net = Net()
    x = net.op("add", net.linear(net.input(1, 4), 4, name="layer"), net.constant([1.0]), name="sum")
    assert relative_nodes(net.build(net.op("log", net.op("sigmoid", x, name="s")))) == {"s": REASON}


def spectrum(*, rectified: bool = False) -> Program:
    """log(mel @ (re^2 + im^2) + eps) of a transform, and a layer behind it."""
    net = Net(1)
    x = net.linear(net.input(1, 32), 32, name="transform")
    if rectified:
        x = net.op("clamp", x, name="relu", low=0.0, high=None)
    square = net.op("mul", x, x, name="square")
    weight = np.abs(net.rng.normal(0, 1, (8, 32))) * (net.rng.random((8, 32)) < 0.1)
    mel = net.op("linear", square, net.constant(weight, "mel_weight"), name="mel")
    log = net.op("log", net.op("add", mel, net.constant([1e-8]), name="safe"), name="log")
    return net.build(net.linear(log, 3, name="out"))


def test_a_power_spectrum_stays_in_float_up_to_its_transform() -> None:
    found = relative_nodes(spectrum())
    assert found == dict.fromkeys(["safe", "mel", "square", "transform"], SPECTRUM)
    assert "transform" not in relative_nodes(spectrum(rectified=True))
    program = spectrum()
    assert place(program, ALL_INTEGER).integer == {"out"}


def test_small_powers_survive_eight_bits() -> None:
    """Frames of very different loudness: in 8 bits the powers of quiet ones were 0, their logarithms -18."""
    program = spectrum()
    loudness = 10 ** np.linspace(-3, 1, 24)
    feeds = [{"x": f["x"] * np.float32(s)} for f, s in zip(samples(program, 24), loudness, strict=True)]
    inside = quantized(program, feeds=feeds)
    (name,) = program.outputs
    real = np.stack([interpret(program, f)[name] for f in feeds])
    found = np.stack([interpret(inside, f)[name] for f in feeds])  # a head: real numbers
    assert 10 * np.log10((real**2).sum() / ((real - found) ** 2).sum()) > 35
