"""Every promise, kept and broken, by one-line edits of a target that passes."""

from __future__ import annotations

from typing import Any

import pytest

from pocketpress.core.record import (
    Drift,
    FirstDifference,
    Latency,
    Limits,
    Metric,
    Parity,
    Segment,
    TargetEntry,
)
from pocketpress.measure.verdict import judge, judged

LATENCY = Latency(
    median=0.002, p90=0.003, float_median=0.006, speedup=3.0, speedup_ci95=(2.8, 3.2), threads=1, runs=80
)
PARITY = Parity(samples=10, elements=100, equal=1.0, within_1_lsb=1.0, max_lsb=0, vacuous=False)
METRIC = Metric(
    name="top1",
    value=0.88,
    float_value=0.883,
    drop=0.003,
    drop_ci95=(-0.004, 0.010),
    samples=900,
    unit="share",
)
GOOD = TargetEntry(
    name="litert",
    executed=True,
    size_bytes=1_000_000,
    float_size_bytes=4_000_000,
    metric=METRIC,
    latency_s=LATENCY,
    parity=PARITY,
    verdict="pass",
)
LIMITS = Limits(max_drop=0.02, max_size_bytes=2_000_000, max_latency_s=0.01)


def but(**changes: Any) -> TargetEntry:
    return GOOD.model_copy(update=changes)


def slow(speedup: float, interval: tuple[float, float] | None) -> TargetEntry:
    changes = {"speedup": speedup, "speedup_ci95": interval, "float_median": 0.002 * speedup}
    return but(latency_s=LATENCY.model_copy(update=changes))


def test_a_few_per_cent_that_a_busy_machine_makes_are_a_remark() -> None:
    undecided = judge(slow(0.95, (0.9, 1.01)), Limits())
    assert undecided.verdict == "pass" and undecided.reasons[0].endswith("quieter machine to tell")
    assert judge(slow(0.95, (0.93, 0.97)), Limits()).verdict == "fail"


def test_a_precision_that_is_only_stored_promises_size_not_speed() -> None:
    slower = slow(0.7, (0.68, 0.72))
    assert judge(slower, Limits()).verdict == "fail"
    found = judge(slower.model_copy(update={"stored_only": True}), Limits())
    assert found.verdict == "pass" and "makes the file smaller, not faster" in found.reasons[0]


def test_everything_kept_passes_without_remarks() -> None:
    assert judge(GOOD, LIMITS).verdict == "pass"
    assert judge(GOOD, LIMITS).reasons == ()


@pytest.mark.parametrize(
    ("target", "limits", "reason"),
    [
        (GOOD, Limits(max_size_bytes=999_999), "size 1.00 MB is over the limit of 1.00 MB"),
        (
            but(size_bytes=5_000_000),
            Limits(),
            "size 5.00 MB is larger than the float artifact's 4.00 MB",
        ),
        (GOOD, Limits(max_latency_s=0.001), "median latency 2 ms is over the limit of 1 ms"),
        (
            slow(0.8, (0.7, 0.9)),
            Limits(),
            "slower than the float artifact: 2 ms against 1.6 ms, speed-up 0.80, between 0.70 and 0.90",
        ),
        (
            slow(0.85, (0.7, 1.1)),
            Limits(),
            "slower than the float artifact: 2 ms against 1.7 ms, speed-up 0.85, between 0.70 and 1.10 "
            "(which leaves open that it is as fast)",
        ),
        (
            but(parity=PARITY.model_copy(update={"equal": 0.98996})),
            Limits(),
            "99.0% of the outputs equal the reference, at least 99.0% must",
        ),
        (
            but(parity=PARITY.model_copy(update={"equal": 0.99999})),
            Limits(min_equal=1.0),
            "99.9990% of the outputs equal the reference, at least 100% must",
        ),
        (
            but(parity=PARITY.model_copy(update={"max_lsb": 3})),
            Limits(max_lsb=1),
            "an output differs from the reference by 3 steps, at most 1 may",
        ),
        (
            but(
                parity=Parity(
                    samples=1,
                    elements=1,
                    max_abs=0.02,
                    tolerance=0.001,
                    first_difference=FirstDifference(tensor="add_3", op="add", source="net.py:7"),
                )
            ),
            Limits(),
            "differs from the reference by 0.02, tolerance 0.001; first at add add_3 (net.py:7)",
        ),
        (
            but(parity=PARITY.model_copy(update={"tolerance": 1e-4, "max_abs": 0.5})),
            Limits(),
            "differs from the reference by 0.5, tolerance 0.0001",
        ),
        (
            but(parity=Parity(samples=1, elements=1)),
            Limits(),
            "agreement with the reference was measured, but neither in steps nor with a tolerance",
        ),
        (
            GOOD,
            Limits(max_drop=0.0029),
            "top1 drops by 0.300 points, over the limit of 0.290 points (95 % interval -0.4 to 1.0 points, "
            "which includes the limit)",
        ),
        (
            but(metric=METRIC.model_copy(update={"drop": 0.03, "drop_ci95": (0.021, 0.04)})),
            Limits(max_drop=0.02),
            "top1 drops by 3.0 points, over the limit of 2.0 points (95 % interval 2.1 to 4.0 points, "
            "beyond the limit)",
        ),
        (but(metric=None), LIMITS, "the drop limit could not be checked: no metric was measured"),
        (but(latency_s=None), LIMITS, "the latency limit could not be checked: latency was not measured"),
        (but(size_bytes=None), LIMITS, "the size limit could not be checked: the size was not measured"),
    ],
)
def test_a_broken_promise_fails_with_its_reason(target: TargetEntry, limits: Limits, reason: str) -> None:
    judgement = judge(target, limits)
    assert judgement.verdict == "fail"
    assert judgement.reasons[0] == reason


