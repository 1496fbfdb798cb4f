"""Find a function in the user's code: ``package.module:function`` or ``path/to/file.py:function``."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from pocketpress.core.errors import PocketpressError, UserError


def is_function_name(spec: str) -> bool:
    """Whether ``spec`` has the form of a function's name."""
    where, _, name = spec.rpartition(":")
    dotted = all(part.isidentifier() for part in where.split("."))
    return name.isidentifier() and bool(where) and (where.endswith(".py") or dotted)


def find_function(spec: str, error: type[UserError]) -> Callable[..., Any]:
    """Import the module or file and return the function.

    Raises:
        error: the file, module or function does not exist, or importing fails.
    """
    where, _, name = spec.rpartition(":")
    module = _import_file(Path(where), error) if where.endswith(".py") else _import_module(where, error)
    function = getattr(module, name, None)
    if not callable(function):
        names = sorted(n for n, v in vars(module).items() if inspect.isfunction(v) and not n.startswith("_"))
        raise error(f"{where} has no function {name}", allowed=names or "none defined")
    return function  # type: ignore[no-any-return]


def reason(error: BaseException) -> str:
    """Type and first line of a foreign error."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:300]


def line_of(error: BaseException) -> str:
    """``file:line`` of the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "the traceback (-v)" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def _import_file(path: Path, error: type[UserError]) -> ModuleType:
    if not path.is_file():
        raise error("no such file", got=path, next_step="give the path of the Python file")
    name = f"_pocketpress_data_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise error("not a Python file", got=path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _make_importable(path.resolve().parent)
    try:
        spec.loader.exec_module(module)
    except PocketpressError:
        raise
    except Exception as failure:
        raise error(
            f"importing {path} failed", got=reason(failure), next_step=f"see {line_of(failure)}"
        ) from failure
    return module


def _import_module(name: str, error: type[UserError]) -> ModuleType:
    _make_importable(Path.cwd())
    try:
        return importlib.import_module(name)
    except PocketpressError:
        raise
    except Exception as failure:
        if isinstance(failure, ModuleNotFoundError) and failure.name and name.startswith(failure.name):
            raise error(
                "no such module", got=name, next_step="check PYTHONPATH or give path/to/file.py:function"
            ) from None
        raise error(
            f"importing {name} failed", got=reason(failure), next_step=f"see {line_of(failure)}"
        ) from failure


def _make_importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
