"""Integer mean."""

from __future__ import annotations

import numpy as np

from pocketpress.core.program.ir import Array
from pocketpress.verify.reference.context import Context


def mean(c: Context) -> Array:
    """``round_half_even(float32(sum(q - z)) * (s_in / (s_out * count)))``."""
    axes = tuple(c.attr("axes"))
    total = c.centred(0).sum(axis=axes, keepdims=c.attr("keepdims"), dtype=np.int64)
    count = int(np.prod([c.inputs[0].shape[a] for a in axes]))
    multiplier = np.float64(c.quant(0).step) / (np.float64(c.out_quant.step) * count)
    return c.store(np.rint(total * multiplier))
