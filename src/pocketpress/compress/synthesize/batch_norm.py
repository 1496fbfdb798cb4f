"""The batch-norm layers of an exported network: what each remembers of its training data.

Batch-norm keeps the mean and variance of what reached it in training.  Here they are read from the graph, and
the same two moments are measured on any batch, differentiably, to be compared with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.func import vmap

OPERATORS = ("aten::batch_norm", "aten::_native_batch_norm_legit_no_training")
IGNORED_MODULES = ("_guards_fn",)


@dataclass(frozen=True)
class Moments:
    """Mean and variance per channel, each of shape (channels,), of what reaches one batch-norm layer."""

    mean: Tensor
    var: Tensor


@dataclass(frozen=True)
class Layer:
    """One batch-norm layer.

    Attributes:
        name: of its node in the graph.
        remembered: running statistics.
        eps: what the layer adds to a variance.
    """

    name: str
    remembered: Moments
    eps: float

    def distance(self, seen: Moments) -> Tensor:
        """How far ``seen`` is from what the layer remembers, in its own standard deviations; a scalar.

        Root mean square over the channels of the errors (m - mu) / sigma and s / sigma - 1: eq. 3 of ZeroQ
        (Cai et al. 2020, arXiv:2001.00281) made free of the layer's scale, so that layers can be averaged.
        """
        sigma = torch.sqrt(self.remembered.var + self.eps)
        mean = (seen.mean - self.remembered.mean) / sigma
        spread = torch.sqrt(seen.var + self.eps) / sigma - 1
        return torch.sqrt((mean.square() + spread.square()).mean() / 2 + 1e-12)


class BatchNormNetwork:
    """A network of static batch 1 that runs on a batch and measures what reaches its batch-norm layers.

    Attributes:
        layers: in the order they run.
        inputs: names of the inputs.
        reaching: names of the inputs that at least one batch-norm layer depends on.
    """

    def __init__(self, exported: torch.export.ExportedProgram) -> None:
        """Read the layers.

        Args:
            exported: in evaluation mode; made functional here, so that no activation is overwritten.
        """
        self._module = exported.run_decompositions({}).module(check_guards=False)
        nodes = [n for n in self._module.graph.nodes if _is_batch_norm(n)]
        self.layers = tuple(self._layer(node) for node in nodes)
        self.inputs = tuple(str(n.target) for n in self._module.graph.find_nodes(op="placeholder"))
        above = _ancestors(nodes)
        self.reaching = tuple(
            str(n.target) for n in self._module.graph.find_nodes(op="placeholder") if n in above
        )

    def _layer(self, node: fx.Node) -> Layer:
        given = _arguments(node)
        mean, var = (_attribute(self._module, given[name]) for name in ("running_mean", "running_var"))
        return Layer(node.name, Moments(mean.float(), var.float()), float(given["eps"]))

    def moments(self, inputs: Mapping[str, Tensor]) -> list[Moments]:
        """Moments per layer over a batch and all positions.

        Args:
            inputs: by name, each (batch, 1, ...): the network's own shape behind one more axis.
        """
        values = tuple(inputs[name] for name in self.inputs)
        per_sample: list[tuple[Tensor, Tensor]] = vmap(self._measure)(*values)
        return [_pooled(mean, var) for mean, var in per_sample]

    def distances(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Distance of every layer, shape (layers,); see `Layer.distance`."""
        seen = self.moments(inputs)
        return torch.stack([layer.distance(m) for layer, m in zip(self.layers, seen, strict=True)])

    def _measure(self, *values: Tensor) -> list[tuple[Tensor, Tensor]]:
        run = _Measuring(self._module)
        run.run(*values)
        return run.seen


class _Measuring(fx.Interpreter):
    """Runs one sample and keeps mean and variance over the positions at every batch-norm."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.seen: list[tuple[Tensor, Tensor]] = []

    def run_node(self, n: fx.Node) -> Any:
        if not _is_batch_norm(n):
            return super().run_node(n)
        args: Any = fx.node.map_arg(n.args, lambda a: self.env[a])
        kwargs: Any = fx.node.map_arg(n.kwargs, lambda a: self.env[a])
        given: dict[str, Any] = dict(zip(_names(n), args, strict=False)) | kwargs
        x: Tensor = given["input"]
        axes = [d for d in range(x.ndim) if d != 1]
        mean = x.mean(axes, keepdim=True)
        var = (x - mean).square().mean(axes)  # four times as fast as Tensor.var under vmap
        self.seen.append((mean.reshape(-1), var))
        factor = torch.rsqrt(given["running_var"] + given["eps"])
        factor = factor if given.get("weight") is None else factor * given["weight"]
        shift = -given["running_mean"] * factor
        shift = shift if given.get("bias") is None else shift + given["bias"]
        shape = (1, -1, *([1] * (x.ndim - 2)))
        y = x * factor.reshape(shape) + shift.reshape(shape)
        return y if _schema(n) == OPERATORS[0] else (y, None, None)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        return value.detach() if isinstance(value, Tensor) else value

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        return None if str(target) in IGNORED_MODULES else super().call_module(target, args, kwargs)


def _pooled(mean: Tensor, var: Tensor) -> Moments:
    """Moments of a batch from those of its samples, (batch, channels), by the law of total variance."""
    return Moments(mean.mean(0), var.mean(0) + mean.var(0, correction=0))


def _schema(node: fx.Node) -> str:
    schema = getattr(node.target, "_schema", None)
    return "" if schema is None else str(schema.name)


def _is_batch_norm(node: fx.Node) -> bool:
    return node.op == "call_function" and _schema(node) in OPERATORS


def _names(node: fx.Node) -> list[str]:
    return [a.name for a in node.target._schema.arguments]  # type: ignore[union-attr]


def _arguments(node: fx.Node) -> dict[str, Any]:
    return dict(zip(_names(node), node.args, strict=False)) | node.kwargs


def _attribute(module: torch.nn.Module, node: fx.Node) -> Tensor:
    value: Any = module
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value.detach()  # type: ignore[no-any-return]


def _ancestors(nodes: list[fx.Node]) -> set[fx.Node]:
    found: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        for node in waiting.pop().all_input_nodes:
            if node not in found:
                found.add(node)
                waiting.append(node)
    return found
