"""Where to cut a program: contiguous runs of nodes whose borders are as few tensors as possible.

Block-wise reconstruction (Li et al. 2021, arXiv:2102.05426, section 3.2) wants blocks that hold the strong
dependencies, a residual block for instance.  Between residual blocks exactly one activation is live; where a
network has no such place for long (U-Nets) it is cut where the fewest are.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketpress.core.program import Node, Program

MOST_PRODUCTS = 8
"""A block is cut, somewhere, when it holds more products."""


@dataclass(frozen=True)
class Block:
    """Nodes, and the activations that enter and leave."""

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def split(program: Program, learned: frozenset[str]) -> tuple[Block, ...]:
    """Cut into blocks that each hold at least one of the nodes ``learned``, except perhaps the last."""
    crossing = _crossing(program)
    groups: list[list[Node]] = [[]]
    for position, node in enumerate(program.nodes):
        groups[-1].append(node)
        held = sum(n.name in learned for n in groups[-1])
        narrow = crossing[position] == 1 and held > 0
        full = held >= MOST_PRODUCTS and crossing[position] == _least(crossing, position)
        if (narrow or full) and position + 1 < len(program.nodes):
            groups.append([])
    if len(groups) > 1 and not any(n.name in learned for n in groups[-1]):
        last = groups.pop()
        groups[-1] += last
    return tuple(_block(program, nodes) for nodes in groups)


def _least(crossing: list[int], position: int) -> int:
    return min(crossing[position : position + 4])


def _crossing(program: Program) -> list[int]:
    """Number of activations live after each node."""
    last = {name: i for i, node in enumerate(program.nodes) for name in node.inputs}
    last.update({name: len(program.nodes) for name in program.outputs})
    born = {name: -1 for name in program.inputs}
    born.update({out: i for i, node in enumerate(program.nodes) for out in node.outputs})
    return [sum(born[name] <= i < last.get(name, -1) for name in born) for i in range(len(program.nodes))]


def _block(program: Program, nodes: list[Node]) -> Block:
    inside = {out for node in nodes for out in node.outputs}
    read = dict.fromkeys(n for node in nodes for n in node.inputs if n not in program.constants)
    names = {node.name for node in nodes}
    outside = {n for node in program.nodes if node.name not in names for n in node.inputs}
    outputs = [out for node in nodes for out in node.outputs if out in outside or out in program.outputs]
    return Block(tuple(nodes), tuple(n for n in read if n not in inside), tuple(outputs))


def border_bytes(program: Program, learned: frozenset[str]) -> int:
    """Bytes of one sample's float32 activations on the widest border between blocks, inputs included."""
    blocks = split(program, learned)
    widest = sum(program.type(name).elements for name in program.inputs)
    for index in range(len(blocks)):
        later = {name for block in blocks[index + 1 :] for name in block.inputs}
        born = {name for block in blocks[: index + 1] for name in (*block.inputs, *block.outputs)}
        widest = max(widest, sum(program.type(name).elements for name in later & born))
    return 4 * widest
