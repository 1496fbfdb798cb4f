"""One press in a process of its own: ``python -m benchmarks.compress.produce SUBJECT WORK PRECISION``.

Presses to every executed runtime that has the precision, into ``WORK/PRECISION``.  Only calibration pictures
are seen.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.workplace import Workplace
from pocketpress.core.precision import parse_precision
from pocketpress.core.targets import all_targets
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.press import press

RUNTIMES = ("litert", "executorch", "onnxruntime")
PARITY_PICTURES = 16


def runtimes_with(precision: str) -> tuple[str, ...]:
    """Executed runtimes that compute or store a precision."""
    family = parse_precision(precision).family
    return tuple(name for name in RUNTIMES if family in all_targets()[name].families)


def main() -> None:
    """Parse and press."""
    parser = argparse.ArgumentParser(description="Press one network to one precision.")
    parser.add_argument("subject")
    parser.add_argument("work", type=Path)
    parser.add_argument("precision")
    given = parser.parse_args()
    place = Workplace(given.work, given.subject)
    press(
        PressOptions(
            source=place.subject.specification,
            weights=place.weights,
            targets=",".join(runtimes_with(given.precision)),
            out=given.work / given.precision,
            data=str(place.calibration),
            precision=given.precision,
            evaluation_samples=PARITY_PICTURES,
            parity_samples=PARITY_PICTURES,
            measure=False,
        )
    )


if __name__ == "__main__":
    main()
