"""The quantised program in float arithmetic, with gradients: every activation on its planned grid.

Rounding passes the gradient straight through (Bengio et al. 2013, arXiv:1308.3432); outside the grid it is
zero.  A batch is computed by `torch.func.vmap` over the program, whose own batch is 1: programs may move
their axes as they like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from pocketpress.compress.learn.operators import operator
from pocketpress.compress.quantize.plan import QuantizationPlan
from pocketpress.core.program import OPS, Node, Program, Quantization, TensorType
from pocketpress.core.program.decode import decode
from pocketpress.core.program.ir import Array

Values = dict[str, Tensor]
CPU = torch.device("cpu")


def on_grid(x: Tensor, quant: Quantization, bits: int = 8) -> Tensor:
    """``s * (clip(round(x / s) + z) - z)`` with straight-through gradient."""
    scale, zero = float(quant.step), quant.zero_point
    low, high = -(2 ** (bits - 1)) - zero, 2 ** (bits - 1) - 1 - zero
    inside = torch.clamp(x / scale, low, high)
    return (inside + (torch.round(inside) - inside).detach()) * scale


def _real(value: Array, type_: TensorType) -> Array:
    """A constant as the simulation holds it: weights that are integers already, as what they stand for."""
    return decode(value, type_) if type_.is_quantized else value.copy()


class Simulation:
    """A program as a function of batches.

    Args:
        program: float; the one the plan was made for.
        plan: None for the float network itself.
        where: device of the constants, and of what is fed.
    """

    def __init__(
        self,
        program: Program,
        plan: QuantizationPlan | None,
        where: torch.device = CPU,
    ) -> None:
        self.program, self.plan, self.where = program, plan, where
        self.constants = {
            name: torch.from_numpy(_real(value, program.type(name))).to(where).requires_grad_(False)
            for name, value in program.constants.items()
        }

    def run(
        self,
        nodes: Iterable[Node],
        feeds: Mapping[str, Tensor],
        wanted: Iterable[str],
        replaced: Mapping[str, Tensor] | None = None,
    ) -> Values:
        """Compute ``wanted`` tensors of a batch.

        Args:
            nodes: in execution order; feeds hold everything else they read.
            feeds: activations with a leading axis of samples: (samples, *program shape).
            wanted: names among the nodes' outputs or the feeds.
            replaced: constants to use instead of the program's (quantised weights), by tensor name.
        """
        todo, names = list(nodes), list(wanted)
        constants = {**self.constants, **(replaced or {})}

        def one(sample: Values) -> Values:
            values = dict(sample)
            for node in todo:
                values[node.outputs[0]] = self._node(node, values, constants)
            return {name: values[name] for name in names}

        batched: Callable[[Values], Values] = torch.func.vmap(one)
        return batched(dict(feeds))

    def enter(self, name: str, value: Tensor) -> Tensor:
        """A program input (or any activation) on its grid."""
        return value if self.plan is None else self._settle(name, value)

    def _node(self, node: Node, values: Values, constants: Mapping[str, Tensor]) -> Tensor:
        inputs = []
        for index, name in enumerate(node.inputs):
            value = constants[name] if name in constants else values[name]
            edge = None if self.plan is None else self.plan.requantized_edges.get((node.name, index))
            inputs.append(value if edge is None else self._settle(edge, value))
        out = operator(node.op)(inputs, node.attrs)
        if self.plan is None or OPS[node.op].integer == "move":
            return out
        return self._settle(node.outputs[0], out)

    def _settle(self, name: str, value: Tensor) -> Tensor:
        assert self.plan is not None
        quant = self.plan.activations.get(name)
        return value if quant is None else on_grid(value, quant, self.plan.activation_bits)
