"""Whether a program with int8 weights computes in integers anywhere."""

from __future__ import annotations

from pocketpress.core.program.ir import Program
from pocketpress.core.program.recurrent import RECURRENT


def stores_recurrent(program: Program) -> bool:
    """Whether a program has recurrent layers whose weights are integers, and no arithmetic on integers.

    Then its precision makes the file smaller and nothing faster, whatever the precision is called.
    """
    layers = [node for node in program.nodes if node.op in RECURRENT]
    if not any(program.type(name).is_quantized for node in layers for name in node.inputs):
        return False
    rounded = any(node.attrs["state_scale"] is not None for node in layers)
    ranged = any(node.op.startswith("dynamic_") for node in program.nodes)
    made = any(program.type(name).is_quantized for node in program.nodes for name in node.outputs)
    return not (rounded or ranged or made)
