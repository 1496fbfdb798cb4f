"""Assignment: against brute force on tiny networks, and what must always hold."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketpress.compress.mixed.assign import Border, Costs, Layer, assign
from pocketpress.compress.mixed.budget import noise_budget
from pocketpress.core.errors import UserError

layers = st.lists(
    st.tuples(st.integers(1, 60), st.integers(1, 40), st.integers(0, 40), st.integers(1, 100)),
    min_size=1,
    max_size=6,
).map(
    lambda rows: tuple(
        Layer(f"l{i}", macs, 2 * weights, 1, {8: n / 100, 4: n / 100 + added / 10})
        for i, (weights, n, added, macs) in enumerate(rows)
    )
)


def chain(items: tuple[Layer, ...], noise: float = 0.5) -> Costs:
    """Layer after layer: the activation between two is held by both."""
    pairs = itertools.pairwise([*items, None])
    borders = [
        Border(f"t{i}", noise, 3, frozenset(x.name for x in pair if x is not None))
        for i, pair in enumerate(pairs)
    ]
    return Costs(items, tuple(borders))


def every(costs: Costs, *choices: int) -> list[Mapping[str, int]]:
    names = [layer.name for layer in costs.layers]
    return [dict(zip(names, bits, strict=True)) for bits in itertools.product(choices, repeat=len(names))]


@settings(max_examples=150, deadline=None)
@given(layers, st.integers(0, 300))
def test_a_size_is_met_with_the_least_noise(items: tuple[Layer, ...], size: int) -> None:
    costs = chain(items)
    fitting = [bits for bits in every(costs, 4, 8) if costs.size_bytes(bits) <= size]
    if not fitting:
        with pytest.raises(UserError, match="cannot be that small"):
            assign(costs, size_bytes=size)
        return
    found = assign(costs, size_bytes=size)
    assert found.size_bytes == costs.size_bytes(found.bits) <= size
    assert found.noise == pytest.approx(min(costs.noise(bits) for bits in fitting), abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(layers, st.floats(0, 30))
def test_a_noise_is_met_with_the_fewest_bytes(items: tuple[Layer, ...], noise: float) -> None:
    """No assignment of 4 and 8 bits with less noise has fewer bytes (equal noise may round either way)."""
    costs = chain(items)
    found = assign(costs, noise=noise)
    assert found.noise <= noise + 1e-9
    if found.floats:
        assert costs.noise(dict.fromkeys(found.bits, 8)) > noise
        return
    fitting = [costs.size_bytes(bits) for bits in every(costs, 4, 8) if costs.noise(bits) <= noise - 1e-9]
    assert found.size_bytes <= min(fitting, default=found.size_bytes)


@settings(max_examples=60, deadline=None)
@given(layers.filter(lambda items: len(items) <= 5), st.floats(0.01, 3))
def test_no_float_layer_can_go_back(items: tuple[Layer, ...], noise: float) -> None:
    """Greedy, so not always the fastest; but it meets the noise, and no layer alone is there for nothing."""
    costs = chain(items)
    found = assign(costs, noise=noise)
    if not found.floats:
        return
    assert found.noise <= noise and not found.coarse
    for name in found.floats:
        back = {**found.bits, name: 8}
        assert costs.noise(back) > noise or costs.time_macs(back) > costs.time_macs(found.bits)


def test_a_float_layer_goes_back_once_its_neighbour_has() -> None:
    """One pass leaves l0 in float: it may go back only after l1, which is tried later."""
    rows = [(1, 0.01, 1), (1, 0.23, 1), (1, 0.01, 58), (1, 0.01, 11), (1, 0.04, 12)]
    items = tuple(Layer(f"l{i}", m, 2 * w, 1, {8: n, 4: n}) for i, (w, n, m) in enumerate(rows))
    found = assign(chain(items), noise=2.0)
    assert found.floats == {"l3", "l4"}


def test_float_islands_are_contiguous_by_hand() -> None:
    """Four equal layers; freeing two activations needs two neighbours and the end, not two islands.

    All in int8: four weights of 0.1 and four activations of 1.  A noise of 2.5 needs two activations gone:
    the last (held by d alone) and that between c and d.
    """
    costs = chain(tuple(Layer(n, 100, 10, 1, {8: 0.1}) for n in "abcd"), noise=1.0)
    assert costs.noise(dict.fromkeys("abcd", 8)) == pytest.approx(4.4)
    found = assign(costs, noise=2.5)
    assert found.floats == {"c", "d"}
    assert found.noise == pytest.approx(2.2)
    assert costs.time_macs(found.bits) == 200 + 16 * 3


def test_both_promises_by_hand() -> None:
    """4 bits where they add little pay for the 16 bits of the layer that hurts."""
    items = (Layer("a", 10, 100, 0, {8: 5.0}), Layer("b", 10, 400, 0, {8: 0.1, 4: 0.2}))
    costs = Costs(items, ())
    found = assign(costs, noise=1.0, size_bytes=420)
    assert dict(found.bits) == {"a": 16, "b": 4}
    assert (found.size_bytes, found.noise) == (400, pytest.approx(0.2))


def test_sizes_by_hand() -> None:
    layer = Layer("a", 0, 9, 2)
    assert [layer.size_bytes(bits) for bits in (4, 8, 16, 32)] == [5 + 8, 9 + 8, 18, 36]


def test_noise_budget_finds_the_power_that_costs_the_drop() -> None:
    """The loss is the noise power itself, as a share of the signal of 4: a drop of 0.01 is at -20 dB."""
    outputs = [{"y": np.full(20_000, 2.0, np.float32)}]

    def loss(noisy: object) -> float:
        return float(np.mean((noisy[0]["y"] - 2.0) ** 2) / 4)  # type: ignore[index]

    assert noise_budget(outputs, loss, 0.01) == pytest.approx(0.01, rel=0.08)
    assert noise_budget(outputs, loss, 5.0) == 1.0
    assert noise_budget(outputs, loss, 0.0) == pytest.approx(1e-6, rel=0.1)
