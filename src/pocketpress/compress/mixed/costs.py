"""From a program and its sensitivities to what `assign` weighs."""

from __future__ import annotations

from pocketpress.compress.mixed.assign import Border, Costs, Layer
from pocketpress.compress.mixed.sensitivity import Sensitivity
from pocketpress.compress.quantize.place import PRODUCTS, Placement
from pocketpress.core.program import OPS, Node, Program
from pocketpress.core.program.recurrent import RECURRENT, weight_names


def costs_of(program: Program, placement: Placement, found: Sensitivity, float_bits: int) -> Costs:
    """Layers and borders of a network.

    Args:
        program: float.
        placement: which nodes run in integers when nothing is kept float.
        found: its sensitivities.
        float_bits: of the weights of float layers: 16 or 32.
    """
    movable = [n for n in program.nodes if n.name in placement.integer and OPS[n.op].integer != "move"]
    return Costs(
        tuple(_layer(program, n, found) for n in movable), _borders(program, movable, found), float_bits
    )


def _layer(program: Program, node: Node, found: Sensitivity) -> Layer:
    if node.op not in PRODUCTS:
        return Layer(node.name, program.type(node.outputs[0]).elements)
    shape = program.type(node.inputs[1]).shape
    return Layer(
        node.name,
        multiply_accumulates(program, node),
        program.type(node.inputs[1]).elements,
        shape[1 if node.op == "conv_transpose2d" else 0],
        {bits: noise[node.name] for bits, noise in found.weights.items() if node.name in noise},
    )


def multiply_accumulates(program: Program, node: Node) -> int:
    """Of one inference; 0 for what is no product of stored weights."""
    if node.op in RECURRENT:
        rows = program.type(node.inputs[0]).elements // program.type(node.inputs[0]).shape[-1]
        return rows * sum(program.type(name).elements for name in weight_names(node))
    if node.op not in PRODUCTS:
        return 0
    weight = program.type(node.inputs[1])
    outer = node.inputs[0] if node.op == "conv_transpose2d" else node.outputs[0]
    return program.type(outer).elements * weight.elements // max(weight.shape[0], 1)


def _borders(program: Program, movable: list[Node], found: Sensitivity) -> tuple[Border, ...]:
    names = {node.name for node in movable}
    borders = []
    for tensor, noise in found.activations.items():
        carried, holders = {tensor}, set()
        for node in program.nodes:
            if node.name in names and carried & {*node.inputs, *node.outputs}:
                holders.add(node.name)
            elif OPS[node.op].integer == "move" and carried & set(node.inputs):
                carried |= set(node.outputs)
        borders.append(Border(tensor, noise, program.type(tensor).elements, frozenset(holders)))
    return tuple(borders)