@pytest.mark.parametrize(
    ("target", "limits", "option"),
    [
        (slow(0.8, (0.7, 0.9)), Limits(allow_slower=True), "allowed by --allow-slower"),
        (but(size_bytes=5_000_000), Limits(allow_larger=True), "allowed by --allow-larger"),
        (
            but(parity=PARITY.model_copy(update={"equal": 0.1})),
            Limits(allow_difference=True),
            "allowed by --allow-difference",
        ),
        (
            but(parity=PARITY.model_copy(update={"vacuous": True})),
            Limits(allow_vacuous=True),
            "allowed by --allow-vacuous",
        ),
    ],
)
def test_an_allowed_break_passes_and_is_still_said(target: TargetEntry, limits: Limits, option: str) -> None:
    judgement = judge(target, limits)
    assert judgement.verdict == "pass"
    assert len(judgement.reasons) == 1 and judgement.reasons[0].endswith(option)


def test_allowing_one_break_does_not_allow_another() -> None:
    target = slow(0.8, (0.7, 0.9)).model_copy(update={"size_bytes": 5_000_000})
    judgement = judge(target, Limits(allow_slower=True))
    assert judgement.verdict == "fail"
    assert judgement.reasons[0].startswith("size") and judgement.reasons[1].endswith("--allow-slower")


def test_a_speed_within_what_memory_layout_makes_passes_with_a_remark() -> None:
    judgement = judge(slow(0.99, (0.985, 0.995)), Limits())
    assert judgement.verdict == "pass"
    assert judgement.reasons[0].endswith("within the 2% that memory layout alone makes")


def test_a_kept_limit_that_the_samples_leave_open_is_said() -> None:
    judgement = judge(GOOD, Limits(max_drop=0.005))
    assert judgement.verdict == "pass"
    assert judgement.reasons == (
        "top1 drop of 0.3 points keeps the limit of 0.5 points, but its interval reaches 1.0 points: "
        "900 samples leave it open",
    )


def test_outputs_that_do_not_depend_on_the_input_are_vacuous_and_failure_is_worse() -> None:
    vacuous = but(parity=PARITY.model_copy(update={"vacuous": True}))
    assert judge(vacuous, LIMITS).verdict == "vacuous"
    broken = judge(vacuous, Limits(max_size_bytes=1))
    assert broken.verdict == "fail" and len(broken.reasons) == 2


def test_what_was_not_executed_is_not_passed_and_can_still_be_too_large() -> None:
    converted = TargetEntry(name="coreml", executed=False, size_bytes=1_000_000, verdict="pass")
    assert judge(converted, LIMITS).verdict == "not executed here"
    assert judge(converted, Limits(max_size_bytes=10)).verdict == "fail"


def test_a_skipped_target_keeps_its_reasons() -> None:
    entry = TargetEntry(name="coreml", verdict="skipped", reasons=("no operator gelu",))
    assert judged(entry, LIMITS) == entry


def test_unmeasured_agreement_is_said() -> None:
    assert judge(but(parity=None), LIMITS).reasons == ("agreement with the reference was not measured",)


def with_drift(first: float, last: float, growth: float | None, *, grows: bool = False) -> TargetEntry:
    segments = (
        Segment(first=0, last=7, sqnr_float_db=first, sqnr_reference_db=float("inf")),
        Segment(first=8, last=15, sqnr_float_db=last, sqnr_reference_db=float("inf")),
    )
    drift = Drift(sequences=3, steps=16, segments=segments, growth_db=growth, grows=grows)
    return GOOD.model_copy(update={"drift": drift})


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            with_drift(33.24, 31.66, 0.9),
            "over 16 steps 33.2 dB from the float network's outputs at first, 31.7 dB at the end: "
            "the error does not grow",
        ),
        (
            with_drift(33.2, 20.0, 6.25, grows=True),
            "over 16 steps 33.2 dB from the float network's outputs at first, 20.0 dB at the end: "
            "the error grows, by 6.2 dB from the second quarter of the steps to the last",
        ),
        (
            with_drift(float("inf"), 20.0, None),
            "over 16 steps no error from the float network's outputs at first, 20.0 dB at the end: "
            "too few steps to tell whether the error grows",
        ),
    ],
)
def test_how_an_error_develops_is_said_and_breaks_no_promise(entry: TargetEntry, said: str) -> None:
    before, after = judge(GOOD, Limits()), judge(entry, Limits())
    assert after.verdict == before.verdict == "pass"
    assert after.reasons == (*before.reasons, said)


@pytest.mark.parametrize(("reached", "verdict"), [(22.0, "pass"), (12.0, "fail")])
def test_float_layers_between_integers_may_move_them_but_not_away_from_the_float_network(
    reached: float, verdict: str
) -> None:
    alone = FirstDifference(tensor="none alone", op="none")
    parity = PARITY.model_copy(
        update={
            "equal": 0.95, "max_lsb": 9, "sqnr_float_db": reached, "required_sqnr_db": 18.0,
            "first_difference": alone,
        }
    )  # fmt: skip
    found = judge(but(parity=parity), Limits())
    assert found.verdict == verdict
    assert ("95.0% of the outputs equal" in found.reasons[0]) is (verdict == "pass")
    strict = parity.model_copy(update={"required_sqnr_db": None})
    assert judge(but(parity=strict), Limits()).verdict == "fail"
