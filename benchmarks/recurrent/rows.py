"""What is measured, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WholeRow:
    """The keyword network pressed to int8 for one runtime.

    Attributes:
        target: runtime.
        size_bytes: of the int8 artifact.
        float_size_bytes: of the float one.
        weight_bytes: one for every number of the network's matrices.
        size_limit_bytes: 1.3 times that, and 30 kB.
        lower_s: seconds of lowering the int8 program and asking the runtime what it executes.
        latency_s: median of one inference of 49 steps, None where it is not executed here.
        float_latency_s: of the float artifact, in the same process.
        speedup: of int8 over float, paired by rounds.
        speedup_ci95: bootstrap interval of it.
        equal: share of outputs that are the integer reference's.
        accuracy: share of test recordings whose digit is right.
        float_accuracy: of the float network.
        drop_points: of accuracy, in points.
        drop_ci95_points: Tango's interval of it.
        samples: test recordings.
    """

    target: str
    size_bytes: int
    float_size_bytes: int
    weight_bytes: int
    size_limit_bytes: int
    lower_s: float
    latency_s: float | None
    float_latency_s: float | None
    speedup: float | None
    speedup_ci95: tuple[float, float] | None
    equal: float | None
    accuracy: float | None
    float_accuracy: float | None
    drop_points: float | None
    drop_ci95_points: tuple[float, float] | None
    samples: int | None


@dataclass(frozen=True)
class StepRow:
    """One step of the same network with its states as inputs and outputs, beside the whole sequence.

    Attributes:
        target: runtime.
        precision: as typed.
        size_bytes: of the artifact of one step.
        step_s: median latency of one step.
        floor_s: of a call with the same inputs and outputs that computes nothing, in the same process.
        whole_s: of the whole sequence, in the same process.
        ratio: whole over step, median of the rounds' ratios.
        ratio_ci95: bootstrap interval of it.
    """

    target: str
    precision: str
    size_bytes: int
    step_s: float
    floor_s: float
    whole_s: float
    ratio: float
    ratio_ci95: tuple[float, float] | None


@dataclass(frozen=True)
class LongRow:
    """Scores after every step of ten recordings in a row, against the float PyTorch network.

    Attributes:
        target: runtime.
        precision: as typed.
        steps: of the sequence.
        size_bytes: of the artifact.
        error_first: root mean square error over that of the scores, in the first recording.
        error_last: in the last one.
    """

    target: str
    precision: str
    steps: int
    size_bytes: int
    error_first: float
    error_last: float
