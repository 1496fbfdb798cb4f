"""What an emitter sees: the channels-last program and the graph that grows from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pocketpress.core.program import Node, Program, Quantization, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.core.target import Skipped
from pocketpress.targets.litert.graph import Graph

ORDER = ":"
"""What follows it in the channels-last program says how an activation's axes are ordered."""


class Emission:
    """Program, graph, which tensor of the graph stands for which of the program, and what is not as asked.

    Args:
        program: what becomes the graph.
        within: None, or the emission whose file another subgraph of is made here.
        graph: that subgraph.
        given: its tensors that stand for the program's inputs.
    """

    def __init__(
        self,
        program: Program,
        within: Emission | None = None,
        graph: Graph | None = None,
        given: Mapping[str, int] | None = None,
    ) -> None:
        self.program = program
        self.graph = graph or Graph()
        self.loading: Graph = Graph(self.graph) if within is None else within.loading
        self.skipped: list[Skipped] = [] if within is None else within.skipped
        self._index: dict[str, int] = dict(given or {})
        self._widened: dict[int, int] = {}
        self.decoded: dict[tuple[str, tuple[int, ...]], int] = {}
        for name in program.inputs:
            if name not in self._index:
                self._index[name] = self.graph.tensor(name, program.type(name))

    def index(self, name: str) -> int:
        """Tensor of the graph for an activation or a constant; float16 constants come widened."""
        if name not in self._index:
            self._index[name] = self.constant(name, self.value(name), self.program.type(name).quant)
        return self._index[name]

    def inputs(self, node: Node) -> list[int]:
        """Tensors of the graph for all inputs of a node."""
        return [self.index(name) for name in node.inputs]

    def out(self, node: Node) -> int:
        """Tensor of the graph that a node's emitter must write."""
        name = node.outputs[0]
        if name not in self._index:
            self._index[name] = self.graph.tensor(name.partition(ORDER)[0], self.program.type(name))
        return self._index[name]

    def in_type(self, node: Node, position: int = 0) -> TensorType:
        """Type of a node's input."""
        return self.program.type(node.inputs[position])

    def out_type(self, node: Node) -> TensorType:
        """Type of a node's output."""
        return self.program.type(node.outputs[0])

    def value(self, name: str) -> Array:
        """Value of a constant."""
        return np.asarray(self.program.constants[name])

    def constant(self, name: str, value: Array, quant: Quantization | None = None) -> int:
        """A constant of the graph; float16 is stored so and widened by a DEQUANTIZE, which XNNPACK folds."""
        stored = self.graph.constant(name, value, quant)
        if value.dtype != np.float16:
            return stored
        if stored not in self._widened:
            wide = self.graph.tensor("/float32", TensorType(tuple(value.shape)))
            self.graph.operator("DEQUANTIZE", [stored], [wide])
            self._widened[stored] = wide
        return self._widened[stored]

    def number(self, value: float) -> int:
        """A float32 scalar constant."""
        return self.graph.constant(f"number_{value!r}", np.asarray(value, np.float32))

    def scratch(self, what: str, like: TensorType) -> int:
        """A tensor between two operators that one node becomes."""
        return self.graph.tensor(f"/{what}", like)

    def step(self, code: str, inputs: list[int], what: str, like: TensorType, options: Any = None) -> int:
        """Append an operator that writes a new scratch tensor, and return it."""
        out = self.scratch(what, like)
        self.graph.operator(code, inputs, [out], options)
        return out
