"""The stand-alone runner: a zip file with the worker and what it needs, for any machine with Python.

The machine needs Python, NumPy and the runtime's own package, and nothing of ours: the modules that the
worker and the targets' ``run`` modules import at their top are collected into one file of some 100 KB, the
same bytes from the same code.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pocketpress.core.errors import DeviceError
from pocketpress.core.targets import all_targets
from pocketpress.devices.link import printable

LEAST_PYTHON = (3, 10)
VENV = "~/.pocketpress"
"""Where a board may have an environment of its own; looked for before any other Python."""

WORKER = "pocketpress.devices.worker"
DATE = (1980, 1, 1, 0, 0, 0)

_MAIN = """\
# Runs on any Python, however old: it has to say so.
import json
import os
import struct
import sys


def lacking():
    if sys.version_info < {least!r}:
        return "python"
    try:
        import numpy
    except ImportError:
        return "numpy"
    return ""


def say(lacks):
    version = "%d.%d.%d" % tuple(sys.version_info[:3])
    platform = "android" if "com.termux" in sys.prefix else sys.platform
    words = {{"ready": False, "lacks": lacks, "python": version, "platform": platform}}
    header = json.dumps(words).encode("ascii")
    os.write(1, struct.pack("<4sII", b"PPF1", len(header), 0) + header)


missing = lacking()
if missing:
    say(missing)
else:
    from pocketpress.devices.worker import main

    main()
"""


def install(*packages: str) -> str:
    """The next step where packages are missing on a board."""
    return f"type there: {install_command(*packages)}"


def install_command(*packages: str) -> str:
    """The command that installs packages on a board, whose own Python may refuse to; from import names."""
    names = " ".join(dict.fromkeys(package.replace("_", "-") for package in packages))
    return f"python3 -m venv {VENV} && {VENV}/bin/pip install {names}"


def termux_install(packages: Sequence[str]) -> str:
    """The next step in Termux on Android, for which there are no wheels, from import names."""
    if set(packages) <= {"numpy", "onnxruntime"}:
        return f"type there: pkg install {' '.join(f'python-{package}' for package in packages)}"
    return "Termux itself has no such package: log in to a Linux in it (proot-distro), where pip finds them"


def check_greeting(header: Mapping[str, Any]) -> None:
    """Raise what a worker that cannot work lacks."""
    lacks, python = str(header.get("lacks", "")), printable(str(header.get("python", "")))
    platform = str(header.get("platform", ""))
    if lacks == "python":
        raise DeviceError(
            "the device's Python is too old",
            got=python,
            allowed=f"{LEAST_PYTHON[0]}.{LEAST_PYTHON[1]} and newer",
            next_step=f"install a newer one there, or make it {VENV}/bin/python",
        )
    if lacks == "numpy":
        raise DeviceError(
            "NumPy is missing on the device",
            got=f"Python {python} without it",
            next_step=install("numpy") if platform != "android" else termux_install(["numpy"]),
        )


def runner_bytes() -> bytes:
    """The runner, for the targets that are installed here."""
    return _built(tuple(sorted(s.package for s in all_targets().values() if not s.executor)))


@cache
def _built(packages: tuple[str, ...]) -> bytes:
    files = module_files([WORKER, *(f"{package}.run" for package in packages)])
    files["__main__.py"] = _MAIN.format(least=LEAST_PYTHON).encode()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name, DATE)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, data)
    return content.getvalue()


def module_files(names: Iterable[str]) -> dict[str, bytes]:
    """Source files by their path in the runner: of these modules, and of those that they import at the top.

    Modules of other packages than theirs are left out: the machine brings NumPy and the runtime.
    """
    names = list(names)
    ours = {name.partition(".")[0] for name in names}
    files: dict[str, bytes] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        source = _source(name)
        if source is None:
            continue
        for parent in _parents(name):
            if _source(parent) is None:  # a folder without __init__.py, which a zip file does not have
                files[f"{parent.replace('.', '/')}/__init__.py"] = b""
        whole = name.replace(".", "/") + ("/__init__.py" if source.name == "__init__.py" else ".py")
        if whole in files:
            continue
        files[whole] = source.read_bytes()
        waiting += _parents(name)
        waiting += [m for m in _imported(ast.parse(files[whole])) if m.partition(".")[0] in ours]
    return files


def _source(name: str) -> Path | None:
    """The file of a module; None for a name inside a module, and for what is no Python file."""
    try:
        found = importlib.util.find_spec(name)
    except ImportError:  # the name before the last dot is no package, or does not load
        return None
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        return None
    return Path(found.origin)


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _imported(node: ast.AST) -> Iterator[str]:
    """Names that a file imports when it is imported itself; of ``from a import b`` both a and a.b."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        elif not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from _imported(child)
