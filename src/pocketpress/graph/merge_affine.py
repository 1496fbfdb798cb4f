"""A chain of constant scales and shifts becomes one scale and one shift.

Keras writes batch-norm as ``(x - mean) * factor + beta``, and puts ``Rescaling`` before ``Normalization``:
three and four operators where two say the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pocketpress.core.program import Node, Program
from pocketpress.graph.rewrite import Rewrite, sole_consumer

Values = npt.NDArray[np.float64]


def merge_affine(program: Program) -> Program:
    """Merge every chain that gets shorter; a clamp may stand at its end."""
    rewrite = Rewrite(program)
    seen: set[str] = set()
    for node in program.nodes:
        if node.name in seen or not _is_affine(program, node):
            continue
        chain = _chain(program, node)
        seen |= {link.name for link in chain}
        merged = _merged(rewrite, program, chain)
        if merged is not None and len(merged) < len(chain):
            gone: dict[str, tuple[Node, ...]] = {link.name: () for link in chain}
            rewrite.replace_nodes({**gone, chain[-1].name: merged})
    return rewrite.build()


def _is_affine(program: Program, node: Node) -> bool:
    if node.op not in ("mul", "add") or node.inputs[1] not in program.constants:
        return False
    same = program.type(node.inputs[0]).shape == program.type(node.outputs[0]).shape
    return same and node.inputs[0] not in program.constants


def _chain(program: Program, first: Node) -> list[Node]:
    chain = [first]
    while chain[-1].attrs["clamp"] is None:
        after = sole_consumer(program, chain[-1].outputs[0])
        if after is None or not _is_affine(program, after):
            break
        chain.append(after)
    return chain


def _merged(rewrite: Rewrite, program: Program, chain: list[Node]) -> tuple[Node, ...] | None:
    """At most a ``mul`` and an ``add``; None when their constants would be larger than the chain's."""
    scale: Values = np.ones(())
    shift: Values = np.zeros(())
    constants = [program.constants[node.inputs[1]] for node in chain]
    for node, constant in zip(chain, constants, strict=True):
        value = np.asarray(constant, np.float64)
        scale, shift = (scale * value, shift * value) if node.op == "mul" else (scale, shift + value)
    if max(scale.size, shift.size) > max(constant.size for constant in constants):
        return None
    last = chain[-1]
    both = (("mul", scale, 1.0), ("add", shift, 0.0))
    kept = [(op, value) for op, value, neutral in both if np.any(value != neutral)]
    if not kept or len(kept) >= len(chain):
        return None
    nodes: list[Node] = []
    source = chain[0].inputs[0]
    for index, (op, value) in enumerate(kept):
        final = index == len(kept) - 1
        out = last.outputs[0] if final else rewrite.unique(f"{last.outputs[0]}_scaled")
        rewrite.types[out] = program.type(last.outputs[0])
        operand = rewrite.constant(f"{last.name}_{op}", value.astype(np.float32))
        clamp = last.attrs["clamp"] if final else None
        nodes.append(Node(op, out, (source, operand), (out,), {"clamp": clamp}, last.source))
        source = out
    return tuple(nodes)
