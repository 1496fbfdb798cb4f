"""Constants in few bits: packed in the file, decoded by ordinary nodes that the runtime folds at load time.

A weight of 8 or 4 bits is followed by Cast and Mul, a palette by Gather.  All their inputs are constants, so
ONNX Runtime computes them once while it loads the file (constant folding, on from the basic optimisation
level) and the kernels, and execution providers, see plain float32 or int8 weights.  DequantizeLinear would
mean the same, but ONNX Runtime leaves it in the graph and decodes at every inference.

Fewer than 8 bits are bit fields in bytes, and a table says which integers a byte holds.  ONNX has 4-bit
types, but ONNX Runtime up to 1.20 at least cannot cast them, and 3 or 6 bits have none.
"""

from __future__ import annotations

import numpy as np
import onnx

from pocketpress.core.errors import InternalError
from pocketpress.core.program import Quantization
from pocketpress.core.program.decode import stored_bits
from pocketpress.core.program.ir import Array
from pocketpress.targets.onnxruntime.writer import GraphWriter

_FIELDS = (4, 2, 1)
"""Widths of the bit fields an unsigned integer is cut into; each divides a byte."""


def real_value(w: GraphWriter, name: str) -> str:
    """The ONNX name of a tensor as float32: decoded once where it is a constant in few bits."""
    type_ = w.program.type(name)
    if not w.program.is_constant(name) or (type_.quant is None and type_.palette is None):
        return w.value(name)
    return w.once(f"real {name}", lambda: _palette(w, name) if type_.palette else _scaled(w, name))


def integer_weight(w: GraphWriter, stem: str, weight: Array, dtype: str) -> str:
    """The ONNX name of int8 weights; ``dtype`` "int4" stores them two to a byte.

    Weights of several layers are stored once, and each layer reads all of them through a Slice that is folded
    when the file is loaded: ONNX Runtime's int8-to-uint8 weight rewrite (x86 without VNNI) fails when it
    meets the same tensor twice.  The slices end differently far behind the last row, so that none is merged
    with another as a common subexpression.
    """
    if dtype == "int4":
        return _int4(w, stem, weight)
    if not w.is_repeated(weight):
        return w.initializer(stem, weight)
    stored = w.shared(f"{stem}_stored", weight)
    start, end = w.int64([0]), w.int64([len(weight) + w.number_of_use(stored)])
    return w.emit("Slice", [stored, start, end], name=stem)


def pack(values: Array, bits: int) -> bytes:
    """Unsigned integers below ``2**bits`` as bytes, lowest bits first; ``bits`` is 1, 2 or 4."""
    flat = np.asarray(values, np.uint8).reshape(-1)
    per_byte = 8 // bits
    padded = np.zeros(-(-flat.size // per_byte) * per_byte, np.uint8)
    padded[: flat.size] = flat
    shifted = padded.reshape(-1, per_byte) << np.arange(0, 8, bits, dtype=np.uint8)
    return bytes(np.bitwise_or.reduce(shifted, axis=1).tobytes())


def _int4(w: GraphWriter, name: str, values: Array) -> str:
    """4-bit integers as int8."""
    if values.min(initial=0) < -8 or values.max(initial=0) > 7:
        raise InternalError("4-bit constant out of range", got=name, allowed="-8 to 7")
    table = fields_of_bytes(4).astype(np.int8)
    return _field(w, name, values & 15, 4, np.where(table > 7, table - 16, table).astype(np.int8))


def _scaled(w: GraphWriter, name: str) -> str:
    """``float32(q) * scale``: the one product of `core.program.decode`."""
    value, type_ = w.program.constants[name], w.program.type(name)
    quant = w.quant(name)
    if quant.zero_point != 0:
        raise InternalError("ONNX Runtime: weight with a zero point", got=name)
    stored = _int4(w, name, value) if type_.dtype == "int4" else w.shared(f"{name}_stored", value)
    grid = w.emit("Cast", [stored], name=name, to=onnx.TensorProto.FLOAT)
    return w.emit("Mul", [grid, _scales(w, name, quant, type_.shape)], name=name)


def _scales(w: GraphWriter, name: str, quant: Quantization, shape: tuple[int, ...]) -> str:
    """Scales that broadcast against the weight; those of blocks are repeated by the runtime."""
    if quant.block is None:
        return w.initializer(f"{name}_scale", quant.spread(shape))
    other, rest = 1 - (quant.axis or 0), (1,) * (len(shape) - 2)
    scales = quant.scales().reshape(shape[1 - other], -1, 1)
    blocks = scales.shape[1]
    if other == 0:
        scales = scales.transpose(1, 2, 0)
    stored = w.initializer(f"{name}_scale", np.ascontiguousarray(scales))
    full = tuple(quant.block if i == other + 1 else size for i, size in enumerate(scales.shape))
    if other == 0:
        full = (blocks, quant.block, shape[1])
    repeated = w.emit("Expand", [stored, w.int64(full)], name=name)
    lengths = [shape[0], shape[1]]
    lengths[other] = blocks * quant.block
    spread = w.emit("Reshape", [repeated, w.int64([*lengths, *rest])], name=name)
    if lengths[other] == shape[other]:
        return spread
    return w.emit("Slice", [spread, w.int64([0]), w.int64([shape[other]]), w.int64([other])], name=name)


def _palette(w: GraphWriter, name: str) -> str:
    type_ = w.program.type(name)
    assert type_.palette is not None
    codebook = w.initializer(f"{name}_codebook", np.asarray(type_.palette, np.float32))
    grid = _unpacked(w, name, w.program.constants[name], stored_bits(type_))
    index = w.emit("Cast", [grid], name=name, to=onnx.TensorProto.INT32)
    return w.emit("Gather", [codebook, index], name=name)


def _unpacked(w: GraphWriter, name: str, values: Array, bits: int) -> str:
    """Unsigned integers below ``2**bits`` as uint8; in the file one run of bit fields per width."""
    if bits == 8:
        return w.initializer(f"{name}_stored", values)
    whole, low = "", 0
    for width in _FIELDS:
        if bits & width:
            part = _field(w, name, (values >> low) & (2**width - 1), width, fields_of_bytes(width))
            whole, low = (_joined(w, name, whole, part, low) if low else part), low + width
    return whole


def _joined(w: GraphWriter, name: str, lower: str, upper: str, low: int) -> str:
    moved = w.emit("BitShift", [upper, w.shared("bits", np.uint8(low))], name=name, direction="LEFT")
    return w.emit("BitwiseOr", [lower, moved], name=name)


def _field(w: GraphWriter, name: str, values: Array, width: int, table: Array) -> str:
    """Bytes from ``width`` bits each: the packed bytes select rows of ``table``."""
    packed = np.frombuffer(pack(values, width), np.uint8)
    stored = w.initializer(f"{name}_stored", packed)
    index = w.emit("Cast", [stored], name=name, to=onnx.TensorProto.INT32)
    field = w.emit("Gather", [w.shared("fields", table), index], name=name)
    if packed.size * (8 // width) != values.size:
        flat = w.emit("Reshape", [field, w.int64([-1])], name=name)
        field = w.emit("Slice", [flat, w.int64([0]), w.int64([values.size])], name=name)
    return w.emit("Reshape", [field, w.int64(values.shape)], name=name)


def fields_of_bytes(width: int) -> Array:
    """The unsigned fields of every byte, lowest first: shape (256, 8 / width), uint8."""
    every = np.arange(256, dtype=np.uint8).reshape(-1, 1)
    return every >> np.arange(0, 8, width, dtype=np.uint8) & np.uint8(2**width - 1)
