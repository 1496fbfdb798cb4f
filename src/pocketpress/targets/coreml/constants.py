"""How a weight is held in the file: operators that Core ML expands from fewer bits.

iOS 17 (opset CoreML7) has whole bytes with a scale per channel (``constexpr_affine_dequantize``) and
codebooks (``constexpr_lut_to_dense``); iOS 18 (CoreML8) has 4-bit integers and blocks
(``constexpr_blockwise_shift_scale``) and codebooks of 8 numbers.  A program is of the older opset unless one
of its weights needs the newer.
"""

from __future__ import annotations

import numpy as np

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Program, Quantization, TensorType
from pocketpress.core.program.decode import stored_bits
from pocketpress.core.program.ir import Array
from pocketpress.core.target import Skipped
from pocketpress.targets.coreml.graph import NEW_OPSET, OPSET, Constant, Narrow
from pocketpress.targets.coreml.weights import pack

INDEX_BITS = (1, 2, 3, 4, 6, 8)
_NEW_INDEX_BITS = (3,)


def opset_of(program: Program) -> str:
    """The oldest opset that has what the weights need."""
    held = (program.type(name) for name in program.constants)
    return NEW_OPSET if any(_is_new(type_) for type_ in held) else OPSET


def _is_new(type_: TensorType) -> bool:
    blocks = type_.quant is not None and type_.quant.block is not None
    return blocks or type_.dtype == "int4" or index_bits(type_) in _NEW_INDEX_BITS


def index_bits(type_: TensorType) -> int:
    """Bits of a codebook index in the file, 0 for a tensor without codebook."""
    if type_.palette is None:
        return 0
    return next(bits for bits in INDEX_BITS if bits >= stored_bits(type_))


def stored_wider(program: Program) -> tuple[Skipped, ...]:
    """Codebooks whose indices take more bits in the file than they need, and why."""
    held = {name: program.type(name) for name in program.constants if program.type(name).palette is not None}
    return tuple(
        Skipped(name, f"Core ML has no indices of {stored_bits(type_)} bits: they take {index_bits(type_)}")
        for name, type_ in held.items()
        if stored_bits(type_) != index_bits(type_)
    )


def palette(value: Array, type_: TensorType, opset: str) -> tuple[str, dict[str, Constant]]:
    """Operator and arguments of a codebook; the entries that indices leave over repeat the last."""
    bits = index_bits(type_)
    book = np.asarray(type_.palette, np.float32)
    book = np.pad(book, (0, 2**bits - len(book)), mode="edge")
    if opset == NEW_OPSET:
        lut = book.reshape(*[1] * value.ndim, -1, 1)
        return "constexpr_lut_to_dense", {"indices": Narrow(value, f"uint{bits}"), "lut": lut}
    shape = np.asarray(value.shape, np.uint32)
    return "constexpr_lut_to_dense", {"indices": pack(value, bits), "lut": book, "shape": shape}


def integers(value: Array, type_: TensorType, opset: str, name: str) -> tuple[str, dict[str, Constant]]:
    """Operator and arguments of integers with scales, as they are.

    Raises:
        UnsupportedError: scales that Core ML cannot spread over the weight.
    """
    quant = type_.quant
    if quant is None:
        raise ValueError(f"{name} is not quantised")
    axis = 0 if quant.axis is None else quant.axis
    scale: Array = np.asarray(quant.step) if quant.axis is None else quant.scales()
    if quant.axis is not None and quant.block is None and len(scale) != value.shape[axis]:
        axis = _axis_of_length(value, len(scale), name)
    if opset == NEW_OPSET:
        return _shifted(value, type_, quant, axis, name)
    arguments: dict[str, Constant] = {
        "quantized_data": value,
        "zero_point": np.full(scale.shape, quant.zero_point, dtype=value.dtype),
        "scale": scale,
        "axis": axis,
    }
    return "constexpr_affine_dequantize", arguments


def _shifted(
    value: Array, type_: TensorType, quant: Quantization, axis: int, name: str
) -> tuple[str, dict[str, Constant]]:
    shape = [1] * value.ndim
    scale = quant.scales()
    if quant.block is not None:
        other = 1 - axis
        if value.shape[other] % quant.block:
            raise UnsupportedError(
                f"Core ML has no blocks of unequal size: {name}", got=quant.block, allowed=value.shape[other]
            )
        grid = scale.reshape(value.shape[axis], -1)
        scale = grid if axis == 0 else grid.T
        shape[axis], shape[other] = grid.shape
    elif quant.axis is not None:
        shape[axis] = len(scale)
    arguments: dict[str, Constant] = {
        "data": Narrow(value, type_.dtype) if type_.dtype == "int4" else value,
        "scale": np.ascontiguousarray(scale).reshape(shape),
    }
    if quant.zero_point:
        arguments["offset"] = np.full(shape, quant.zero_point, dtype=value.dtype)
    return "constexpr_blockwise_shift_scale", arguments


def _axis_of_length(value: Array, length: int, name: str) -> int:
    """The axis that scales belong to: of a depthwise transposed convolution, the input channel's."""
    if value.ndim == 4 and value.shape[0] == length and value.shape[1] == 1:
        return 0
    raise UnsupportedError(
        f"Core ML cannot hold one scale per output channel of a grouped transposed convolution: {name}",
        got=f"{length} scales for weights {value.shape}",
        next_step="use one group, or as many groups as channels",
    )
