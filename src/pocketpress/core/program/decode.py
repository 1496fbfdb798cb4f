"""From what is stored to the real numbers it stands for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pocketpress.core.program.ir import Array, Program, TensorType


def decode(value: Array, type_: TensorType) -> npt.NDArray[np.float32]:
    """Real values of a stored tensor, float32: ``scale * (q - zero_point)``, ``palette[q]``, or a cast.

    One float32 product per element and nothing else, so that every runtime that decodes gets the same bits.
    """
    if type_.palette is not None:
        return np.asarray(type_.palette, np.float32)[value]
    if type_.quant is None:
        return np.asarray(value, np.float32)
    centred = (value.astype(np.int32) - type_.quant.zero_point).astype(np.float32)
    return np.asarray(centred * type_.quant.spread(type_.shape), np.float32)


def real_constant(program: Program, name: str) -> npt.NDArray[np.float32]:
    """Real values of a constant."""
    return decode(program.constants[name], program.type(name))


def stored_bits(type_: TensorType) -> int:
    """Bits of one element in a file that packs it as tightly as its kind allows."""
    if type_.palette is not None:
        return max(1, (len(type_.palette) - 1).bit_length())
    if type_.dtype == "int4":
        return 4
    return int(np.dtype(type_.dtype).itemsize) * 8
