"""Write the list of TFLite operators of docs/support.md.

python scripts/tflite_table.py            write it
python scripts/tflite_table.py --check    exit 1 if the page is not what the tests cover
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.sections import write
from tests.sources.tflite.test_operators import CASES, Case
from tests.sources.tflite.test_recurrent import FORMS
from tests.sources.tflite.test_states import SVDF_FORMS

from pocketpress.sources.tflite.operators.table import OPERATORS

REMOVED = {"QUANTIZE", "DEQUANTIZE", "FAKE_QUANT", "custom Convolution2DTransposeBias"}
"""Nothing is left of them once everything is a real number; and a custom one, of which the text speaks."""
PAGE = Path(__file__).parents[1] / "docs" / "support.md"


def main(arguments: list[str] | None = None) -> int:
    """Write or check the section."""
    parser = argparse.ArgumentParser(description="Write the list of TFLite operators of docs/support.md.")
    parser.add_argument("--check", action="store_true", help="exit 1 if the page is out of date")
    options = parser.parse_args(arguments)
    return write(PAGE, "tflite", section(CASES), Path(__file__).name, check=options.check)


def section(cases: Sequence[Case]) -> str:
    """What every runtime can be given, and what is computed once when the file is read."""
    forms = [case.code for case in cases if case.exported] + [op for op, _ in FORMS]
    forms += ["SVDF" for _ in SVDF_FORMS]
    pressed = set(forms)
    lines = [
        f"{len(pressed)} operators, in {len(forms)} forms that compute LiteRT's numbers within 1e-4:",
        "",
        *_listed(pressed),
        "",
        "Where they do not depend on the network's inputs (shapes, constants), also:",
        "",
        *_listed(set(OPERATORS) - pressed - REMOVED),
    ]
    return "\n".join(lines) + "\n"


def _listed(names: set[str]) -> list[str]:
    return textwrap.wrap(", ".join(f"`{name}`" for name in sorted(names)) + ".", 110)


if __name__ == "__main__":
    sys.exit(main())
