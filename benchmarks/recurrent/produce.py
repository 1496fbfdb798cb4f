"""Presses in a process of their own: ``python -m benchmarks.recurrent.produce KIND WORK``.

``whole`` presses the keyword network, measures its int8 form and judges it on the test recordings; ``step``
presses one step of it, ``long`` the network of ten recordings.  Every kind is pressed to float and to int8,
into ``WORK/KIND-PRECISION``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pocketpress.core.record import Limits
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.press import press

KEYWORDS = "examples.keywords.networks:keywords"
LONG = "benchmarks.recurrent.networks:every_step"
TIME_AXIS = 1
PRECISIONS = FLOAT, INT8 = "fp32", "w8a8-fast"
KINDS = ("whole", "step", "long")
PROOFS = 16
"""Samples that presses prove themselves on which are not judged here."""


def options_of(kind: str, precision: str, work: Path) -> PressOptions:
    """Of one press."""
    judged = kind == "whole" and precision == INT8
    given: dict[str, Any] = {"data": str(work / "train.npz"), "evaluation": str(work / "test.npz")}
    if kind != "whole":
        given = {"data": str(work / f"{kind}.npz")}
    if kind == "step":
        given["stream"] = TIME_AXIS
    return PressOptions(
        LONG if kind == "long" else KEYWORDS,
        precision=precision,
        out=work / f"{kind}-{precision}",
        evaluation_samples=None if judged else PROOFS,
        parity_samples=100 if judged else PROOFS,
        measure=judged,
        limits=Limits(allow_slower=True),
        **given,
    )


def main() -> None:
    """Parse and press."""
    parser = argparse.ArgumentParser(description="Press the keyword network.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("work", type=Path)
    given = parser.parse_args()
    for precision in PRECISIONS:
        press(options_of(given.kind, precision, given.work))


if __name__ == "__main__":
    main()
