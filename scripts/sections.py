"""Sections of a page that programs write, each between two marker lines of its name."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

SHOWN_CHANGES = 40  # lines of a difference that are printed


def replaced(page: str, name: str, text: str) -> str:
    """The page with ``text`` as its section ``name``.

    Raises:
        ValueError: the markers are not there exactly once each, in order.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(f"the page needs one line {begin} and, after it, one line {end}")
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{text.strip()}\n{end}{rest.partition(end)[2]}"


def write(path: Path, name: str, text: str, script: str, *, check: bool) -> int:
    """Write a section, or with ``check`` only say whether it is up to date; returns the exit code."""
    old = path.read_text(encoding="utf-8")
    new = replaced(old, name, text)
    if check and new != old:
        print(f"{path.name} is out of date; run: python scripts/{script}", file=sys.stderr)
        changes = difflib.unified_diff(
            old.splitlines(), new.splitlines(), "the page", "what was found", n=0, lineterm=""
        )
        print("\n".join(list(changes)[:SHOWN_CHANGES]), file=sys.stderr)
        return 1
    if new != old:
        path.write_text(new, encoding="utf-8")
    return 0
