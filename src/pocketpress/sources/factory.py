"""The function that makes a network: imported, called, and blamed by the line of the user's code."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from pocketpress.core.errors import PocketpressError, SourceError
from pocketpress.core.program.state import State, states_of


def find_factory(spec: str) -> Callable[..., Any]:
    """Import ``module:function`` or ``file.py:function``.

    Raises:
        SourceError: the file, module or function does not exist, or importing it fails.
    """
    where, _, name = spec.rpartition(":")
    if not where or not name:
        raise SourceError(
            "not a network",
            got=spec,
            allowed="package.module:factory, file.py:factory, or a .pt2, .onnx, .tflite, .keras or .h5 file",
        )
    module = _import_file(Path(where)) if where.endswith(".py") else _import_module(where)
    function = getattr(module, name, None)
    if not callable(function):
        names = sorted(n for n, v in vars(module).items() if inspect.isfunction(v) and not n.startswith("_"))
        raise SourceError(f"{where} has no function {name}", got=name, allowed=names or "none defined")
    return function  # type: ignore[no-any-return]


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise SourceError("no such file", got=path, next_step="give the path of the Python file")
    name = f"_pocketpress_user_{path.stem}"
    module_spec = importlib.util.spec_from_file_location(name, path)
    assert module_spec is not None and module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    for folder in (str(Path.cwd()), str(path.resolve().parent)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    return guarded(lambda: module_spec.loader.exec_module(module), f"importing {path} failed") or module  # type: ignore[union-attr]


def _import_module(name: str) -> Any:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise SourceError(
            "no such module", got=name, next_step="check PYTHONPATH or give path/to/file.py:factory"
        )
    return guarded(lambda: importlib.import_module(name), f"importing {name} failed")


def guarded(action: Callable[[], Any], what: str) -> Any:
    """Run the user's code.

    Raises:
        SourceError: it fails; with its line.
    """
    try:
        return action()
    except PocketpressError:
        raise
    except Exception as error:
        raise SourceError(what, got=reason(error), next_step=f"see {user_line(error)}") from error


def reason(error: BaseException) -> str:
    """Kind of an error and the first line of what it says."""
    first = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {first}"[:300]


def user_line(error: BaseException) -> str:
    """``file:line: code`` of the innermost frame that is neither torch's nor ours."""
    return line_of_user(error) or "the traceback (-v)"


def line_of_user(error: BaseException) -> str:
    """The same as `user_line`; empty where no frame is the user's."""
    ours = str(Path(__file__).resolve().parents[1])
    best = ""
    seen: BaseException | None = error
    while seen is not None:
        for frame in traceback.extract_tb(seen.__traceback__):
            installed = "site-packages" in frame.filename or frame.filename.startswith(("<", ours))
            if not installed and "/lib/python3" not in frame.filename:
                best = f"{frame.filename}:{frame.lineno}: {(frame.line or '').rstrip(':')}"
        seen = seen.__cause__ or seen.__context__
    return best


def call_factory(spec: str) -> tuple[torch.nn.Module, tuple[Any, ...] | None, tuple[State, ...]]:
    """A network, its example inputs where the factory gives some, and its states.

    Raises:
        SourceError: there is no such function, it fails, or returns something else.
    """
    factory = find_factory(spec)
    result = guarded(factory, f"{spec} failed")
    examples: tuple[Any, ...] | None = None
    states: tuple[State, ...] = ()
    if isinstance(result, tuple) and len(result) == 3 and isinstance(result[2], Mapping):
        states, result = states_of(result[2]), result[:2]
    if isinstance(result, tuple) and len(result) == 2:
        result, given = result
        examples = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    if not isinstance(result, torch.nn.Module):
        raise SourceError(
            f"{spec} did not return a network",
            got=type(result).__name__,
            allowed="torch.nn.Module, (Module, tuple of example inputs), or (Module, inputs, states)",
        )
    return result, examples, states
