"""A loaded file of any tool, with what an application does before and after it kept apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Images = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Opened:
    """Three steps of one inference; only ``run`` is timed.

    Attributes:
        encode: float pixels of shape (1, 3, side, side) to the file's own input.
        run: the runtime.
        decode: the file's own output to real values.
    """

    encode: Callable[[Images], Array]
    run: Callable[[Array], Array]
    decode: Callable[[Array], Array]

    def __call__(self, x: Images) -> Array:
        """Real values of one picture."""
        return self.decode(self.run(self.encode(x)))


def same(value: Array) -> Array:
    """Nothing to convert."""
    return value
