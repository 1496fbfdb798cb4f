"""Build a program by hand: for importers, passes and tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from pocketpress.core.program.ir import Array, Node, Program, Quantization, TensorType


class ProgramBuilder:
    """Append nodes one by one; names are made unique; `build` freezes and checks the result."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        """Keep the names ``reserved`` free until `release` is called for each."""
        self._reserved = set(reserved)
        self._inputs: list[str] = []
        self._types: dict[str, TensorType] = {}
        self._constants: dict[str, Array] = {}
        self._nodes: list[Node] = []

    def unique(self, stem: str) -> str:
        """Return ``stem``, or ``stem_N`` when the name is taken."""
        name, number = stem, 0
        while name in self._types or name in self._reserved:
            number += 1
            name = f"{stem}_{number}"
        return name

    def release(self, name: str) -> None:
        """Let the next tensor of this name have it."""
        self._reserved.discard(name)

    def type(self, name: str) -> TensorType:
        """The type of a tensor added before."""
        return self._types[name]

    def constant_value(self, name: str) -> Array | None:
        """The value of ``name`` when it is a constant."""
        return self._constants.get(name)

    def producer(self, name: str) -> Node | None:
        """The node that computes ``name``; None of an input or a constant."""
        return next((node for node in self._nodes if name in node.outputs), None)

    def input(self, name: str, type_: TensorType) -> str:
        """Declare a program input."""
        name = self.unique(name)
        self._types[name] = type_
        self._inputs.append(name)
        return name

    def constant(
        self, stem: str, value: Array, quant: Quantization | None = None, *, type_: TensorType | None = None
    ) -> str:
        """Add a constant; its dtype is the array's unless ``type_`` says otherwise (int4, palettes)."""
        name = self.unique(stem)
        array = np.asarray(value)
        value = array if array.ndim == 0 else np.ascontiguousarray(array)
        self._types[name] = type_ or TensorType(tuple(value.shape), str(value.dtype), quant)
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
