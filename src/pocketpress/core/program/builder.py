"""Build a program by hand: for importers, passes and tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketpress.core.program.ir import Array, Node, Program, Quantization, TensorType


class ProgramBuilder:
    """Append nodes one by one; names are made unique; `build` freezes and checks the result."""

    def __init__(self) -> None:
        self._inputs: list[str] = []
        self._types: dict[str, TensorType] = {}
        self._constants: dict[str, Array] = {}
        self._nodes: list[Node] = []

    def unique(self, stem: str) -> str:
        """Return ``stem``, or ``stem_N`` when the name is taken."""
        if stem not in self._types:
            return stem
        number = 1
        while f"{stem}_{number}" in self._types:
            number += 1
        return f"{stem}_{number}"

    def type(self, name: str) -> TensorType:
        """The type of a tensor added before."""
        return self._types[name]

    def constant_value(self, name: str) -> Array | None:
        """The value of ``name`` when it is a constant."""
        return self._constants.get(name)

    def input(self, name: str, type_: TensorType) -> str:
        """Declare a program input."""
        name = self.unique(name)
        self._types[name] = type_
        self._inputs.append(name)
        return name

    def constant(self, stem: str, value: Array, quant: Quantization | None = None) -> str:
        """Add a constant; its dtype is the array's."""
        name = self.unique(stem)
        array = np.asarray(value)
        value = array if array.ndim == 0 else np.ascontiguousarray(array)
        self._types[name] = TensorType(tuple(value.shape), str(value.dtype), quant)
        self._constants[name] = value
        return name

    def node(
        self,
        op: str,
        inputs: tuple[str, ...] | list[str],
        type_: TensorType,
        *,
        name: str | None = None,
        source: str = "",
        **attrs: Any,
    ) -> str:
        """Append an operator with one output of type ``type_``; returns the output's name."""
        out = self.unique(name or op)
        self._types[out] = type_
        self._nodes.append(Node(op, out, tuple(inputs), (out,), attrs, source))
        return out

    def build(self, outputs: tuple[str, ...] | list[str]) -> Program:
        """Freeze, drop what no output needs, check every node, and return the program."""
        from pocketpress.core.program.ops import check_program

        program = Program(
            tuple(self._inputs), tuple(outputs), self._types, self._constants, tuple(self._nodes)
        )
        program = program.prefix(outputs)
        check_program(program)
        return program
