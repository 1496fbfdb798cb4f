"""A Gaussian error linear unit that a network writes out becomes one operator.

``x * 0.5 * (1 + erf(x / sqrt 2))`` and ``0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))``
(Hendrycks and Gimpel 2016) stand in networks in many orders of factors.  So the arithmetic around each error
function and hyperbolic tangent is computed for numbers, and what gives the unit's results is the unit.  In
pieces it would be a dozen operators and more, most of them rounded to 8 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F

BEHIND = 4
"""Calls from the error function to the unit's result, at most."""
BEFORE = 5
"""Calls from the unit's input to the error function, at most."""
TOLERANCE = 1e-5
"""The two forms are 4e-4 apart."""
_CURVED = ("aten::erf", "aten::tanh")
_ARITHMETIC = (*_CURVED, "aten::mul", "aten::div", "aten::add", "aten::sub", "aten::pow", "aten::square")
_POINTS = torch.linspace(-7, 7, 281, dtype=torch.float64)
_UNITS = {form: F.gelu(_POINTS, approximate=form) for form in ("none", "tanh")}


def recognize_gelu(graph: torch.fx.Graph) -> None:
    """Replace every such expression in an exported graph."""
    for node in [n for n in graph.nodes if _name(n) in _CURVED]:
        for last, x in _candidates(node):
            form = _form(last, x)
            if form is not None:
                _replace(graph, last, x, form)
                break


def _candidates(curved: torch.fx.Node) -> Iterator[tuple[torch.fx.Node, torch.fx.Node]]:
    """Results and inputs of expressions around a node, that have one shape and are float32."""
    results = _reached(curved, BEHIND, lambda node: list(node.users))
    inputs = _reached(curved, BEFORE, lambda node: node.all_input_nodes)
    for last in results:
        for x in inputs:
            a, b = last.meta.get("val"), x.meta.get("val")
            if not isinstance(a, torch.Tensor) or not isinstance(b, torch.Tensor):
                continue
            if a.shape == b.shape and a.dtype == b.dtype == torch.float32:
                yield last, x


def _reached(start: torch.fx.Node, depth: int, step: Any) -> list[torch.fx.Node]:
    """Nodes within so many steps; from all but the last on, steps lead through arithmetic alone."""
    found: dict[torch.fx.Node, None] = {}
    level = [start]
    for _ in range(depth):
        level = [other for node in level if _name(node) in _ARITHMETIC for other in step(node)]
        found.update(dict.fromkeys(level))
    return list(found)


def _form(last: torch.fx.Node, x: torch.fx.Node) -> str | None:
    """Which unit of ``x`` a result is; None when it is none, or made of anything else."""
    found = _value(last, {x: _POINTS}, BEFORE + BEHIND)
    if found is None or found.shape != _POINTS.shape:
        return None
    return next((f for f, unit in _UNITS.items() if bool(((found - unit).abs() < TOLERANCE).all())), None)


def _value(
    node: torch.fx.Node, known: dict[torch.fx.Node, torch.Tensor | None], depth: int
) -> torch.Tensor | None:
    """What a node computes of numbers that are known; None where it takes anything else."""
    if node not in known:
        known[node] = _constant(node)
        if depth and _name(node) in _ARITHMETIC:
            parts = {n: _value(n, known, depth - 1) for n in node.all_input_nodes}
            if all(value is not None for value in parts.values()):
                args = torch.fx.node.map_arg(node.args, lambda n: parts[n])
                kwargs = torch.fx.node.map_arg(node.kwargs, lambda n: parts[n])
                known[node] = torch.as_tensor(node.target(*args, **kwargs))  # type: ignore[operator]
    return known[node]


def _constant(node: torch.fx.Node) -> torch.Tensor | None:
    """A number that stands in the network as a tensor, as those of files do."""
    if node.op != "get_attr":
        return None
    value: Any = node.graph.owning_module
    for part in str(node.target).split("."):
        value = getattr(value, part)
    single = isinstance(value, torch.Tensor) and value.numel() == 1 and value.is_floating_point()
    return value.detach().double().reshape(()) if single else None


def _replace(graph: torch.fx.Graph, last: torch.fx.Node, x: torch.fx.Node, form: str) -> None:
    with graph.inserting_after(last):
        unit = graph.call_function(torch.ops.aten.gelu.default, (x,), {"approximate": form})
    unit.meta = dict(last.meta)
    last.replace_all_uses_with(unit)
    unread = [last]
    while unread:
        node = unread.pop()
        if node is not x and not node.users:
            inputs = node.all_input_nodes
            graph.erase_node(node)
            unread += [n for n in inputs if _name(n) in _ARITHMETIC]


def _name(node: torch.fx.Node) -> str:
    return str(getattr(getattr(node.target, "_schema", None), "name", ""))
