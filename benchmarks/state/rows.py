"""What is measured, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DecoderRow:
    """One step of the decoder in one runtime, beside the whole context computed anew.

    Attributes:
        target: runtime.
        precision: as typed.
        size_bytes: of the artifact of one step.
        whole_size_bytes: of the artifact without a cache.
        lower_s: seconds of lowering the step and asking the runtime what it executes.
        step_s: median latency of one step, its cache handed in and out.
        floor_s: of a call with the same cache that computes nothing, in the same process.
        whole_s: of the whole context, in the same process: what a token costs without a cache.
        ratio: whole over step, median of the rounds' ratios.
        ratio_ci95: bootstrap interval of it.
        error_first_db: signal over error against the float network in the first segment of steps.
        error_last_db: in the last one.
        grows: whether the error grows from step to step.
        accuracy: share of tokens that are predicted right, on texts that training never saw.
        drop_points: of it against the float network, in points.
        drop_ci95_points: Tango's interval of it.
        samples: tokens judged.
    """

    target: str
    precision: str
    size_bytes: int
    whole_size_bytes: int
    lower_s: float
    step_s: float
    floor_s: float
    whole_s: float
    ratio: float
    ratio_ci95: tuple[float, float] | None
    error_first_db: float | None
    error_last_db: float | None
    grows: bool | None
    accuracy: float | None
    drop_points: float | None
    drop_ci95_points: tuple[float, float] | None
    samples: int | None
