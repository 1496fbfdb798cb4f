"""One press in a process of its own: ``python -m benchmarks.recurrent.produce KIND PRECISION WORK OUT``.

``whole`` presses, measures and judges the keyword network on the test recordings, ``step`` presses one step
of it, ``long`` the network of ten recordings.
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


def options_of(kind: str, precision: str, work: Path, out: Path) -> PressOptions:
    """Of one press."""
    common: dict[str, Any] = {"precision": precision, "out": out, "limits": Limits(allow_slower=True)}
    if kind == "whole":
        common["evaluation"] = str(work / "test.npz")
        return PressOptions(KEYWORDS, data=str(work / "train.npz"), evaluation_samples=None, **common)
    common["parity_samples"] = 4
    if kind == "step":
        data = str(work / "train.npz")
        return PressOptions(KEYWORDS, data=data, stream=TIME_AXIS, measure=False, **common)
    return PressOptions(LONG, data=str(work / "long.npz"), measure=False, **common)


def main() -> None:
    """Parse and press."""
    parser = argparse.ArgumentParser(description="Press the keyword network.")
    parser.add_argument("kind", choices=("whole", "step", "long"))
    parser.add_argument("precision")
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    press(options_of(given.kind, given.precision, given.work, given.out))


if __name__ == "__main__":
    main()
