"""Which channels go: small networks counted by hand, then properties."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketpress.compress.prune.macs import LayerCost, NetworkCost
from pocketpress.compress.prune.plan import Member, Unit, candidate_plans, make_plan
from pocketpress.core.errors import UserError

# conv a: 3 -> 8 channels, 24 weights at 10 places; conv b: 8 -> 4 channels, 32 weights at 10 places
COST = NetworkCost({"a": LayerCost(240, 3, 8), "b": LayerCost(320, 8, 4)})
UNIT = Unit("a", 8, (Member("a", "out"), Member("b", "in")))
SCORES = {"a": np.array([8.0, 1, 7, 2, 6, 3, 5, 4])}


def test_half_of_the_channels_is_half_of_the_work() -> None:
    plan = make_plan([UNIT], SCORES, COST, 280, align=4)
    assert plan.removed == {"a": (1, 3, 5, 7)}
    assert (plan.before, plan.after, plan.align) == (560, 280, 4)
    assert plan.ratio == 2


def test_single_channels_stop_at_the_target() -> None:
    """Each channel of the unit costs 30 + 40 multiply-accumulates; 420 is two channels fewer."""
    plan = make_plan([UNIT], SCORES, COST, 420, align=1)
    assert plan.removed == {"a": (1, 3)} and plan.after == 420
    assert make_plan([UNIT], SCORES, COST, 419, align=1).removed == {"a": (1, 3, 5)}


def test_the_cheapest_loss_per_saving_goes_first() -> None:
    """Both channels score alike; those of `wide` save ten times as much."""
    cost = NetworkCost({"wide": LayerCost(4000, 1, 4), "thin": LayerCost(400, 1, 4)})
    units = [Unit("wide", 4, (Member("wide", "out"),)), Unit("thin", 4, (Member("thin", "out"),))]
    scores = {"wide": np.full(4, 1.0), "thin": np.full(4, 0.9)}
    assert set(make_plan(units, scores, cost, 3400, align=1, per_mac=True).removed) == {"wide"}
    assert set(make_plan(units, scores, cost, 4300, align=1).removed) == {"thin"}


def test_a_block_that_turned_out_superfluous_comes_back() -> None:
    """The thin block goes first; the wide one then meets the target alone, and the thin one returns."""
    cost = NetworkCost({"wide": LayerCost(4000, 1, 4), "thin": LayerCost(400, 1, 4)})
    units = [Unit("wide", 4, (Member("wide", "out"),)), Unit("thin", 4, (Member("thin", "out"),))]
    scores = {"wide": np.full(4, 1.0), "thin": np.full(4, 0.9)}
    plan = make_plan(units, scores, cost, 3400, align=1)
    assert set(plan.removed) == {"wide"} and plan.after == 3400


def test_depthwise_layers_count_once_and_repeated_inputs_as_often_as_they_occur() -> None:
    cost = NetworkCost({"d": LayerCost(90, 4, 4, depthwise=True), "head": LayerCost(160, 16, 10)}, fixed=7)
    unit = Unit("d", 4, (Member("d", "in"), Member("d", "out"), Member("head", "in", 4)))
    plan = make_plan([unit], {"d": np.arange(4.0)}, cost, 150, align=2)
    assert plan.before == 257 and plan.after == 7 + 45 + 80
    assert plan.removed == {"d": (0, 1)}


def test_out_of_reach_says_what_is_reachable() -> None:
    with pytest.raises(UserError, match=r"got 56x fewer.*at most 2\.00x.*ask for less"):
        make_plan([UNIT], SCORES, COST, 10, align=4)


def test_nothing_to_prune() -> None:
    with pytest.raises(UserError, match="no channels to prune; press it without --prune"):
        make_plan([], {}, COST, 10)


def test_few_channels_are_pruned_by_four_and_many_by_eight() -> None:
    wide = Unit("a", 64, (Member("a", "out"),))
    cost = NetworkCost({"a": LayerCost(6400, 1, 64)})
    assert make_plan([wide], {"a": np.arange(64.0)}, cost, 3200).align == 8
    assert make_plan([UNIT], SCORES, COST, 280).align == 4


def test_a_finer_alignment_when_the_coarse_one_misses() -> None:
    """Three quarters of 8 channels cannot be had in blocks of four."""
    assert make_plan([UNIT], SCORES, COST, 420).align == 2


def test_candidates_are_the_same_amount_in_coarse_and_fine_blocks() -> None:
    """64 channels of 100 each, half wanted: 32, in blocks of 16, 8 or 4; these three remove the same ones."""
    wide = Unit("a", 64, (Member("a", "out"),))
    cost = NetworkCost({"a": LayerCost(6400, 1, 64)})
    (only,) = candidate_plans([wide], {"a": np.arange(64.0)}, cost, 3200)
    assert only.align == 16 and only.removed == {"a": tuple(range(32))}


def test_candidates_that_land_far_below_the_target_are_left_out() -> None:
    """40 of 64 wanted: 32 is 20 % below it, too far for blocks of 16; 40 is a multiple of 8."""
    wide = Unit("a", 64, (Member("a", "out"),))
    cost = NetworkCost({"a": LayerCost(6400, 1, 64)})
    plans = candidate_plans([wide], {"a": np.arange(64.0)}, cost, 4000)
    assert [(plan.align, plan.after) for plan in plans] == [(8, 4000)]
    assert candidate_plans([], {}, cost, 4000) == ()


def test_a_unit_narrower_than_two_multiples_has_half_of_one() -> None:
    """Blocks of 16 cannot be taken from 16 channels without taking them all: it gives 8."""
    units = [Unit(name, width, (Member(name, "out"),)) for name, width in (("a", 16), ("b", 64))]
    cost = NetworkCost({"a": LayerCost(1600, 1, 16), "b": LayerCost(1600, 1, 64)})
    scores = {"a": np.full(16, 0.5), "b": np.full(64, 1.0)}
    (plan, *_) = candidate_plans(units, scores, cost, 2400)
    assert plan.align == 16 and {n: len(c) for n, c in plan.removed.items()} == {"a": 8}
    assert make_plan(units, scores, cost, 2400, align=16, halved=True) == plan
    assert set(make_plan(units, scores, cost, 2400, align=16).removed) == {"b"}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(2, 40), min_size=1, max_size=4),
    st.floats(0.3, 0.99),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(0, 1000),
)
def test_a_plan_keeps_its_promises(widths: list[int], share: float, align: int, seed: int) -> None:
    """A chain of layers: the target holds, widths are multiples, the least important channels went."""
    rng = np.random.default_rng(seed)
    layers, units, scores = {}, [], {}
    before = 3
    for i, width in enumerate([*widths, 5]):
        layers[f"l{i}"] = LayerCost(before * width * 9, before, width)
        if i < len(widths):
            units.append(Unit(f"l{i}", width, (Member(f"l{i}", "out"), Member(f"l{i + 1}", "in"))))
            scores[f"l{i}"] = rng.random(width)
        before = width
    cost = NetworkCost(layers)
    try:
        plan = make_plan(units, scores, cost, cost.macs * share, align=align)
    except UserError as error:
        assert "at most" in str(error)
        return
    kept = [w - len(plan.removed.get(f"l{i}", ())) for i, w in enumerate(widths)]
    chain = [3, *kept, 5]
    assert plan.after == sum(a * b * 9 for a, b in pairwise(chain)) <= cost.macs * share
    for i, (width, left) in enumerate(zip(widths, kept, strict=True)):
        assert left == width or (left % align == 0 and left >= width / 8)
        gone = plan.removed.get(f"l{i}", ())
        if gone:
            values = scores[f"l{i}"]
            assert max(values[list(gone)]) <= min(np.delete(values, list(gone)))
