"""Write docs/cli.md from the command line's own help.

python scripts/help_pages.py            write the page
python scripts/help_pages.py --check    exit 1 when the page on disk differs
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from pocketpress.cli.main import app

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"

HEAD = """# The command line

<!-- Written by scripts/help_pages.py from src/pocketpress/cli; edit there. -->

Results go to stdout, progress to stderr. Every table is also available as `--json`. `pocketpress -v VERB …`
shows tracebacks, `NO_COLOR=1` takes the colours away, and `POCKETPRESS_CACHE` names the cache folder.

| exit code | who must act |
|---|---|
| 0 | nobody |
| 2 | you: the command, a file or the network |
| 3 | you: an artifact was built and broke a promise (accuracy, size, speed, parity) |
| 4 | the machine: no room, no memory, a runtime that crashed |
| 5 | trust: a hash or signature that does not hold |
| 70 | we: a bug, please report it |
| 130 | interrupted; no result was written, or the message says what was |
"""


def verbs(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command by its words, those of groups included."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, command in verbs(typer.main.get_command(app)):
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
        usage = " ".join(["pocketpress", name, *(a.name.upper() for a in arguments), "[OPTIONS]"])
        parts.append(f"\n## `pocketpress {name}`\n\n{command.help}\n\n```\n{usage}\n```\n")
        if arguments:
            needed = {True: "required", False: ""}
            rows = [(f"`{a.name.upper()}`", needed[bool(a.required)], _text(a.help)) for a in arguments]
            parts.append(_table("argument", rows))
        parts.append(_table("option", ((_names(o), _default(o), _text(o.help)) for o in options)))
    return "\n".join(part.rstrip("\n") for part in parts) + "\n"


def _table(first: str, rows: Iterable[tuple[str, str, str]]) -> str:
    lines = [f"\n| {first} | default | meaning |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _names(option: Any) -> str:
    names = [*option.opts, *option.secondary_opts]
    return ", ".join(f"`{name}`" for name in names)


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if option.default is None or option.default == () or option.default == []:
        return ""
    if isinstance(option.default, bool):
        if option.secondary_opts:
            return f"`{(option.opts if option.default else option.secondary_opts)[0]}`"
        return "on" if option.default else "off"
    return f"`{option.default}`"


def _text(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


def main() -> int:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description="Write docs/cli.md from the command line's own help.")
    parser.add_argument("--check", action="store_true", help="only compare with the page on disk")
    if parser.parse_args().check:
        if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page():
            return 0
        print(f"{PAGE} is out of date: run python scripts/help_pages.py", file=sys.stderr)
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
