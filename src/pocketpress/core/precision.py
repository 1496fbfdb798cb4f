"""Precisions: how many bits weights and activations have, as names people type."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pocketpress.core.errors import UserError

Activations = Literal["float", "dynamic", "int8", "int16"]

MOST_PALETTE_BITS = 8
SMALLEST_BLOCK = 8


@dataclass(frozen=True)
class Precision:
    """One precision.

    Attributes:
        name: as typed after ``--precision``.
        family: what a target's card lists: ``palette`` for ``palette-4``, ``w4-block`` for ``w4-block-32``.
        weight_bits: 32, 16, 8 or 4; for palettes the bits of an index.
        activations: "float", "dynamic" (int8 ranges found at run time), "int8" or "int16".
        block: weights that share a scale, None for one scale per output channel.
        learned: weights are rounded by learning (needs calibration data).
    """

    name: str
    family: str
    weight_bits: int
    activations: Activations
    block: int | None = None
    learned: bool = False

    @property
    def needs_data(self) -> bool:
        """Whether activations have ranges that must be observed."""
        return self.activations in ("int8", "int16") or self.learned

    @property
    def trainable(self) -> bool:
        """Whether quantisation-aware training applies: activations on planned grids."""
        return self.activations in ("int8", "int16")

    @property
    def palette(self) -> bool:
        """Whether weights are indices into a codebook."""
        return self.family == "palette"


_FIXED = {
    p.name: p
    for p in (
        Precision("fp32", "fp32", 32, "float"),
        Precision("fp16", "fp16", 16, "float"),
        Precision("w8a8-static", "w8a8-static", 8, "int8", learned=True),
        Precision("w8a8-fast", "w8a8-static", 8, "int8"),
        Precision("w4a8", "w4a8", 4, "int8", learned=True),
        Precision("w8a16", "w8a16", 8, "int16"),
        Precision("w8-dynamic", "w8-dynamic", 8, "dynamic"),
        Precision("w8", "w8", 8, "float"),
        Precision("w4", "w4", 4, "float"),
        Precision("mixed", "w8a8-static", 8, "int8", learned=True),
    )
}
_PARAMETRIC = re.compile(r"(palette|w4-block|w8-block)-(\d{1,4})")

NAMES = (*_FIXED, "w4-block-N", "w8-block-N", "palette-N")
"""What help and errors list."""

FAMILIES = (
    "fp32",
    "fp16",
    "w8a8-static",
    "w8a16",
    "w8-dynamic",
    "w8",
    "w8-block",
    "w4",
    "w4-block",
    "w4a8",
    "palette",
)

NEAREST: dict[str, tuple[str, ...]] = {
    "fp16": ("fp32",),
    "w8a8-static": ("w8-dynamic", "w8", "fp16", "fp32"),
    "w8a16": ("w8a8-static", "w8", "fp16", "fp32"),
    "w8-dynamic": ("w8a8-static", "w8", "fp16", "fp32"),
    "w8": ("w8-dynamic", "w8a8-static", "fp16", "fp32"),
    "w8-block": ("w8", "w8-dynamic", "w8a8-static", "fp16", "fp32"),
    "w4": ("w4-block", "w8", "w8-dynamic", "w8a8-static", "fp16", "fp32"),
    "w4-block": ("w4", "w8", "w8-dynamic", "w8a8-static", "fp16", "fp32"),
    "w4a8": ("w8a8-static", "w4", "w8", "fp16", "fp32"),
    "palette": ("w4", "w8", "w8a8-static", "fp16", "fp32"),
}
"""Per family, what to use instead where a target lacks it: the likest first."""


def parse_precision(name: str) -> Precision:
    """A precision by name.

    Raises:
        UserError: there is none of that name, or its number is out of range.
    """
    if name in _FIXED:
        return _FIXED[name]
    found = _PARAMETRIC.fullmatch(name)
    if found is None:
        raise UserError("unknown precision", got=name, allowed=NAMES)
    family, number = found[1], int(found[2])
    if family == "palette":
        if not 1 <= number <= MOST_PALETTE_BITS:
            raise UserError("palette-N: N bits per index", got=number, allowed=f"1 to {MOST_PALETTE_BITS}")
        return Precision(name, family, number, "float")
    if number < SMALLEST_BLOCK:
        raise UserError(f"{family}-N: N weights per block", got=number, allowed=f"{SMALLEST_BLOCK} or more")
    return Precision(name, family, int(family[1]), "float", block=number)


def nearest(family: str, available: tuple[str, ...]) -> str | None:
    """The likest family that a target has, None when it has none."""
    return next((name for name in NEAREST.get(family, ()) if name in available), None)
