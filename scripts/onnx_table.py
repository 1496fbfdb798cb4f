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
from tests.sources.onnx.standard import KNOWN, NodeTest, node_tests

from pocketpress.sources.onnx.read import NEWEST, OLDEST

PAGE = Path(__file__).parents[1] / "docs" / "support.md"


def main(arguments: list[str] | None = None) -> int:
    """Write or check the section."""
    parser = argparse.ArgumentParser(description="Write the ONNX import table of docs/support.md.")
    parser.add_argument("--check", action="store_true", help="exit 1 if the page is out of date")
    options = parser.parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the standard's tests divide by zero on purpose
        tests = list(node_tests(programs=True))
    return write(PAGE, "onnx", section(tests), Path(__file__).name, check=options.check)


def section(tests: Sequence[NodeTest]) -> str:
    """Counts of all tests, then by operator."""
    total = Counter(test.answer for test in tests if test.is_known)
    mobile = Counter(test.answer for test in tests if test.is_mobile)
    known, wanted = sum(total.values()), sum(mobile.values())
    pressed = [test for test in tests if test.program == "passes"]
    wrong = sum(test.program == "wrong" for test in tests)
    counts = [sum(test.is_known for test in pressed), sum(test.is_mobile for test in pressed)]
    lines = [
        f"Operator sets {OLDEST} to {NEWEST}. Of the {known} tests of the ONNX standard (in the `onnx` "
        "package) that use",
        "only the operators below, on types that programs have (float32, int32, int64, bool), "
        f"{total['passes']} are read, {total['refused']} are",
        f"refused with a message, {total['wrong']} give wrong numbers. Of the {wanted} that use only "
        "operators of ONNX Runtime's",
        f"mobile package, whether they are below or not, {mobile['passes']} are read "
        f"({_percent(mobile['passes'], wanted)}), {mobile['refused']} are refused, "
        f"{mobile['wrong']} are wrong.",
        "",
        "What is read can be pressed where it depends on constants and shapes alone, or where the",
        f"operators of programs make it: {counts[0]} of the {known} tests ({_percent(counts[0], known)}), "
        f"{counts[1]} of the {wanted}",
        f"({_percent(counts[1], wanted)}), {wrong} wrong. The others are refused by name: whole numbers of",
        "the caller that may lie beyond 2^24, pooling and convolution over three axes, boxes and places",
        "whose number depends on the input (`NonMaxSuppression`, `Unique`, `NonZero`), and `align_corners`",
        "by a factor that makes no whole size, of which the standard's tests and ONNX Runtime have two",
        "readings. Inputs of the tests that networks have as constants (weights, sizes, axes, numbers of",
        "repetitions) are constants.",
        "",
        "| operator | read | pressed | refused | wrong |",
        "|---|---|---|---|---|",
    ]
    for name in sorted(KNOWN):
        users = [test for test in tests if test.is_known and name in test.operators]
        own = Counter(test.answer for test in users)
        through = sum(test.program == "passes" for test in users)
        lines.append(f"| `{name}` | {own['passes']} | {through} | {own['refused']} | {own['wrong']} |")
    return "\n".join(lines) + "\n"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %"


if __name__ == "__main__":
    sys.exit(main())
