"""PyTorch networks: ``module:factory``, ``file.py:factory``, ``zoo:NAME`` or a saved ``.pt2`` program."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import io
import sys
import traceback
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pocketpress.core.errors import PocketpressError, SourceError
from pocketpress.core.program.state import State, states_of, with_states
from pocketpress.sources.aten.translate import to_program
from pocketpress.sources.known import KnownConstants
from pocketpress.sources.returned import make_known
from pocketpress.sources.safe_load import load_exported, load_weights
from pocketpress.sources.source import Source
from pocketpress.sources.vetted import check_readable, unreadable
from pocketpress.sources.zoo import is_zoo, open_zoo, untrained

Shapes = Mapping[str, tuple[int, ...]] | tuple[tuple[int, ...], ...]


def load_pytorch(spec: str, *, weights: Path | None = None, shapes: Shapes | None = None) -> Source:
    """Load, export and translate a PyTorch network.

    Args:
        spec: factory specification, ``zoo:NAME`` or path of a ``.pt2`` file.
        weights: safetensors, or a ``.pt``/``.pth`` state dict (read with ``weights_only=True``).
        shapes: input shapes, when the factory gives no example inputs; batch included.

    Raises:
        SourceError: with the offending line of the user's code where there is one.
    """
    if is_zoo(spec):
        source = export_module(*_zoo_module(spec, weights, shapes), spec)
        return source if weights is not None else untrained(source)
    if spec.endswith(".pt2"):
        return load_program(Path(spec), spec)
    module, examples, states = _load_live(spec, weights, shapes)
    source = export_module(module, examples, spec)
    return replace(source, program=with_states(source.program, states))


def load_program(path: Path, spec: str, *, vet: bool = True) -> Source:
    """A file of ``torch.export.save``, read in a child process first unless ``vet`` is off.

    Raises:
        SourceError: it cannot be read.
        UnsupportedError: an operator in it is not supported.
    """
    if vet:
        check_readable("pt2", path)
    exported = load_exported(path)
    try:
        return _finish(exported, spec, path.stem)
    except PocketpressError:
        raise
    except Exception as error:  # a graph of untrusted bytes may ask for anything
        raise unreadable(path, "a saved program", error) from error


def load_module(
    spec: str, *, weights: Path | None = None, shapes: Shapes | None = None
) -> tuple[torch.nn.Module, tuple[Any, ...]]:
    """The live network of a factory, in evaluation mode, and its example inputs.

    Raises:
        SourceError: as `load_pytorch`; or ``spec`` is a ``.pt2`` program, which holds no live network.
    """
    if is_zoo(spec):
        return _zoo_module(spec, weights, shapes)
    if spec.endswith(".pt2"):
        raise SourceError(
            "a saved program cannot be pruned, factorised, masked or fine-tuned",
            got=spec,
            allowed="package.module:factory, path/to/file.py:factory",
            next_step="give the factory of the network and its --weights",
        )
    return _load_live(spec, weights, shapes)[:2]


def _load_live(
    spec: str, weights: Path | None, shapes: Shapes | None
) -> tuple[torch.nn.Module, tuple[Any, ...], tuple[State, ...]]:
    module, examples, states = _call_factory(spec)
    if weights is not None:
        _apply_weights(module, weights)
    _check_eval(module, spec)
    _check_finite(module)
    return module, _examples(module, examples, shapes, spec), states


def export_module(
    module: torch.nn.Module, examples: tuple[Any, ...], spec: str, *, name: str | None = None
) -> Source:
    """Export and translate a live network in evaluation mode; ``name`` is the factory's by default.

    Raises:
        SourceError: with the offending line of the user's code where there is one.
    """
    return _finish(_export(module, examples, spec), spec, name or spec.rpartition(":")[2])


def _finish(exported: torch.export.ExportedProgram, spec: str, name: str) -> Source:
    program, skipped = to_program(exported)
    count = sum(p.numel() for p in exported.parameters() if p.is_floating_point())
    return Source(program, name, spec, int(count), skipped, exported)


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
    return _guard(lambda: module_spec.loader.exec_module(module), f"importing {path} failed") or module  # type: ignore[union-attr]


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
    return _guard(lambda: importlib.import_module(name), f"importing {name} failed")


def _guard(action: Callable[[], Any], what: str) -> Any:
    try:
        return action()
    except PocketpressError:
        raise
    except Exception as error:
        raise SourceError(what, got=_reason(error), next_step=f"see {user_line(error)}") from error


def _reason(error: BaseException) -> str:
    first = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {first}"[:300]


def user_line(error: BaseException) -> str:
    """``file:line: code`` of the innermost frame that is neither torch's nor ours."""
    ours = str(Path(__file__).resolve().parents[1])
    best = "the traceback (-v)"
    seen: BaseException | None = error
    while seen is not None:
        for frame in traceback.extract_tb(seen.__traceback__):
            installed = "site-packages" in frame.filename or frame.filename.startswith(("<", ours))
            if not installed and "/lib/python3" not in frame.filename:
                best = f"{frame.filename}:{frame.lineno}: {(frame.line or '').rstrip(':')}"
        seen = seen.__cause__ or seen.__context__
    return best


def _call_factory(spec: str) -> tuple[torch.nn.Module, tuple[Any, ...] | None, tuple[State, ...]]:
    factory = find_factory(spec)
    result = _guard(factory, f"{spec} failed")
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


