"""w8-dynamic: int8 weights, activations quantised at run time.

The range of every activation is measured as it comes, so nothing must be calibrated (the "dynamic range"
scheme of Wu et al. 2020, arXiv:2004.09602, section 3.1).  Transposed convolutions and grouped products that
no runtime computes so keep float arithmetic on int8 weights.
"""

from __future__ import annotations

from dataclasses import replace

from pocketpress.core.program import Node, Program
from pocketpress.core.program.recurrent import RECURRENT, input_product
from pocketpress.core.target import Skipped

IN_FLOAT = "float arithmetic on int8 weights"
DYNAMIC = {"conv2d": "dynamic_conv2d", "linear": "dynamic_linear"}


def quantize_at_run_time(
    program: Program, dynamic_ops: frozenset[str]
) -> tuple[Program, tuple[Skipped, ...]]:
    """Turn products with int8 weights into their dynamic form where all targets have it.

    Args:
        program: with int8 weights (`integers`), one scale per output channel.
        dynamic_ops: "dynamic_conv2d" and "dynamic_linear", as far as every chosen target computes them.
    """
    nodes: list[Node] = []
    skipped: list[Skipped] = []
    parts = _of_recurrent_layers(program)
    for node in program.nodes:
        name = DYNAMIC.get(node.op)
        if name is None or program.type(node.inputs[1]).dtype != "int8":
            nodes.append(node)
        elif node.name in parts:
            nodes.append(node)
            skipped.append(Skipped(f"{node.op} {node.name}", parts[node.name]))
        elif name not in dynamic_ops:
            nodes.append(node)
            skipped.append(Skipped(f"{node.op} {node.name}", f"a chosen target has no {name}"))
        else:
            nodes.append(replace(node, op=name))
    skipped += [Skipped(f"{n.op} {n.name}", IN_FLOAT) for n in nodes if n.op in RECURRENT]
    return replace(program, nodes=tuple(nodes)), tuple(skipped)


def _of_recurrent_layers(program: Program) -> dict[str, str]:
    """Input products that the runtimes compute together with the recurrence, with the reason."""
    layers = [(node, input_product(program, node)) for node in program.nodes if node.op in RECURRENT]
    return {p.name: f"part of the recurrent layer {n.name}: {IN_FLOAT}" for n, p in layers if p is not None}
