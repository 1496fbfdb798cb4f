"""Look-ups and casts of whole numbers go before moves: then what is moved is real.

ExecuTorch looks up inputs of the network only; every runtime has its fastest moves for float32.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pocketpress.core.program import Node, Program, TensorType
from pocketpress.graph.rewrite import Rewrite

_OPS = ("embedding", "cast")
_MOVES = ("reshape", "permute", "slice")


def look_up_first(program: Program) -> Program:
    """``embedding(reshape(x))`` becomes ``reshape(embedding(x))``; the same for permute, slice and cast."""
    while True:
        producers = program.producers()
        moved = [n for n in program.nodes if n.op in _OPS and _move(producers, n) is not None]
        if not moved:
            return program
        rewrite = Rewrite(program)
        changes = {}
        for node in moved:
            move = _move(producers, node)
            assert move is not None
            changes[node.name] = _swapped(rewrite, node, move)
        rewrite.replace_nodes(changes)
        program = rewrite.build()


def _move(producers: dict[str, Node], node: Node) -> Node | None:
    move = producers.get(node.inputs[0])
    return move if move is not None and move.op in _MOVES else None


def _swapped(rewrite: Rewrite, node: Node, move: Node) -> tuple[Node, Node]:
    source, out = move.inputs[0], rewrite.types[node.outputs[0]]
    shape = rewrite.types[source].shape
    row = out.shape[len(rewrite.types[node.inputs[0]].shape) :]
    made = rewrite.unique(f"{node.outputs[0]}_of_{source}")
    rewrite.types[made] = TensorType((*shape, *row), out.dtype)
    first = replace(node, name=made, inputs=(source, *node.inputs[1:]), outputs=(made,))
    attrs = _with_row(move, len(shape), row)
    return first, replace(
        move, name=node.name, inputs=(made,), outputs=node.outputs, attrs=attrs, source=node.source
    )


def _with_row(move: Node, rank: int, row: tuple[int, ...]) -> dict[str, Any]:
    """The attributes of the move with the axis of the row, if there is one, behind the others."""
    if not row:
        return dict(move.attrs)
    if move.op == "reshape":
        return {"shape": (*move.attrs["shape"], *row)}
    if move.op == "permute":
        return {"axes": (*move.attrs["axes"], rank)}
    extra = {"starts": 0, "sizes": row[0], "steps": 1}
    return {key: (*move.attrs[key], value) for key, value in extra.items()}
