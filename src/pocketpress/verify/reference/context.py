"""What a reference kernel sees: one node, its stored inputs, and the types around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketpress.core.program.ir import Array, Node, Program, Quantization, TensorType

LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "int32": (-(2**31), 2**31 - 1)}


@dataclass(frozen=True)
class Context:
    """One node about to be computed."""

    program: Program
    node: Node
    inputs: list[Array]

    def in_type(self, index: int) -> TensorType:
        """Type of input ``index``."""
        return self.program.type(self.node.inputs[index])

    def quant(self, index: int) -> Quantization:
        """Quantisation of input ``index``, which must have one."""
        quant = self.in_type(index).quant
        if quant is None:
            raise ValueError(f"input {self.node.inputs[index]} of {self.node.name} is not quantised")
        return quant

    @property
    def out_type(self) -> TensorType:
        """Type of the output."""
        return self.program.type(self.node.outputs[0])

    @property
    def out_quant(self) -> Quantization:
        """Quantisation of the output, which must have one."""
        quant = self.out_type.quant
        if quant is None:
            raise ValueError(f"output of {self.node.name} is not quantised")
        return quant

    def attr(self, name: str) -> Any:
        """Attribute ``name`` of the node."""
        return self.node.attrs[name]

    def centred(self, index: int) -> npt.NDArray[np.int32]:
        """Input ``index`` minus its zero point."""
        return self.inputs[index].astype(np.int32) - np.int32(self.quant(index).zero_point)

    def store(self, grid: npt.NDArray[Any]) -> Array:
        """Add the output's zero point to rounded values, apply the node's clamp, saturate to the dtype."""
        low, high = LIMITS[self.out_type.dtype]
        clamp = self.node.attrs.get("clamp")
        if clamp is not None:
            low, high = clamp_limits(clamp, self.out_quant, low, high)
        stored = np.clip(grid + grid.dtype.type(self.out_quant.zero_point), low, high)
        return np.asarray(stored.astype(self.out_type.dtype))


def clamp_limits(
    clamp: tuple[float | None, float | None], quant: Quantization, low: int, high: int
) -> tuple[int, int]:
    """Real clamp limits as integers of ``quant``: ``round_half_even(limit * (1/scale)) + zero_point``."""
    inverse = np.float32(1) / quant.step
    if clamp[0] is not None:
        low = max(low, int(np.rint(np.float32(clamp[0]) * inverse)) + quant.zero_point)
    if clamp[1] is not None:
        high = min(high, int(np.rint(np.float32(clamp[1]) * inverse)) + quant.zero_point)
    return low, max(low, high)