def _apply_weights(module: torch.nn.Module, path: Path) -> None:
    state = load_weights(path)
    own = module.state_dict()
    optional = {name for name in own if name.endswith("num_batches_tracked")}
    missing = sorted(set(own) - set(state) - optional)
    unexpected = sorted(set(state) - set(own) - optional)
    if missing or unexpected:
        raise SourceError(
            f"{path} does not fit the network",
            got=f"{len(missing)} missing {missing[:1]}, {len(unexpected)} unexpected {unexpected[:1]}",
            next_step="use the factory the weights were trained with",
        )
    for name in sorted(set(state) & set(own)):
        if state[name].shape != own[name].shape:
            raise SourceError(
                f"{path}: {name} has another shape",
                got=tuple(state[name].shape),
                allowed=tuple(own[name].shape),
            )
    module.load_state_dict({k: v for k, v in state.items() if k in own}, strict=False)


def _check_eval(module: torch.nn.Module, spec: str) -> None:
    if module.training:
        factory = find_factory(spec)
        line = ""
        if inspect.isfunction(factory):
            line = f"{factory.__code__.co_filename}:{factory.__code__.co_firstlineno}: "
        raise SourceError(
            f"{line}the network is in training mode",
            got="module.training is True",
            next_step="return module.eval() from the factory",
        )


def _check_finite(module: torch.nn.Module) -> None:
    """No NaN and no infinity; -inf only outside of parameters, where it is an attention mask."""
    parameters = {name for name, _ in module.named_parameters()}
    for name, value in module.state_dict().items():
        if not value.is_floating_point():
            continue
        wrong = ~torch.isfinite(value)
        if name not in parameters:
            wrong &= ~torch.isneginf(value)
        if bool(wrong.any()):
            bad = int(wrong.sum())
            raise SourceError(
                f"weight {name} holds NaN or infinity",
                got=f"{bad} of {value.numel()} values",
                next_step="check the training run",
            )


def _examples(
    module: torch.nn.Module, examples: tuple[Any, ...] | None, shapes: Shapes | None, spec: str
) -> tuple[Any, ...]:
    if shapes is not None:
        listed = list(shapes.values()) if isinstance(shapes, Mapping) else list(shapes)
        dtypes = [e.dtype if isinstance(e, torch.Tensor) else torch.float32 for e in examples or ()]
        dtypes += [torch.float32] * (len(listed) - len(dtypes))
        generator = torch.Generator().manual_seed(0)
        return tuple(
            torch.randn(s, generator=generator) if d.is_floating_point else torch.zeros(s, dtype=d)
            for s, d in zip(listed, dtypes, strict=False)
        )
    if examples is None:
        raise SourceError(
            f"the input shape of {spec} is unknown",
            next_step="give --input 1,3,224,224 or return (module, (example_input,)) from the factory",
        )
    wrong = [type(e).__name__ for e in examples if not isinstance(e, torch.Tensor)]
    if wrong:
        raise SourceError("example inputs must be tensors", got=wrong, allowed="torch.Tensor")
    return examples


def _export(module: torch.nn.Module, examples: tuple[Any, ...], spec: str) -> torch.export.ExportedProgram:
    try:
        with torch.no_grad():
            returned = module(*examples)
    except Exception as error:
        shapes = ", ".join(str(tuple(e.shape)) for e in examples)
        raise SourceError(
            f"the network fails on its example input of shape {shapes}",
            got=_reason(error),
            next_step=f"fix {user_line(error)}",
        ) from error
    make_known(returned)
    try:
        # torch prints the whole graph on stderr when a guard fails; the error below says what matters
        quiet = contextlib.redirect_stderr(io.StringIO())
        with torch.no_grad(), quiet, warnings.catch_warnings(), KnownConstants():
            warnings.filterwarnings("ignore", "The tensor attributes .*_flat_weights")  # torch.nn.RNN's own
            return torch.export.export(module, examples)
    except Exception as error:
        data_dependent = (
            "data-dependent" in str(error).lower() or "GuardOnDataDependent" in type(error).__name__
        )
        if data_dependent:
            raise SourceError(
                f"{user_line(error)}: data-dependent control flow cannot be exported",
                next_step="replace the branch on tensor values by torch.where",
            ) from error
        compiled = [name or "the network" for name, m in module.named_modules() if _is_script(m)]
        if compiled:
            raise SourceError(
                "TorchScript cannot be exported",
                got=compiled[:3],
                next_step="return the network as it is before torch.jit.script or torch.jit.trace",
            ) from error
        raise SourceError(
            f"{user_line(error)}: the network cannot be exported",
            got=_reason(error),
            next_step="rewrite that line",
        ) from error


def _is_script(module: torch.nn.Module) -> bool:
    return isinstance(module, torch.jit.ScriptModule)


def _zoo_module(
    spec: str, weights: Path | None, shapes: Shapes | None
) -> tuple[torch.nn.Module, tuple[Any, ...]]:
    listed = tuple(shapes.values()) if isinstance(shapes, Mapping) else shapes
    module, examples = open_zoo(spec, weights, listed)
    if weights is not None:
        _apply_weights(module, weights)
    _check_finite(module)
    return module, examples


def is_archive(path: Path) -> bool:
    """Whether ``path`` is a zip archive, as ``.pt2`` and ``.pt`` files are."""
    return zipfile.is_zipfile(path)
