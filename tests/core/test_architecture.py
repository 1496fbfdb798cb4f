"""The import table: who may know whom.  Dependencies point inwards and have no cycles."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import pocketpress

ROOT = Path(pocketpress.__file__).resolve().parent
STAGES = ("zoo", "sources", "data", "graph", "compress", "verify", "measure", "devices", "report")
MAY_KNOW: dict[str, set[str]] = {
    "core": set(),
    "zoo": {"core"},
    "sources": {"core", "zoo"},
    "data": {"core"},
    "graph": {"core"},
    "compress": {"core"},
    "verify": {"core"},
    "measure": {"core"},
    "devices": {"core", "web"},
    "report": {"core"},
    "targets": {"core", "devices"},
    "testing": {"core", "verify"},
    "pipeline": {"core", "web", *STAGES},
    "web": {"core"},
    "cli": {"core", "devices", "pipeline", "web"},
}
ML = {"torch", "torchao", "onnx", "onnxruntime", "executorch", "ai_edge_litert", "coremltools", "safetensors"}
FOR_CORE = {"numpy", "pydantic"}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


@cache
def imports(name: str) -> tuple[tuple[str, bool], ...]:
    """(imported module, whether at the top level of the file) for everything a module imports."""
    return tuple(_imports(ast.parse(FILES[name].read_text()), top=True))


def _imports(node: ast.AST, *, top: bool) -> Iterator[tuple[str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name, top) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "relative import"
            module = child.module or ""
            for alias in child.names:
                whole = f"{module}.{alias.name}"
                yield (whole if whole in FILES else module), top
        else:
            inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from _imports(child, top=top and not inside)


def folder(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("name", [n for n in FILES if folder(n) in MAY_KNOW])
def test_a_module_knows_only_whom_it_may(name: str) -> None:
    own = folder(name)
    for module, _ in imports(name):
        if not module.startswith("pocketpress.") or folder(module) == own:
            continue
        assert folder(module) in MAY_KNOW[own], f"{name} imports {module}"


def test_the_table_covers_every_folder() -> None:
    assert {folder(n) for n in FILES} - {"", "__main__"} == set(MAY_KNOW)


SIBLINGS = {"litert_web": "litert", "onnxruntime_web": "onnxruntime"}
"""Targets whose file format is another's, and who use that one's lowering."""


def test_targets_do_not_know_each_other() -> None:
    for name in FILES:
        if folder(name) == "targets" and name.count(".") > 1:
            own = name.split(".")[2]
            others = {m for m, _ in imports(name) if m.startswith("pocketpress.targets.")}
            assert {m.split(".")[2] for m in others} <= {own, SIBLINGS.get(own, own)}, name


def test_of_all_targets_those_that_run_in_a_browser_know_its_driver() -> None:
    runs = {f"pocketpress.targets.{own}.run" for own in SIBLINGS}
    for name in FILES:
        if folder(name) == "targets":
            devices = {m for m, _ in imports(name) if m.startswith("pocketpress.devices")}
            allowed = {
                f"pocketpress.devices.web.{what}" for what in ("WebRunner", "open_in_browser", "runtime_name")
            }
            assert devices <= ({"pocketpress.devices.web"} | allowed if name in runs else set()), name


def _card_of_sibling(package: str) -> str:
    before, _, own = package.rpartition(".")
    return f"{before}.{SIBLINGS[own]}.spec" if own in SIBLINGS else package


def test_core_knows_no_ml_library() -> None:
    standard = set(sys.stdlib_module_names)
    for name in FILES:
        if folder(name) == "core":
            foreign = {m.partition(".")[0] for m, _ in imports(name)} - standard - {"pocketpress"}
            assert foreign <= FOR_CORE, name


def test_a_card_needs_the_standard_library_only() -> None:
    standard = set(sys.stdlib_module_names)
    cards = [n for n in FILES if folder(n) == "targets" and n.endswith(".spec")]
    assert len(cards) >= 5
    for name in cards:
        foreign = {m.partition(".")[0] for m, _ in imports(name)} - standard
        assert foreign <= {"pocketpress"}, name
        own = name.rpartition(".")[0]
        inside = {m for m, _ in imports(name) if m.startswith("pocketpress.")}
        assert inside <= {
            "pocketpress.core.advice",
            "pocketpress.core.target",
            "pocketpress.core.program.ir",
            "pocketpress.core.program",
            "pocketpress.core.program.ops",
        } | {m for m in inside if m.startswith(own)} | {_card_of_sibling(own)}


def test_each_runtime_is_imported_by_its_own_target_only() -> None:
    owners = {
        "onnxruntime": "onnxruntime", "onnx": "onnxruntime", "executorch": "executorch",
        "ai_edge_litert": "litert", "coremltools": "coreml",
    }  # fmt: skip
    format_only = {("pocketpress.sources.tflite.read", "ai_edge_litert")}  # its schema, not its interpreter
    for name in FILES:
        for module, _ in imports(name):
            if (name, module) in format_only:
                continue
            owner = owners.get(module.partition(".")[0])
            if (name, owner) == ("pocketpress.sources.tflite.read", "litert"):
                continue  # the schema of the files, which LiteRT brings along
            assert owner is None or name.startswith(f"pocketpress.targets.{owner}."), f"{name}: {module}"


def test_the_command_line_imports_nothing_heavy_at_the_top() -> None:
    light = ("pocketpress", "pocketpress.__main__")
    for name in (*light, "pocketpress.cli.main", "pocketpress.cli.units", "pocketpress.cli.zoo"):
        top = {m for m, at_top in imports(name) if at_top}
        assert {m.partition(".")[0] for m in top} & {*ML, "numpy"} == set(), name
        assert not any(m.startswith("pocketpress.pipeline") for m in top), name


def test_no_import_cycles() -> None:
    """At the top level of files; a package's own __init__ counts as imported before its modules."""
    edges = {
        name: {m for m, at_top in imports(name) if at_top and m in FILES and m != name} for name in FILES
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        for other in sorted(edges[name]):
            visit(other, (*path, name))
        done.add(name)

    for name in FILES:
        visit(name, ())
