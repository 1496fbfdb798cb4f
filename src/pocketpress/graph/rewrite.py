"""Shared machinery of the passes: replace nodes, constants and types without touching the original."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from pocketpress.core.program import Node, Program, TensorType, check_program
from pocketpress.core.program.ir import Array


class Rewrite:
    """A mutable copy of a program; `build` drops dead code and checks the result."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.nodes: list[Node] = list(program.nodes)
        self.types: dict[str, TensorType] = dict(program.types)
        self.constants: dict[str, Array] = dict(program.constants)
        self.outputs: tuple[str, ...] = program.outputs
        self._aliases: dict[str, str] = {}

    def unique(self, stem: str) -> str:
        """A tensor name not yet taken."""
        name, number = stem, 0
        while name in self.types:
            number += 1
            name = f"{stem}_{number}"
        return name

    def constant(self, stem: str, value: Array) -> str:
        """Add a float constant."""
        name = self.unique(stem)
        array = np.asarray(value)  # arithmetic of arrays without axes gives scalars, which are none
        self.constants[name] = array
        self.types[name] = TensorType(tuple(array.shape), str(array.dtype))
        return name

    def alias(self, gone: str, kept: str) -> None:
        """Let every reader of ``gone`` read ``kept``; an output keeps its public name."""
        self._aliases[gone] = kept

    def resolve(self, name: str) -> str:
        """Follow aliases."""
        while name in self._aliases:
            name = self._aliases[name]
        return name

    def replace_nodes(self, changes: Mapping[str, Iterable[Node]]) -> None:
        """Replace nodes by name, each by any number of nodes."""
        self.nodes = [new for node in self.nodes for new in changes.get(node.name, (node,))]

    def build(self) -> Program:
        """Apply aliases, drop what no output needs, and check."""
        names = {gone: self.resolve(gone) for gone in self._aliases}
        live = (node for node in self.nodes if node.outputs[0] not in names)
        nodes = tuple(node.renamed(names) for node in live)
        program = replace(
            self.program, types=self.types, constants=self.constants, nodes=nodes, outputs=self.outputs
        ).prefix(self.outputs)
        check_program(program)
        return program


def sole_consumer(program: Program, name: str) -> Node | None:
    """The one node that reads ``name``, if exactly one does and the program does not return it."""
    readers = program.consumers().get(name, [])
    return readers[0] if len(readers) == 1 and name not in program.outputs else None
