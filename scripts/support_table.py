"""Write the operators of docs/support.md: every case through every installed runtime, float and int8.

    python scripts/support_table.py            write them
    python scripts/support_table.py --check    exit 1 if the page is not what this machine finds

The section holds what was found by running the cases of `pocketpress.testing`, not what the cards of the
targets say; the cards give only the remarks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.sections import write

from pocketpress.core.errors import MissingExtraError, UnsupportedError
from pocketpress.core.program import OPS
from pocketpress.core.signature import signature_of
from pocketpress.core.target import TargetSpec
from pocketpress.core.targets import all_targets
from pocketpress.testing import Case, CaseResult, all_cases, check_target

PAGE = Path(__file__).parents[1] / "docs" / "support.md"
INTEGER = "w8a8-static"
BORDERS = ("quantize", "dequantize", "requantize")

INTRODUCTION = """| word | meaning |
|---|---|
| equal | every output integer is the reference's |
| equal* | likewise, but not by a kernel the runtime has for it in integers: see the remark |
| within 1 | some integers are one step off: see the remark |
| float island | computed on reals inside an int8 network; at most one step off |
| close | in float: within 0.001 % of the output's range |
| alike | its activations are rounded to 8 bits in the runtime's own way: within 2 % of the output's range |
| lowered | written, and not executed on this machine |
| missing | refused with a message; "3 of 5" says that some cases are |
"""


def main(arguments: list[str] | None = None) -> int:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description="Write the operators of docs/support.md.")
    parser.add_argument("--check", action="store_true", help="exit 1 if the page is out of date")
    options = parser.parse_args(arguments)
    specs = [spec for _, spec in sorted(all_targets().items())]
    try:
        for spec in specs:
            spec.check_installed()
    except MissingExtraError as error:
        print(f"the page speaks of all targets: {error}", file=sys.stderr)
        return error.exit_code
    return write(PAGE, "operators", section(specs), Path(__file__).name, check=options.check)


def section(specs: Iterable[TargetSpec]) -> str:
    """All tables and remarks."""
    targets = list(specs)
    executed = {spec.name for spec in targets if spec.obstacle() is None}
    parts = [INTRODUCTION]
    for title, integer in (
        ("In int8 (w8a8-static)", True),
        ("In float (fp32, fp16) and with activations quantised at run time (w8-dynamic)", False),
    ):
        parts += [f"### {title}\n", *_table(targets, executed, integer), ""]
    parts.append("### Remarks\n")
    for spec in targets:
        parts += [f"#### {spec.title}\n", *_remarks(spec), ""]
    return "\n".join(parts).rstrip() + "\n"


def _table(specs: list[TargetSpec], executed: set[str], integer: bool) -> list[str]:
    shown = [spec for spec in specs if not integer or INTEGER in spec.precisions]
    rows = [
        "| operator | " + " | ".join(spec.title for spec in shown) + " |",
        "|---" * (1 + len(shown)) + "|",
    ]
    for op in OPS:
        if op not in BORDERS if not integer else not op.startswith("dynamic_"):
            words = (cell(spec, op, integer, execute=spec.name in executed) for spec in shown)
            rows.append(f"| `{op}` | " + " | ".join(words) + " |")
    return rows


def _remarks(spec: TargetSpec) -> list[str]:
    """One line per remark, operators with the same remark together."""
    by_text: dict[str, list[str]] = {}
    for op in OPS:
        if op in spec.remarks:
            by_text.setdefault(spec.remarks[op], []).append(f"`{op}`")
    return [f"- {', '.join(ops)}: {text}." for text, ops in by_text.items()] or ["None."]


def cell(spec: TargetSpec, op: str, integer: bool, *, execute: bool) -> str:
    """All cases of an operator in one precision through a target: run, or only lowered."""
    cases = [case for case in all_cases() if case.op == op and (case.precision == INTEGER) == integer]
    held = [case for case in cases if case.precision in spec.precisions]
    return word(
        [judged(case, check_target(spec, case)) if execute else _lowered(spec, case) for case in held]
    )


def judged(case: Case, result: CaseResult) -> str:
    """The word of a result; a difference that is none of the allowed ones is shouted."""
    if result.unsupported is not None:
        return "missing"
    if case.precision == "w8-dynamic":
        return "alike" if result.is_alike else "DIFFERS"
    if case.precision != INTEGER:
        return "close" if result.is_close else "DIFFERS"
    if case.island:
        return "float island" if result.max_lsb is not None and result.max_lsb <= 1 else "DIFFERS"
    if result.is_equal:
        return "equal*" if result.skipped else "equal"
    return "within 1" if result.max_lsb == 1 else "DIFFERS"


def _lowered(spec: TargetSpec, case: Case) -> str:
    with TemporaryDirectory() as folder:
        try:
            signature = signature_of(case.program, precision=case.precision)
            spec.lower(case.program, signature, Path(folder) / f"case{spec.suffix}")
        except UnsupportedError:
            return "missing"
    return "lowered"


def word(outcomes: list[str]) -> str:
    """One cell from the words of all cases: the weakest, with a count when some are refused."""
    order = ["DIFFERS", "within 1", "float island", "equal*", "equal", "alike", "close", "lowered"]
    done = [text for text in outcomes if text != "missing"]
    if not done:
        return "missing"
    weakest = min(done, key=order.index)
    return weakest if len(done) == len(outcomes) else f"{weakest} ({len(done)} of {len(outcomes)})"


if __name__ == "__main__":
    sys.exit(main())
