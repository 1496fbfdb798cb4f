"""Promises on a device, kept and broken, by one-line edits of an entry that passes."""

from __future__ import annotations

from typing import Any

import pytest

from pocketpress.core.record import DeviceEntry, Latency, Limits, Parity
from pocketpress.measure.device_verdict import judged_on_device

LATENCY = Latency(
    median=0.002, p90=0.003, float_median=0.006, speedup=3.0, speedup_ci95=(2.8, 3.2), threads=1, runs=80
)
PARITY = Parity(samples=10, elements=100, equal=1.0, within_1_lsb=1.0, max_lsb=0, vacuous=False)
GOOD = DeviceEntry(name="ssh:pi", kind="ssh", parity=PARITY, latency_s=LATENCY, verdict="pass")


@pytest.mark.parametrize(
    ("change", "limits", "verdict", "reason"),
    [
        ({}, {}, "pass", None),
        ({}, {"max_drop": 0.0, "max_size_bytes": 1}, "pass", None),
        ({}, {"max_latency_s": 0.001}, "fail", "median latency 2 ms is over the limit of 1 ms"),
        ({"latency_s": None}, {"max_latency_s": 1}, "fail", "the latency limit could not be checked"),
        ({"parity": PARITY.model_copy(update={"equal": 0.5})}, {}, "fail", "50.0% of the outputs equal"),
        (
            {"parity": PARITY.model_copy(update={"vacuous": True})},
            {},
            "vacuous",
            "hardly depend on the input",
        ),
        ({"parity": None}, {}, "pass", "agreement with the reference was not measured"),
        (
            {"latency_s": LATENCY.model_copy(update={"speedup": 0.5, "speedup_ci95": (0.4, 0.6)})},
            {},
            "fail",
            "slower than the float artifact",
        ),
    ],
)
def test_promises(change: dict[str, Any], limits: dict[str, Any], verdict: str, reason: str | None) -> None:
    found = judged_on_device(GOOD.model_copy(update=change), Limits(**limits))
    assert found.verdict == verdict
    assert reason is None or any(reason in text for text in found.reasons), found.reasons


def test_an_emulated_device_is_not_held_to_a_latency() -> None:
    emulated = GOOD.model_copy(update={"latency_s": None})
    assert judged_on_device(emulated, Limits(max_latency_s=1e-9), timed=False).verdict == "pass"


def test_what_was_skipped_stays_so() -> None:
    skipped = GOOD.model_copy(update={"verdict": "skipped", "reasons": ("no runtime there",), "parity": None})
    assert judged_on_device(skipped, Limits(max_latency_s=1e-9)) == skipped
