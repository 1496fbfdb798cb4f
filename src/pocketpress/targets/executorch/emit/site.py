"""What an emitter sees: one node, the graph it writes to, and its tensors' types and ids."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program.ir import INT8_MAX, INT8_MIN, Array, Node, Quantization, TensorType
from pocketpress.targets.executorch.graph import Graph

Limits = tuple[float, float]


@dataclass(frozen=True)
class Site:
    """One node of a channels-last program about to become XNNPACK nodes."""

    graph: Graph
    node: Node

    def attr(self, name: str) -> Any:
        """Attribute ``name`` of the node."""
        return self.node.attrs[name]

    def type(self, index: int) -> TensorType:
        """Type of input ``index``."""
        return self.graph.program.type(self.node.inputs[index])

    @property
    def out_type(self) -> TensorType:
        """Type of the output."""
        return self.graph.program.type(self.node.outputs[0])

    def value(self, index: int) -> int:
        """Id of input ``index`` as an activation or a constant read in place."""
        return self.graph.value(self.node.inputs[index])

    @property
    def out(self) -> int:
        """Id of the output."""
        return self.graph.value(self.node.outputs[0])

    def constant(self, index: int) -> Array:
        """Stored values of input ``index``, which must be a constant.

        Raises:
            UnsupportedError: it is computed while the network runs.
        """
        name = self.node.inputs[index]
        if not self.graph.program.is_constant(name):
            raise self.unsupported(f"input {index} must be a constant")
        return self.graph.program.constants[name]

    @property
    def quantized(self) -> bool:
        """Whether the node computes in integers."""
        return self.out_type.is_quantized or self.type(0).is_quantized

    def quant(self, index: int) -> Quantization:
        """Quantisation of input ``index``."""
        return self._quant(self.type(index))

    @property
    def out_quant(self) -> Quantization:
        """Quantisation of the output."""
        return self._quant(self.out_type)

    def _quant(self, type_: TensorType) -> Quantization:
        if type_.quant is None:
            raise self.unsupported("mixes integers and floats")
        return type_.quant

    def unsupported(self, reason: str, next_step: str = "press another target") -> UnsupportedError:
        """The error that names the operator, the user's line and what to do."""
        where = f" at {self.node.source}" if self.node.source else ""
        return UnsupportedError(
            f"ExecuTorch (XNNPACK) cannot run {self.node.op} {self.node.name}{where}",
            got=reason,
            next_step=next_step,
        )

    def limits(self, clamp: tuple[float | None, float | None] | None) -> Limits | None:
        """The node's clamp as XNNPACK wants it, or None when saturation already implies it.

        For integers the result is the real value of the integer limit, which XNNPACK's own rounding finds.
        """
        if clamp is None:
            return None
        quant = self.out_type.quant
        low = -math.inf if clamp[0] is None else float(clamp[0])
        high = math.inf if clamp[1] is None else float(clamp[1])
        if quant is not None:
            low, high = _on_grid(low, quant, INT8_MIN), _on_grid(high, quant, INT8_MAX)
        return None if low == -math.inf and high == math.inf else (low, high)

    def unary(self, member: str, source: int, type_: TensorType, target: int | None = None) -> int:
        """Append a node of one input and one output; returns the output's id."""
        out = self.graph.new(type_) if target is None else target
        self.graph.node(member, input_id=source, output_id=out)
        return out

    def binary(self, member: str, a: int, b: int, type_: TensorType, target: int | None = None) -> int:
        """Append a node of two inputs and one output; returns the output's id."""
        out = self.graph.new(type_) if target is None else target
        self.graph.node(member, input1_id=a, input2_id=b, output_id=out)
        return out

    def reshape(self, source: int, type_: TensorType, target: int | None = None) -> int:
        """Append a reshape of ``source`` to ``type_``."""
        out = self.graph.new(type_) if target is None else target
        shape = list(type_.shape)
        self.graph.node(
            "XNNStaticReshape", num_dims=len(shape), new_shape=shape, input_id=source, output_id=out
        )
        return out


Emitter = Callable[[Site], None]


def _on_grid(limit: float, quant: Quantization, edge: int) -> float:
    if math.isinf(limit):
        return limit
    integer = int(np.rint(np.float32(limit) * (np.float32(1) / quant.step))) + quant.zero_point
    if (edge < 0 and integer <= edge) or (edge > 0 and integer >= edge):
        return math.copysign(math.inf, edge)
    return float(np.float32(integer - quant.zero_point) * quant.step)
