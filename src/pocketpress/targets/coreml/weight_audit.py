"""Compare the weights that Core ML would expand from a file with the program's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pocketpress.core.errors import ArtifactError, CheckFailed
from pocketpress.core.program import Program, TensorType
from pocketpress.core.program.decode import decode
from pocketpress.core.program.ir import Array
from pocketpress.core.program.recurrent import RECURRENT
from pocketpress.targets.coreml.names import Names
from pocketpress.targets.coreml.weights import unpack

Attribute = Callable[[str], Any]
"""The value of an argument of one operation; None when it is left out."""


Scope = tuple[Program, Names]
"""A program in the file, the network or the step of one of its layers, and the names of its tensors there."""


def check_weights(operations: Mapping[str, tuple[str, Attribute]], parts: Sequence[Scope]) -> None:
    """Every weight in the file is the program's: integer for integer with its scales, number for number.

    Args:
        operations: kind and arguments of every expanding operation, by its output's name.
        parts: what the file was lowered from; a layer's weights are in its step.

    Raises:
        CheckFailed: a weight differs, is missing, or is not the program's.
    """
    expected = {
        names.of(n): (np.asarray(v), program.type(n))
        for program, names in parts
        for n, v in program.constants.items()
    }
    coded = {name for name, (value, type_) in expected.items() if is_coded(value, type_)}
    found = {name for name, (kind, _) in operations.items() if kind != "constexpr_cast"}
    if not found <= coded:
        raise CheckFailed("the file holds a weight that the program lacks", got=sorted(found - coded)[0])
    used = coded & {
        names.of(n)
        for program, names in parts
        for node in program.nodes
        if node.op not in RECURRENT
        for n in node.inputs
    }
    if found != used:
        raise CheckFailed(
            "the file holds another number of quantised weights", got=len(found), allowed=len(used)
        )
    for name in sorted(found):
        kind, attribute = operations[name]
        _CHECKS[kind](attribute, *expected[name], name)


def is_coded(value: Array, type_: TensorType) -> bool:
    """Whether a constant is a weight of integers with scales or of codebook indices."""
    if type_.palette is not None:
        return True
    return type_.quant is not None and type_.dtype in ("int4", "int8", "uint8") and value.ndim > 0


def _affine(attribute: Attribute, value: Array, type_: TensorType, name: str) -> None:
    quant = type_.quant
    require(quant is not None, name, "kind of weights")
    assert quant is not None
    stored = attribute("quantized_data")
    require(np.array_equal(stored, value) and stored.dtype == value.dtype, name, "integers")
    require(same(attribute("scale"), quant.scales()), name, "scales")
    require(bool((attribute("zero_point") == quant.zero_point).all()), name, "zero points")


def _shifted(attribute: Attribute, value: Array, type_: TensorType, name: str) -> None:
    quant = type_.quant
    require(quant is not None, name, "kind of weights")
    assert quant is not None
    require(np.array_equal(attribute("data"), value), name, "integers")
    scale, offset = attribute("scale"), attribute("offset")
    wanted = np.broadcast_to(quant.spread(value.shape), value.shape)
    require(same(repeated(scale, value.shape), wanted), name, "scales")
    held = np.zeros(1) if offset is None else offset
    require(bool((held == quant.zero_point).all()), name, "zero points")


def _codebook(attribute: Attribute, value: Array, type_: TensorType, name: str) -> None:
    require(type_.palette is not None, name, "kind of weights")
    book, indices, shape = attribute("lut").reshape(-1), attribute("indices"), attribute("shape")
    if shape is not None:
        bits = (len(book) - 1).bit_length()
        require(tuple(shape) == value.shape and indices.size * 8 >= bits * value.size, name, "shape")
        indices = unpack(indices, bits, value.size).reshape(value.shape)
    require(np.array_equal(indices, value), name, "integers")
    require(same(book[indices], decode(value, type_)), name, "numbers")


_CHECKS: dict[str, Callable[[Attribute, Array, TensorType, str], None]] = {
    "constexpr_affine_dequantize": _affine,
    "constexpr_blockwise_shift_scale": _shifted,
    "constexpr_lut_to_dense": _codebook,
}
EXPANDING = (*_CHECKS, "constexpr_cast")


def repeated(grid: Array, shape: tuple[int, ...]) -> Array:
    """A grid of one number per block, spread over a tensor.

    Raises:
        ArtifactError: its blocks do not tile the tensor.
    """
    if grid.ndim != len(shape) or any(size % blocks for size, blocks in zip(shape, grid.shape, strict=True)):
        raise ArtifactError("scales do not fit the weight", got=grid.shape, allowed=shape)
    for axis, size in enumerate(shape):
        grid = np.repeat(grid, size // grid.shape[axis], axis)
    return grid


def same(stored: Array, wanted: Array) -> bool:
    """Whether two float32 arrays have the same numbers in the same order."""
    return stored.dtype == np.float32 and np.array_equal(np.reshape(stored, -1), np.reshape(wanted, -1))


def require(holds: bool, name: str, what: str) -> None:
    """Raise CheckFailed unless ``holds``."""
    if not holds:
        raise CheckFailed(
            f"the file holds other {what} than the program for {name}", next_step="report this bug"
        )
