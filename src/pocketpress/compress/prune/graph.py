"""The dependency graph: which channels of which layers must go together.

Traced by the Torch-Pruning library (Fang et al., "DepGraph: Towards Any Structural Pruning", CVPR 2023,
arXiv:2301.12900).  Units that would change the network's outputs, or that break it (a hard-coded reshape),
are found by pruning copies, and left alone with the reason.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from pocketpress.compress.prune.plan import Member, Unit
from pocketpress.core.errors import MissingExtraError, UserError

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Prunable:
    """What can be pruned, and what cannot, with reasons by root layer."""

    units: tuple[Unit, ...]
    skipped: tuple[tuple[str, str], ...]


def engine() -> Any:
    """The Torch-Pruning package.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import torch_pruning
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "pruning needs torch-pruning", next_step="run: pip install 'pocketpress[prune]'"
        ) from error
    return torch_pruning


def trace(network: nn.Module, examples: tuple[Any, ...]) -> Any:
    """The dependency graph of a network; its parameters are made to need gradients, as tracing does.

    Raises:
        UserError: the network cannot be traced.
    """
    library = engine()
    with warnings.catch_warnings(), _trainable(network):
        warnings.simplefilter("ignore")
        try:
            return library.DependencyGraph().build_dependency(network, example_inputs=examples)
        except Exception as error:  # whatever a foreign tracer raises about a user's graph
            line = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise UserError(
                "the network cannot be pruned: its channels cannot be followed",
                got=line,
                next_step="press it without --prune, or with --mask",
            ) from error


@contextlib.contextmanager
def _trainable(network: nn.Module) -> Iterator[None]:
    before = {p: p.requires_grad for p in network.parameters()}
    for parameter in before:
        parameter.requires_grad_(True)
    try:
        with torch.enable_grad():
            yield
    finally:
        for parameter, wanted in before.items():
            parameter.requires_grad_(wanted)


def groups(graph: Any) -> Iterator[tuple[str, Any]]:
    """(root layer, group over all its output channels) of every group of coupled layers."""
    names = {module: name for name, module in graph.model.named_modules()}
    for group in graph.get_all_groups():
        yield names[group[0].dep.target.module], group


def find_units(network: nn.Module, examples: tuple[Any, ...]) -> Prunable:
    """Every unit that can be pruned without changing the network's signature.

    Raises:
        UserError: the network cannot be traced.
    """
    graph = trace(network, examples)
    shapes = output_shapes(network, examples)
    names = {module: name for name, module in network.named_modules()}
    units, skipped = [], []
    for root, group in groups(graph):
        reason = _unprunable(group)
        unit = Unit(root, len(group[0].idxs), _members(graph, group, names))
        if reason is None and unit.channels < 2:
            reason = "a layer with one channel has none to spare"
        if reason is None:
            units.append(unit)
        else:
            skipped.append((root, reason))
    if units and _trial(network, examples, units, shapes) is not None:
        failures = {u.root: _trial(network, examples, [u], shapes) for u in units}
        skipped += [(root, reason) for root, reason in failures.items() if reason is not None]
        units = [u for u in units if failures[u.root] is None]
        if units and (reason := _trial(network, examples, units, shapes)) is not None:
            raise UserError("the network cannot be pruned", got=reason, next_step="press it without --prune")
    return Prunable(tuple(units), tuple(skipped))


def _members(graph: Any, group: Any, names: dict[nn.Module, str]) -> tuple[Member, ...]:
    channels = len(group[0].idxs)
    found: dict[tuple[str, str], int] = {}
    for dependency, indices in group:
        module = dependency.target.module
        if module in names and any(True for _ in module.parameters(recurse=False)):
            side = "out" if graph.is_out_channel_pruning_fn(dependency.handler) else "in"
            found[names[module], side] = found.get((names[module], side), 0) + len(indices)
    return tuple(
        Member(name, "out" if side == "out" else "in", count // channels)
        for (name, side), count in found.items()
    )


def _unprunable(group: Any) -> str | None:
    for dependency, _ in group:
        module = dependency.target.module
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)):
            if module.groups == 1:
                continue
            if module.groups != module.in_channels or module.in_channels != module.out_channels:
                return "it feeds or is a grouped convolution, whose groups would become uneven"
    if any(_is_uneven(item.root_idxs, len(group[0].idxs)) for item in group.items):
        return "a concatenation ties its channels to others channel by channel"
    return None


def _is_uneven(roots: list[int | None], channels: int) -> bool:
    """Whether some channels of the root occur more often than others."""
    counts = Counter(roots)
    return set(counts) != set(range(channels)) or len(set(counts.values())) > 1


def _trial(network: nn.Module, examples: tuple[Any, ...], units: list[Unit], shapes: Shapes) -> str | None:
    """Why a copy of the network cannot lose a quarter of the channels of each unit; None if it can."""
    removed = {u.root: tuple(range(max(1, u.channels // 4))) for u in units}
    try:
        smaller = remove_channels(network, examples, removed)
        found = output_shapes(smaller, examples)
    except Exception as error:  # a user's network, pruned against its will, may raise anything
        return " ".join(f"without some channels it fails: {type(error).__name__}: {error}".split())[:300]
    return None if found == shapes else "its channels are the network's outputs"


def remove_channels(
    network: nn.Module, examples: tuple[Any, ...], removed: dict[str, tuple[int, ...]]
) -> nn.Module:
    """A copy of the network without some output channels of its root layers, and all that follows them."""
    smaller = copy.deepcopy(network)
    graph = trace(smaller, examples)
    for root, channels in removed.items():
        module = smaller.get_submodule(root)
        pruner = graph.get_pruner_of_module(module)
        graph.get_pruning_group(module, pruner.prune_out_channels, list(channels)).prune()
    for parameter, old in zip(smaller.parameters(), network.parameters(), strict=True):
        parameter.requires_grad_(old.requires_grad)
    return smaller


def output_shapes(network: nn.Module, examples: tuple[Any, ...]) -> Shapes:
    """Shapes of all output tensors, in order."""
    with torch.no_grad():
        leaves = tree_leaves(network(*examples))
    return tuple(tuple(leaf.shape) for leaf in leaves if isinstance(leaf, Tensor))
