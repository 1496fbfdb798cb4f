"""Networks that take tuples, lists or dictionaries of tensors, as networks that take tensors.

An LSTM's state is a pair, a cache a list of pairs, and an argument that is not given is None.  The program
has one input for each tensor, named after the argument and the way to it: ``state_0``, ``cache_1_0``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pocketpress.core.errors import SourceError
from pocketpress.sources.named import with_parameters


class FlatNetwork(nn.Module):
    """A network whose ``forward`` takes the tensors of its arguments, in order.

    Args:
        network: the network.
        arguments: examples of its arguments.
        names: of the tensors in them.
    """

    def __init__(self, network: nn.Module, arguments: tuple[Any, ...], names: list[str]) -> None:
        super().__init__()
        self.network = network
        self.arguments = arguments
        self.forward = with_parameters(self.run, names)

    def run(self, *inputs: Tensor) -> Any:
        """What the network returns; the same as ``forward``, whose parameters have names."""
        left = iter(inputs)
        return self.network(*(_filled(argument, left) for argument in self.arguments))


def flattened(network: nn.Module, examples: tuple[Any, ...]) -> tuple[nn.Module, tuple[Any, ...]]:
    """The network and its examples, with a tensor for every input.

    Raises:
        SourceError: an example is no tensor, None, or a tuple, list or dictionary of them.
    """
    if all(isinstance(example, Tensor) for example in examples):
        return network, examples
    found = [leaf for name, value in _named(network, examples) for leaf in _leaves(name, value)]
    wrong = [type(value).__name__ for _, value in found if not isinstance(value, Tensor)]
    if wrong:
        raise SourceError(
            "example inputs must be tensors",
            got=wrong,
            allowed="torch.Tensor, None, and tuples, lists and dictionaries of them",
        )
    names, tensors = [name for name, _ in found], tuple(value for _, value in found)
    return FlatNetwork(network, _without_tensors(examples), names).train(network.training), tensors


def _named(network: nn.Module, examples: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """Arguments with their names; of ``*args`` each has a number."""
    parameters = inspect.signature(network.forward).parameters.values()
    names = [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_POSITIONAL]
    for place, value in enumerate(examples):
        yield (names[place] if place < len(names) else f"input_{place}"), value


def _leaves(name: str, value: Any) -> list[tuple[str, Any]]:
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [leaf for key, item in value.items() for leaf in _leaves(f"{name}_{key}", item)]
    if isinstance(value, (tuple, list)):
        return [leaf for place, item in enumerate(value) for leaf in _leaves(f"{name}_{place}", item)]
    return [(name, value)]


def _filled(value: Any, left: Iterator[Tensor]) -> Any:
    """An argument with the next tensors in the places of its own."""
    return _rebuilt(value, lambda place: next(left) if place is _PLACE else place)


_PLACE = object()
"""Stands for a tensor, so that examples are not kept."""


def _without_tensors(value: Any) -> Any:
    return _rebuilt(value, lambda item: _PLACE if isinstance(item, torch.Tensor) else item)


def _rebuilt(value: Any, leaf: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rebuilt(item, leaf) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        items = [_rebuilt(item, leaf) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return leaf(value)
