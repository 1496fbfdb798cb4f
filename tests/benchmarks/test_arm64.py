"""What was measured of the emulated device keeps its bars."""

from __future__ import annotations

import json
from pathlib import Path

from pocketpress.devices.arm64.device import PROCESSORS

RESULT = json.loads((Path(__file__).parents[2] / "results/arm64.json").read_text())


def test_set_up_takes_five_minutes_at_most() -> None:
    assert 10 < RESULT["set_up_s"] <= 300, "and it was a real one"
    assert RESULT["disk_bytes"] < 500e6


def test_parity_in_three_runtimes_takes_three_minutes_at_most() -> None:
    assert set(RESULT["parity_s"]) == set(PROCESSORS)
    assert max(RESULT["parity_s"].values()) <= 180


def test_every_integer_is_equal_on_every_processor() -> None:
    seen = {(a["processor"], a["runtime"].split()[0]) for a in RESULT["agreements"]}
    runtimes = ("ai-edge-litert", "executorch", "onnxruntime")
    assert seen == {(processor, runtime) for processor in PROCESSORS for runtime in runtimes}
    for agreement in RESULT["agreements"]:
        assert agreement["equal"] == 1.0 and agreement["max_lsb"] == 0, agreement
        assert agreement["vacuous"] is False and agreement["elements"] >= 1000


def test_the_check_finds_differences_where_there_are_some() -> None:
    shares = {stock["tool"]: stock["max_share_of_range"] for stock in RESULT["stock"]}
    assert len(shares) == 3 and max(shares.values()) > 0.01
