"""Permutes move through operators that do not care about the order of axes, and inverse pairs cancel.

Channels-last sources (Keras) wrap every convolution in a permute to NCHW and one back.  As in
`core.program.channels_last`, a tensor may exist in several *versions*, each the declared tensor with its axes
in another order; a permute only names a version, and an element is moved when an operator asks for a version
that nobody holds.  Of two ways that move as many elements, the one nearer to the convolution is taken, so
that what follows it can be folded into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pocketpress.core.program import Node, Program, TensorType
from pocketpress.graph.axis_order import (
    AXIS_OPS,
    Axes,
    compose,
    identity,
    inverse,
    is_free,
    moves_nothing,
    reordered,
    result_order,
)
from pocketpress.graph.rewrite import Rewrite


def cancel_permutes(program: Program) -> Program:
    """The same function with no more elements moved; the program itself when that fails."""
    if not any(node.op == "permute" for node in program.nodes):
        return program
    moved = _Rewriter(program).run()
    return moved if movement(moved) <= movement(program) else program


def movement(program: Program) -> tuple[int, int]:
    """Elements that permutes move in one inference, and how many permutes there are."""
    permutes = [node for node in program.nodes if node.op == "permute"]
    moving = [
        program.type(node.outputs[0]).elements
        for node in permutes
        if not moves_nothing(program.type(node.inputs[0]).shape, tuple(node.attrs["axes"]))
    ]
    return sum(moving), len(permutes)


def wanted_orders(program: Program) -> dict[str, frozenset[Axes]]:
    """For every activation, the orders in which its readers, seen through free operators, want it."""
    wanted: dict[str, set[Axes]] = {name: set() for name in program.types}
    for name in program.outputs:
        wanted[name].add(identity(program, name))
    for node in reversed(program.nodes):
        out, shape = wanted[node.outputs[0]], program.type(node.outputs[0]).shape
        for name in node.inputs:
            if node.op == "permute":
                wanted[name] |= {compose(tuple(node.attrs["axes"]), order) for order in out}
            elif is_free(node) and len(program.type(name).shape) == len(shape):
                wanted[name] |= out
            else:
                wanted[name].add(identity(program, name))
    return {name: frozenset(orders) for name, orders in wanted.items()}


class _Rewriter:
    """One run over one program; ``_versions[name][axes]`` equals the declared tensor permuted by ``axes``."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._rewrite = Rewrite(program)
        self._wanted = wanted_orders(program)
        self._nodes: list[Node] = []
        self._versions: dict[str, dict[Axes, str]] = {
            name: {identity(program, name): name} for name in (*program.inputs, *program.constants)
        }

    def run(self) -> Program:
        for name in self._program.inputs:
            self._hoist(name)
        for node in self._program.nodes:
            if node.op == "permute":
                self._view(node)
            elif is_free(node):
                self._free(node)
            else:
                self._emit(node, [self._plain(name) for name in node.inputs], None)
        for name in self._program.outputs:
            self._expose(name)
        self._rewrite.nodes = self._nodes
        return self._rewrite.build()

    def _hoist(self, name: str) -> None:
        """An input that every reader wants in one other order is permuted once, before anything else."""
        wanted = self._wanted[name]
        if len(wanted) == 1:
            self._get(name, next(iter(wanted)))

    def _view(self, node: Node) -> None:
        """A permute makes no node: its input's versions are its output's, under other orders."""
        order = inverse(tuple(node.attrs["axes"]))
        held = self._versions[node.inputs[0]]
        self._versions[node.outputs[0]] = {compose(order, axes): name for axes, name in held.items()}

    def _free(self, node: Node) -> None:
        rank = len(self._program.type(node.inputs[0]).shape)
        if not self._fits(node, rank):
            self._emit(node, [self._plain(name) for name in node.inputs], None)
            return
        order = self._cheapest(node)
        inputs = [self._operand(name, order, rank) for name in node.inputs]
        kept = result_order(node, order) if node.op in AXIS_OPS else order
        self._emit(replace(node, attrs=reordered(node, order)), inputs, kept)

    def _fits(self, node: Node, rank: int) -> bool:
        """Operands that are computed have the rank of the result: others are left as they are."""
        shapes = [self._program.type(n).shape for n in node.inputs if not self._program.is_constant(n)]
        return bool(shapes) and rank > 0 and all(len(shape) == rank for shape in shapes)

    def _cheapest(self, node: Node) -> Axes:
        """The order of the operands in which computing the node moves the fewest elements."""
        known = [name for name in node.inputs if not self._program.is_constant(name)]
        held = [order for name in known for order in self._versions[name]]
        plain = identity(self._program, known[0])
        candidates = dict.fromkeys([*held, plain])
        return min(candidates, key=lambda order: self._moves(node, known, order))

    def _moves(self, node: Node, known: list[str], order: Axes) -> int:
        total = sum(self._distance(name, order) for name in known)
        out = node.outputs[0]
        kept = result_order(node, order) if node.op in AXIS_OPS else order
        shape, elements = self._program.type(out).shape, self._program.type(out).elements
        for wanted in self._wanted[out]:
            if not moves_nothing(tuple(shape[a] for a in kept), compose(inverse(kept), wanted)):
                total += elements
        if node.op == "softmax" and order.index(int(node.attrs["axis"]) % len(order)) != len(order) - 1:
            total += elements  # runtimes move its axis to the end themselves
        return total

    def _distance(self, name: str, order: Axes) -> int:
        shape = self._program.type(name).shape
        for held in self._versions[name]:
            if moves_nothing(tuple(shape[a] for a in held), compose(inverse(held), order)):
                return 0
        return self._program.type(name).elements

    def _operand(self, name: str, order: Axes, rank: int) -> str:
        if self._program.is_constant(name):
            return self._constant(name, order, rank)
        return self._get(name, order)

    def _constant(self, name: str, order: Axes, rank: int) -> str:
        value = np.asarray(self._program.constants[name])
        if order == tuple(range(rank)) or value.size == 1:
            return name
        key = (len(value.shape), *order)
        made = self._versions[name]
        if key not in made:
            lifted = value.reshape((1,) * (rank - value.ndim) + value.shape)
            made[key] = self._rewrite.constant(name, np.ascontiguousarray(np.transpose(lifted, order)))
        return made[key]

    def _plain(self, name: str) -> str:
        return name if self._program.is_constant(name) else self._get(name, identity(self._program, name))

    def _get(self, name: str, order: Axes) -> str:
        """The version ``order`` of an activation, made now if nobody holds it."""
        versions = self._versions[name]
        if order not in versions:
            held = min(versions, key=lambda axes: not self._same_places(name, axes, order))
            versions[order] = self._move(versions[held], compose(inverse(held), order), f"{name}_permuted")
        return versions[order]

    def _same_places(self, name: str, held: Axes, order: Axes) -> bool:
        shape = self._program.type(name).shape
        return moves_nothing(tuple(shape[a] for a in held), compose(inverse(held), order))

    def _move(self, source: str, axes: Axes, stem: str, name: str | None = None) -> str:
        """Emit a permute, or a reshape where no element changes its place."""
        held = self._rewrite.types[source]
        shape = tuple(held.shape[a] for a in axes)
        target = name or self._rewrite.unique(stem)
        self._rewrite.types[target] = replace(held, shape=shape)
        free = moves_nothing(held.shape, axes)
        op, attrs = ("reshape", {"shape": shape}) if free else ("permute", {"axes": axes})
        self._nodes.append(Node(op, target, (source,), (target,), attrs))
        return target

    def _emit(self, node: Node, inputs: list[str], order: Axes | None) -> None:
        """Append the node; its output is the version ``order`` of the declared one (None: declared)."""
        declared = node.outputs[0]
        plain = identity(self._program, declared)
        order = order or plain
        name = declared
        if order != plain:
            name = (
                self._rewrite.unique(f"{declared}_moved") if declared in self._program.outputs else declared
            )
            self._rewrite.types[name] = _permuted(self._program.type(declared), order)
        called = node.name if name == declared else name
        self._nodes.append(replace(node, name=called, inputs=tuple(inputs), outputs=(name,)))
        self._versions[declared] = {order: name}

    def _expose(self, name: str) -> None:
        """A program output exists under its own name, in its declared order."""
        if name in self._program.inputs or self._program.is_constant(name):
            return
        plain = identity(self._program, name)
        versions: Mapping[Axes, str] = self._versions[name]
        if versions.get(plain) == name:
            return
        held = plain if plain in versions else next(iter(versions))
        self._move(versions[held], compose(inverse(held), plain), name, name)


def _permuted(type_: TensorType, order: Axes) -> TensorType:
    return replace(type_, shape=tuple(type_.shape[a] for a in order))
