"""Evaluate once, here, what does not depend on the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pocketpress.core.program import Node, Program
from pocketpress.core.program.ir import Array
from pocketpress.graph.rewrite import Rewrite

Evaluate = Callable[[Program, Node, list[Any]], Array]


def fold_constants(program: Program, evaluate: Evaluate) -> Program:
    """Replace every node whose inputs are all constants by its value; outputs keep a node of their own.

    Args:
        program: any program.
        evaluate: computes one node from its stored inputs (the reference interpreter).
    """
    rewrite = Rewrite(program)
    kept: list[Node] = []
    for node in program.nodes:
        known = all(n in rewrite.constants for n in node.inputs)
        if not known or node.outputs[0] in program.outputs:
            kept.append(node)
            continue
        inputs = [rewrite.constants[n] for n in node.inputs]
        rewrite.constants[node.outputs[0]] = evaluate(program, node, inputs)
    rewrite.nodes = kept
    return rewrite.build()
