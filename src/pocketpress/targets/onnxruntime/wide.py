"""16-bit activations, with which no kernel of ONNX Runtime's CPU provider computes: reals take their place.

Rounding every result to its 16-bit grid between float kernels costs time (a ResNet-20 takes twice as long as
in float) and buys error; besides, ONNX Runtime quantises float weights between a DequantizeLinear and a
QuantizeLinear anew, with one scale per tensor.  So only what the caller gets is rounded to its grid.
"""

from __future__ import annotations

from pocketpress.core.program import Program, reals

WIDE = "int16"


def is_wide(program: Program) -> bool:
    """Whether any tensor has 16 bits."""
    return any(type_.dtype == WIDE for type_ in program.types.values())


def on_reals(program: Program) -> Program:
    """The same program with float32 in place of 16-bit activations; weights stay stored as they are."""
    return reals.on_reals(program, [n for n, t in program.types.items() if t.dtype == WIDE])
