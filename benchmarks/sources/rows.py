"""What is measured, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceRow:
    """An artifact pressed from one kind of file, beside the one pressed from the PyTorch network.

    Attributes:
        source: "pytorch", "onnx", "tflite" or "keras".
        target: runtime.
        precision: as typed.
        size_ratio: bytes over those of the PyTorch network's artifact.
        latency_ratio: median over rounds of the latency over that artifact's in the same round.
        latency_ci95: bootstrap interval of it.
        equal: share of outputs less than half a step from that artifact's; in int8 the same integers.
        furthest: largest difference of an output, relative to the largest output.
        images: test images of the last two.
        seconds: of the press, from starting Python to its end; None where the scales were carried over.
        equal_constants: share of the stored weights and biases that are equal integers, one set of scales.
    """

    source: str
    target: str
    precision: str
    size_ratio: float
    latency_ratio: float
    latency_ci95: tuple[float, float] | None
    equal: float
    furthest: float
    images: int
    seconds: float | None = None
    equal_constants: float | None = None


@dataclass(frozen=True)
class ImportRow:
    """Reading a large file of weights.

    Attributes:
        source: kind of file.
        file_bytes: its size.
        seconds: of reading it as a program, libraries already imported.
        peak_bytes: largest resident set over that at the start of reading.
        press_seconds: of a whole press to fp32 for every executed runtime, from starting Python to its end.
    """

    source: str
    file_bytes: int
    seconds: float
    peak_bytes: int
    press_seconds: float
