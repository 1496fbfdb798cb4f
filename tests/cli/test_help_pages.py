"""docs/cli.md is what --help says, and every option is explained."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import typer
from tests.conftest import Press

from pocketpress.cli.main import app

ROOT = Path(__file__).resolve().parents[2]


def script() -> Any:
    spec = importlib.util.spec_from_file_location("help_pages", ROOT / "scripts" / "help_pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == script().page(), (
        "run python scripts/help_pages.py"
    )


def test_every_verb_and_option_has_a_line_of_help(pocketpress: Press) -> None:
    group: Any = typer.main.get_command(app)
    commands = dict(script().verbs(group))
    assert set(commands) >= {"press", "inspect", "compare", "zoo list", "zoo suggest"}
    for name, command in commands.items():
        shown = pocketpress(*name.split(), "--help")
        assert shown.code == 0 and " ".join(command.help.split()) in " ".join(shown.out.split())
        for parameter in command.params:
            assert parameter.help, f"{name} {parameter.name} has no help"


def test_no_arguments_show_help(pocketpress: Press) -> None:
    shown = pocketpress("--help")
    assert shown.code == 0 and "press" in shown.out and "compare" in shown.out
