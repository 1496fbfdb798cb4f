"""Look-up activations."""

from __future__ import annotations

import numpy as np

from pocketpress.core.program.ir import Array
from pocketpress.core.program.tables import FUNCTIONS, integer_table
from pocketpress.verify.reference.context import Context

__all__ = ["FUNCTIONS", "lookup"]


def lookup(c: Context) -> Array:
    """Apply the node's table."""
    table = integer_table(c.node.op, c.node.attrs, c.quant(0), c.out_quant, c.out_type.dtype)
    return np.asarray(table[c.inputs[0].astype(np.int32) + 128])
