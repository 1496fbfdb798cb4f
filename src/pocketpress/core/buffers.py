"""Memory that a runtime is told of once, for runners of small networks: a call then costs two copies.

To announce numpy arrays to a runtime takes a microsecond or more for each, at every call: as long as a step
of a small recurrent network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketpress.core.signature import TensorSpec

Array = npt.NDArray[Any]
LARGEST = 1 << 16
"""Bytes of all inputs and outputs together up to which copying is cheaper than announcing."""


def small(specs: Sequence[TensorSpec]) -> bool:
    """Whether tensors are worth such memory."""
    return sum(int(np.prod(s.shape)) * np.dtype(s.dtype).itemsize for s in specs) <= LARGEST


def allocated(specs: Sequence[TensorSpec]) -> list[Array]:
    """An array for each."""
    return [np.zeros(spec.shape, spec.dtype) for spec in specs]


def filled(buffers: Sequence[Array], values: Sequence[Array]) -> bool:
    """Copy; False, if a value has another shape or dtype than its buffer, for the runtime to complain of."""
    if len(buffers) != len(values):
        return False
    for buffer, value in zip(buffers, values, strict=True):
        if buffer.shape != value.shape or buffer.dtype != value.dtype:
            return False
        buffer[...] = value
    return True
