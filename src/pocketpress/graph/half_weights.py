"""fp16: weights are stored in half precision; arithmetic stays float32."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from pocketpress.core.program import Program, TensorType
from pocketpress.graph.rewrite import Rewrite

_LARGEST = float(np.finfo(np.float16).max)


def half_weights(program: Program, only: Collection[str] | None = None) -> Program:
    """Round every float32 constant with more than one element to float16, saturating at +-65504.

    Args:
        program: any; integer constants stay as they are.
        only: constants that may be rounded, None for all.
    """
    rewrite = Rewrite(program)
    for name, value in program.constants.items():
        if only is not None and name not in only:
            continue
        if value.dtype == np.float32 and value.size > 1:
            rewrite.constants[name] = np.clip(value, -_LARGEST, _LARGEST).astype(np.float16)
            rewrite.types[name] = TensorType(tuple(value.shape), "float16")
    return rewrite.build()
