"""Writes into a tensor that is read under another name, as new tensors.

``y.relu_()`` and ``y += 1`` are read as they stand: what follows uses their result.  A write into a part
(``y[:, 0] = 0``), or into a tensor whose view or base is read afterwards, changes what another name holds;
there torch itself rewrites the program without writes, and every other operator stays as it was.
"""

from __future__ import annotations

import operator
from typing import Any

import torch


def without_aliases(exported: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The program, rewritten where a write shows under another name."""
    nodes = list(exported.graph.nodes)
    order = {node: index for index, node in enumerate(nodes)}
    if any(_shows_elsewhere(node, order) for node in nodes):
        rewritten: torch.export.ExportedProgram = exported.run_decompositions({})
        return rewritten
    return exported


def _shows_elsewhere(node: torch.fx.Node, order: dict[torch.fx.Node, int]) -> bool:
    written = _written(node)
    if written is None:
        return False
    if _schema(node).name in ("aten::copy_", "aten::fill_", "aten::zero_"):
        return True
    others = _aliases(written, without=node)
    return any(order[user] > order[node] for name in others for user in name.users)


def _schema(node: torch.fx.Node) -> Any:
    return getattr(node.target, "_schema", None)


def _written(node: torch.fx.Node) -> torch.fx.Node | None:
    """The tensor that an operator writes into."""
    schema = _schema(node)
    if node.op != "call_function" or schema is None or not schema.is_mutable or not node.args:
        return None
    first = node.args[0]
    return first if isinstance(first, torch.fx.Node) else None


def _base(node: torch.fx.Node) -> torch.fx.Node | None:
    """The tensor that a node is a view of, or the result of a write into."""
    schema = _schema(node)
    if node.target is operator.getitem:
        return _base(node.args[0]) if isinstance(node.args[0], torch.fx.Node) else None
    if node.op != "call_function" or schema is None or not node.args or not schema.arguments:
        return None
    alias, first = schema.arguments[0].alias_info, node.args[0]
    return first if alias is not None and isinstance(first, torch.fx.Node) else None


def _aliases(node: torch.fx.Node, *, without: torch.fx.Node) -> set[torch.fx.Node]:
    """All names of the memory that ``node`` is in, but for what is named after the write ``without``."""
    while (base := _base(node)) is not None:
        node = base
    found, waiting = {node}, [node]
    while waiting:
        for user in waiting.pop().users:
            if user is not without and user not in found and _base(user) in found:
                found.add(user)
                waiting.append(user)
    return found
