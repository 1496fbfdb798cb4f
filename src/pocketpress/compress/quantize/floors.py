"""The least scale a result may have, so that a dead one cannot ask for what no kernel multiplies by.

A kernel multiplies its int32 sums by ``step of the sums / step of the result``, and runtimes refuse large
multipliers (XNNPACK: 256 for products, 2^8 for sums).  Results that are always zero, or nearly so, as behind
a dead ReLU, would have one.  What such a result can hold is far less than one step of its sums: it loses
nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketpress.compress.quantize.place import PRODUCTS
from pocketpress.core.program import Node, Program

MOST = 64.0
"""Multiplier allowed at most; those of live layers are below 1."""
COARSEST = 7
"""Largest 4-bit weight: the steps of weights are at most their largest magnitude over it."""


def least_scale(program: Program, node: Node, scale_of: Callable[[str], float | None]) -> float:
    """Floor of the scale of a node's result.

    Args:
        program: float.
        node: computed in integers.
        scale_of: scales of its inputs; None for one that has none.
    """
    scales = [scale for name in node.inputs if (scale := scale_of(name)) is not None]
    if not scales:
        return 0.0
    if node.op in PRODUCTS:
        largest = float(np.abs(program.constants[node.inputs[1]]).max(initial=0.0)) or 1.0  # as `weights`
        return scales[0] * largest / COARSEST / MOST
    if node.op in ("add", "sub"):
        return max(scales) / MOST
    if node.op == "mul" and len(scales) == 2:
        return scales[0] * scales[1] / MOST
    return 0.0
