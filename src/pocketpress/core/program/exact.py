"""Float outputs that every runtime computes bit for bit: heads on exact integer sums.

See `compress.quantize.head`: an int8 activation with a power-of-two scale, a linear layer with integer
weights whose sums stay below 2^24, one product with a constant.
"""

from __future__ import annotations

import math

from pocketpress.core.program.decode import real_constant
from pocketpress.core.program.ir import Node, Program


def exact_outputs(program: Program) -> frozenset[str]:
    """Names of such outputs."""
    producers = program.producers()
    return frozenset(name for name in program.outputs if _is_head(program, producers, name))


def exact_nodes(program: Program) -> frozenset[str]:
    """Names of the two float nodes of every such output."""
    producers = program.producers()
    scaled = [producers[name] for name in exact_outputs(program)]
    return frozenset(n for node in scaled for n in (node.name, producers[node.inputs[0]].name))


def _is_head(program: Program, producers: dict[str, Node], name: str) -> bool:
    scaled = producers.get(name)
    if scaled is None or scaled.op != "mul" or scaled.inputs[1] not in program.constants:
        return False
    product = producers.get(scaled.inputs[0])
    if product is None or product.op != "linear" or product.inputs[1] not in program.constants:
        return False
    real = producers.get(product.inputs[0])
    if real is None or real.op != "dequantize":
        return False
    quant = program.type(real.inputs[0]).quant
    weight = real_constant(program, product.inputs[1])
    integers = bool((weight == weight.round()).all())
    return quant is not None and quant.axis is None and math.frexp(float(quant.step))[0] == 0.5 and integers
