"""Summaries of a comparison: medians, ratios and claims from known numbers."""

import numpy as np
import pytest
from benchmarks.agreement import Fidelity
from benchmarks.press_vs_peers import WHO, Production, Ratio, Runtime, Timing, ratio, summary, timing


def test_timing_joins_processes() -> None:
    found = timing([np.full((2, 2), 1.0), np.full((3, 2), 3.0)])
    assert found == Timing(3.0, 3.0, (1.0, 3.0))


def test_ratio_is_taken_within_each_process() -> None:
    ours = [np.full((2, 2), 1.0), np.full((2, 2), 10.0), np.full((2, 2), 3.0)]
    others = [np.full((2, 2), 2.0), np.full((2, 2), 20.0), np.full((2, 2), 3.0)]
    assert ratio(ours, others) == Ratio(0.5, (0.5, 0.5, 1.0))


def _runtime(**changed: float) -> Runtime:
    value = {"peer_ratio": 1.05, "float_ratio": 0.7, "size": 102, "ours_db": 20.0, "peer_db": 20.0} | changed
    sizes = dict.fromkeys(WHO, 100) | {"ours": int(value["size"])}
    fidelities = {who: Fidelity(value["peer_db"], 0.0, 1.0) for who in WHO}
    fidelities["ours"] = Fidelity(value["ours_db"], 0.0, 1.0)
    versus = {
        "peer": Ratio(value["peer_ratio"], ()),
        "float_ours": Ratio(0.5, ()),
        "float_stock": Ratio(value["float_ratio"], ()),
    }
    timings = {who: Timing(1.0, 1.0, (1.0,)) for who in WHO}
    return Runtime("litert", "a tool", sizes, fidelities, timings, versus, (0.0,))


def _productions(ours: float) -> list[Production]:
    peers = [Production(f"peer {n}", ("litert",), (n, n), (1, 1), (0, 0)) for n in (10.0, 20.0)]
    return [Production("pocketpress", ("litert",), (ours, ours), (1, 1), (0, 0)), *peers]


def test_everything_at_its_limit_is_met() -> None:
    found = summary(_productions(30.0), [_runtime()], {"ours": (), "peers": ()})
    assert found["production_over_peers"] == 1.0
    assert all(found["met"].values())
    assert len(found["met"]) == 5


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        ({"peer_ratio": 1.06}, "latency"),
        ({"float_ratio": 1.0}, "faster"),
        ({"size": 103}, "larger"),
        ({"ours_db": 19.9}, "SQNR"),
    ],
)
def test_one_broken_claim_is_said(change: dict[str, float], claim: str) -> None:
    met = summary(_productions(1.0), [_runtime(**change)], {"ours": (), "peers": ()})["met"]
    assert [text for text, held in met.items() if not held] == [t for t in met if claim in t]


def test_ours_is_held_against_the_best_peer_of_all_runtimes() -> None:
    runtimes = [_runtime(ours_db=20.0, peer_db=10.0), _runtime(ours_db=25.0, peer_db=21.0)]
    runtimes[1] = Runtime(**{**vars(runtimes[1]), "target": "executorch"})
    met = summary(_productions(1.0), runtimes, {"ours": (), "peers": ()})["met"]
    assert met["litert: SQNR at least the best peer's"] is False
    assert met["executorch: SQNR at least the best peer's"] is True


def test_a_slow_press_is_said() -> None:
    met = summary(_productions(30.1), [_runtime()], {"ours": (), "peers": ()})["met"]
    assert met["production at most the peers' together"] is False
