"""What is measured of one file, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

OURS = "pocketpress"


@dataclass(frozen=True)
class Row:
    """One file in one runtime.

    Attributes:
        network: subject of `benchmarks.subjects`.
        target: runtime.
        tool: `OURS`, or the peer's name.
        precision: as typed; "int8" for peers.
        size_ratio: bytes over those of our float file for the runtime.
        latency_ratio: median over our float file's, interleaved in one process.
        latency_s: median.
        sqnr_db: real-valued logits of all ``images`` against the PyTorch network's.
        images: held-out pictures of everything here.
        top1: percent; None without labels.
        float_top1: of the PyTorch network on the same pictures, percent.
        drop: points of top-1 lost.
        drop_ci95: paired 95 % interval of it (Tango 1998).
        learning_s: seconds of the press's stage "learn rounding".
        made_s: seconds of the whole press or tool, from starting Python to its end.
        load: the machine's load average when the measuring process started.
    """

    network: str
    target: str
    tool: str
    precision: str
    size_ratio: float
    latency_ratio: float
    latency_s: float
    sqnr_db: float
    images: int
    top1: float | None = None
    float_top1: float | None = None
    drop: float | None = None
    drop_ci95: tuple[float, float] | None = None
    learning_s: float | None = None
    made_s: float | None = None
    load: float = 0.0

    @staticmethod
    def read(written: dict[str, Any]) -> Row:
        """A row as it was before it was written as JSON."""
        return Row(**{**written, "drop_ci95": pair(written["drop_ci95"])})


@dataclass(frozen=True)
class StackRow:
    """One step of a stack in one runtime; ratios are over the float network as it was given.

    Attributes:
        network: factory of `examples.cifar.networks`.
        recipe: what was asked for.
        step: "float", "prune", "fine-tune", or the precision.
        target: runtime.
        multiply_accumulates: over the float network's.
        size_ratio: bytes of the file over the float file's.
        latency_ratio: median over the float file's; None where a step changes no shapes.
        seconds: the step took, measuring left out.
        top1: percent; in PyTorch, but the precision's in the runtime.
        drop: points of top-1 lost.
        drop_ci95: paired 95 % interval of it (Tango 1998).
        images: test images.
    """

    network: str
    recipe: str
    step: str
    target: str
    multiply_accumulates: float
    size_ratio: float
    latency_ratio: float | None
    seconds: float | None
    top1: float | None = None
    drop: float | None = None
    drop_ci95: tuple[float, float] | None = None
    images: int | None = None

    @staticmethod
    def read(written: dict[str, Any]) -> StackRow:
        """A row as it was before it was written as JSON."""
        return StackRow(**{**written, "drop_ci95": pair(written["drop_ci95"])})


def pair(interval: list[float] | None) -> tuple[float, float] | None:
    return None if interval is None else (interval[0], interval[1])


@dataclass(frozen=True)
class MixedRow:
    """One press to mixed precision, or to int8 beside it.

    Attributes:
        network: factory of `examples.cifar.networks`.
        asked: precision and promises as typed.
        layers: how many at 4 bits, at 8 bits and in float; None where all have 8.
        size_bytes: by runtime.
        size_ratio: over the float file's, by runtime.
        latency_ratio: median over the float file's, by runtime.
        verdicts: of the press, by runtime.
        drop: points of top-1 lost, in LiteRT, on images that no decision saw.
        drop_ci95: paired 95 % interval of it (Tango 1998).
        images: how many those are.
    """

    network: str
    asked: str
    layers: tuple[int, ...] | None
    size_bytes: dict[str, int]
    size_ratio: dict[str, float]
    latency_ratio: dict[str, float]
    verdicts: dict[str, str]
    drop: float
    drop_ci95: tuple[float, float]
    images: int

    @staticmethod
    def read(written: dict[str, Any]) -> MixedRow:
        """A row as it was before it was written as JSON."""
        layers = written["layers"]
        return MixedRow(
            **{
                **written,
                "drop_ci95": pair(written["drop_ci95"]),
                "layers": None if layers is None else tuple(layers),
            }
        )
