"""Write the ONNX import table of docs/support.md from the ONNX standard's own operator tests.

python scripts/onnx_table.py            write it
python scripts/onnx_table.py --check    exit 1 if the page is not what this machine finds
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.sections import write
from tests.sources.onnx.standard import NodeTest, node_tests

from pocketpress.sources.onnx.operators.table import OPERATORS
from pocketpress.sources.onnx.read import NEWEST, OLDEST

PAGE = Path(__file__).parents[1] / "docs" / "support.md"


def main(arguments: list[str] | None = None) -> int:
    """Write or check the section."""
    parser = argparse.ArgumentParser(description="Write the ONNX import table of docs/support.md.")
    parser.add_argument("--check", action="store_true", help="exit 1 if the page is out of date")
    options = parser.parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the standard's tests divide by zero on purpose
        tests = list(node_tests())
    return write(PAGE, "onnx", section(tests), Path(__file__).name, check=options.check)


def section(tests: Sequence[NodeTest]) -> str:
    """Counts of all tests, then by operator."""
    total = Counter(test.answer for test in tests if test.is_known)
    mobile = Counter(test.answer for test in tests if test.is_mobile)
    known, wanted = sum(total.values()), sum(mobile.values())
    lines = [
        f"Operator sets {OLDEST} to {NEWEST}. Of the {known} tests of the ONNX standard (in the `onnx` "
        "package) that use",
        "only the operators below, on types that programs have (float32, int32, int64, bool), "
        f"{total['passes']} pass, {total['refused']} are",
        f"refused with a message, {total['wrong']} give wrong numbers. Of the {wanted} that use only "
        "operators of ONNX Runtime's",
        f"mobile package, whether they are below or not, {mobile['passes']} pass "
        f"({100 * mobile['passes'] / wanted:.0f} %), {mobile['refused']} are refused, "
        f"{mobile['wrong']} are wrong.",
        "",
        "| operator | pass | refused | wrong |",
        "|---|---|---|---|",
    ]
    for name in sorted(OPERATORS):
        own = Counter(test.answer for test in tests if test.is_known and name in test.operators)
        lines.append(f"| `{name}` | {own['passes']} | {own['refused']} | {own['wrong']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
