"""PyTorch networks: ``module:factory``, ``file.py:factory``, ``zoo:NAME`` or a saved ``.pt2`` program."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pocketpress.core.errors import PocketpressError, SourceError
from pocketpress.core.program.state import State, with_states
from pocketpress.sources.aten.translate import to_program
from pocketpress.sources.export import export
from pocketpress.sources.factory import call_factory, find_factory
from pocketpress.sources.nested import flattened
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
    module, examples, states = call_factory(spec)
    if weights is not None:
        _apply_weights(module, weights)
    _check_eval(module, spec)
    _check_finite(module)
    if examples is not None:
        module, examples = flattened(module, examples)
    return module, _examples(module, examples, shapes, spec), states


def export_module(
    module: torch.nn.Module, examples: tuple[Any, ...], spec: str, *, name: str | None = None
) -> Source:
    """Export and translate a live network in evaluation mode; ``name`` is the factory's by default.

    Raises:
        SourceError: with the offending line of the user's code where there is one.
    """
    return _finish(export(module, examples, spec), spec, name or spec.rpartition(":")[2])


def _finish(exported: torch.export.ExportedProgram, spec: str, name: str) -> Source:
    program, skipped = to_program(exported)
    count = sum(p.numel() for p in exported.parameters() if p.is_floating_point())
    return Source(program, name, spec, int(count), skipped, exported)


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
        dtypes = [e.dtype for e in examples or ()]
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
    return examples


def _zoo_module(
    spec: str, weights: Path | None, shapes: Shapes | None
) -> tuple[torch.nn.Module, tuple[Any, ...]]:
    listed = tuple(shapes.values()) if isinstance(shapes, Mapping) else shapes
    module, examples = open_zoo(spec, weights, listed)
    if weights is not None:
        _apply_weights(module, weights)
    _check_finite(module)
    return module, examples
