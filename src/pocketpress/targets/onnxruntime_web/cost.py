"""Whether an 8-bit network is faster in integers than in float in ONNX Runtime Web.

Its matrix product in integers takes less than half of the time of the float one, but every result is then
rescaled and rounded one by one, and its depthwise convolution in integers is not vectorised.  So integers win
in layers that add many products for each result, and lose in MobileNets.  The nanoseconds below were measured
in Chromium 156 on x86 with one thread by ``benchmarks/web/operators.py``; only their ratios matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketpress.core.program import Node, Program
from pocketpress.core.program.work import multiply_accumulates_of

FLOAT_DENSE_NS, INTEGER_DENSE_NS = 0.11, 0.045
"""Of a multiply-accumulate."""
FLOAT_GROUPED_NS, INTEGER_GROUPED_NS = 0.20, 0.15
"""The same with several groups of several channels."""
INTEGER_RESULT_NS = 5.5
"""Of rescaling and rounding one result."""
FLOAT_DEPTHWISE_NS, FLOAT_TAP_NS = 0.5, 0.5
INTEGER_DEPTHWISE_NS, INTEGER_TAP_NS = 5.0, 1.1
"""Of one result of a depthwise convolution, and of each of its taps."""

MARGIN = 0.95
"""Integers must be predicted to take at most this share of the float time."""


@dataclass(frozen=True)
class Cost:
    """Predicted seconds of all products of a network.

    Attributes:
        integer_s: where they compute in integers.
        float_s: where they compute in float.
    """

    integer_s: float
    float_s: float

    @property
    def integers_win(self) -> bool:
        """Whether integers are worth it; a network without products keeps them."""
        return self.integer_s <= MARGIN * self.float_s or self.float_s == 0


def predicted(program: Program) -> Cost:
    """The cost of the integer products of a program; those it has in float cost the same either way."""
    integer = real = 0.0
    for node in program.nodes:
        if program.type(node.outputs[0]).is_quantized and multiply_accumulates_of(program, node):
            in_integers, in_float = _node(program, node)
            integer, real = integer + in_integers, real + in_float
    return Cost(integer * 1e-9, real * 1e-9)


def _node(program: Program, node: Node) -> tuple[float, float]:
    results, products = program.type(node.outputs[0]).elements, multiply_accumulates_of(program, node)
    groups = int(node.attrs.get("groups", 1))
    if groups > 1 and groups == program.type(node.inputs[0]).shape[1]:
        taps = int(np.prod(program.type(node.inputs[1]).shape[2:]))
        return (
            results * (INTEGER_DEPTHWISE_NS + taps * INTEGER_TAP_NS),
            results * (FLOAT_DEPTHWISE_NS + taps * FLOAT_TAP_NS),
        )
    integer, real = (
        (INTEGER_GROUPED_NS, FLOAT_GROUPED_NS) if groups > 1 else (INTEGER_DENSE_NS, FLOAT_DENSE_NS)
    )
    return products * integer + results * INTEGER_RESULT_NS, products * real
