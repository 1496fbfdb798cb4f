"""How far outputs of two files agree, and how far one is from the float network's."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from pocketpress.verify.parity import sqnr_db

Rows = npt.NDArray[np.float32]
"""Outputs of shape (pictures, elements)."""


@dataclass(frozen=True)
class Fidelity:
    """Against the float PyTorch network.

    Attributes:
        sqnr_db: of all elements of all pictures together.
        sqnr_median_db: median over pictures.
        argmax_agreement: share of pictures with the same largest element.
    """

    sqnr_db: float
    sqnr_median_db: float
    argmax_agreement: float


@dataclass(frozen=True)
class Pair:
    """Two files on the same pictures.

    Attributes:
        first: name.
        second: name.
        equal: share of elements less than half a step apart, a step being the coarser of the two outputs'
            grids.  On one common grid that is: the same integer.
        argmax_agreement: share of pictures with the same largest element.
    """

    first: str
    second: str
    equal: float
    argmax_agreement: float


def fidelity(got: Rows, floats: Rows) -> Fidelity:
    """Error of ``got`` as the float network's signal over noise."""
    truth, noise = floats.astype(np.float64), floats.astype(np.float64) - got
    each = [sqnr_db(t, n) for t, n in zip(truth, noise, strict=True)]
    return Fidelity(sqnr_db(truth, noise), float(np.median(each)), same_argmax(got, floats))


def pairs(outputs: dict[str, Rows]) -> tuple[Pair, ...]:
    """Every two of ``outputs``."""
    return tuple(
        Pair(a, b, equal_share(outputs[a], outputs[b]), same_argmax(outputs[a], outputs[b]))
        for a, b in combinations(outputs, 2)
    )


def equal_share(a: Rows, b: Rows) -> float:
    """Share of elements less than half a step apart."""
    step = max(grid_step(a), grid_step(b))
    return float(np.mean(np.abs(a.astype(np.float64) - b) < step / 2))


def grid_step(values: Rows) -> float:
    """Step of the grid that quantised outputs lie on: the smallest gap between different ones.

    Gaps below 1e-5 of the range are float32 rounding of one and the same value.
    """
    distinct = np.unique(values.astype(np.float64))
    gaps = np.diff(distinct)
    real = gaps[gaps > 1e-5 * (distinct[-1] - distinct[0])]
    return float(real.min()) if real.size else 0.0


def same_argmax(a: Rows, b: Rows) -> float:
    """Share of rows with the same largest element."""
    return float(np.mean(a.argmax(axis=1) == b.argmax(axis=1)))
