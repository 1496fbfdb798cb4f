"""One press in a process of its own: ``python -m benchmarks.sources.produce SOURCE PRECISION DATA OUT``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.press import press

TARGETS = "litert,executorch,onnxruntime"


def main() -> None:
    """Parse and press."""
    parser = argparse.ArgumentParser(description="Press a file to one precision.")
    parser.add_argument("source")
    parser.add_argument("precision")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    data = None if given.precision == "fp32" else str(given.data)
    press(
        PressOptions(
            given.source, targets=TARGETS, out=given.out, data=data, precision=given.precision,
            parity_samples=16, measure=False,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
