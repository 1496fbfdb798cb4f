"""A product's weight as its operator reads it: rearranged, packed, and decoded where arithmetic is in float.

XNNPACK decodes DEQUANTIZE of an int8 or float16 constant once, when the file is loaded, and its operators
take the result as the constant they ask for.  LiteRT's own DEQUANTIZE decodes other constants on the first
run and keeps the result; MUL (blocks), CAST and GATHER (palettes) behind it are repeated in every run.  What
is decoded so counts as computed: XNNPACK multiplies by it in BATCH_MATMUL only (`matrices`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pocketpress.core.program import Quantization, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.targets.litert.emission import Emission

Rearrange = Callable[[Array], Array]

NIBBLE_BITS, CRUMB_BITS = 4, 2
_AXES = "OIHW"
_WHOLE_NUMBERS = Quantization.per_tensor(1.0)


@dataclass(frozen=True)
class Weight:
    """A stored weight in the order of its operator.

    Attributes:
        name: of its tensor in the file.
        value: what is stored.
        bits: 4 for int4, else None.
        quant: of ``value``; with ``scales`` the grid of whole numbers.
        scales: None, or for blocks along the last axis, shape (channels, 1, blocks, 1), float32.
        taps: numbers of the kernel's window, for weights in blocks.
        palette: None, or what the indices in ``value`` stand for.
    """

    name: str
    value: Array
    bits: int | None = None
    quant: Quantization | None = None
    scales: Array | None = None
    taps: int = 1
    palette: tuple[float, ...] | None = None

    @property
    def is_computed(self) -> bool:
        """Whether the runtime decodes it after loading, so that its kernels see no constant."""
        return self.bits is not None or self.scales is not None or self.palette is not None


def arranged(e: Emission, name: str, rearrange: Rearrange, suffix: str, channel: int = 0) -> Weight:
    """A constant as ``rearrange`` orders it, its output channel on axis ``channel`` of the result."""
    type_, value = e.program.type(name), np.ascontiguousarray(rearrange(e.value(name)))
    bits = NIBBLE_BITS if type_.dtype == "int4" else None
    name = f"{name}:{suffix}" if suffix else name
    quant = type_.quant
    if quant is None or quant.axis is None:
        return Weight(name, value, bits, quant, palette=type_.palette)
    scales = rearrange(np.broadcast_to(quant.spread(type_.shape), type_.shape))
    if quant.block is None:
        per_channel = np.moveaxis(scales, channel, 0).reshape(scales.shape[channel], -1)[:, 0]
        return Weight(name, value, bits, Quantization.per_channel(per_channel.tolist(), channel))
    per_block = scales.reshape(len(scales), -1, scales.shape[-1])[:, :1, :: quant.block, None]
    taps = value.size // (len(value) * value.shape[-1])
    return Weight(name, value, bits, _WHOLE_NUMBERS, np.ascontiguousarray(per_block), taps)


def transposed(e: Emission, name: str, order: tuple[int, ...], channel: int = 0) -> Weight:
    """A constant with its axes in ``order``."""
    suffix = "".join(_AXES[axis] for axis in order) if len(order) == len(_AXES) else ""
    return arranged(e, name, lambda value: np.transpose(value, order), suffix, channel)


def stored(e: Emission, weight: Weight) -> int:
    """The integers themselves, for an operator that computes with them, or a float constant."""
    if weight.bits is not None:
        assert weight.quant is not None
        return e.graph.packed(weight.name, weight.value, weight.bits, weight.quant)
    return e.constant(weight.name, weight.value, weight.quant)


def widened(weight: Weight) -> Weight:
    """The same integers of int4 held one to a byte."""
    return Weight(weight.name, weight.value, None, weight.quant)


def real(e: Emission, weight: Weight) -> int:
    """A float32 tensor of the weight's real numbers, shaped as ``weight.value``."""
    key = (weight.name, weight.value.shape)
    if key not in e.decoded:
        e.decoded[key] = _decoded(e, weight)
    return e.decoded[key]


def _decoded(e: Emission, weight: Weight) -> int:
    like = TensorType(tuple(weight.value.shape))
    if weight.palette is not None:
        return _looked_up(e, weight, like)
    if weight.quant is None:
        return e.constant(weight.name, weight.value)
    if weight.scales is not None:
        return _scaled_in_blocks(e, weight, weight.scales, like)
    return _dequantized(e, weight, like)


def _scaled_in_blocks(e: Emission, weight: Weight, scales: Array, like: TensorType) -> int:
    """Integers widened once, then MUL by scales of shape (channels, 1, blocks, 1) in every run."""
    channels, _, blocks, _ = scales.shape
    split = weight.value.reshape(channels, weight.taps, blocks, -1)
    view = TensorType(tuple(split.shape))
    wide = _dequantized(e, replace(weight, value=split), view)
    constant = e.graph.constant(f"{weight.name}/scales", scales)
    scaled = e.graph.tensor(f"{weight.name}/scaled", view)
    e.graph.operator("MUL", [wide, constant], [scaled], schema.MulOptionsT())
    out = e.graph.tensor(f"{weight.name}/real", like)
    e.graph.operator("RESHAPE", [scaled, e.graph.integers("shape", like.shape)], [out])
    return out


def _dequantized(e: Emission, weight: Weight, like: TensorType) -> int:
    out = e.graph.tensor(f"{weight.name}/real", like)
    e.graph.operator("DEQUANTIZE", [stored(e, weight)], [out])
    return out


def _looked_up(e: Emission, weight: Weight, like: TensorType) -> int:
    """GATHER from the codebook; indices of up to 4 bits come through a DEQUANTIZE that is computed once."""
    assert weight.palette is not None
    codebook = e.graph.constant(f"{weight.name}/codebook", np.asarray(weight.palette, np.float32))
    entries = len(weight.palette)
    bits = CRUMB_BITS if entries <= 1 << CRUMB_BITS else NIBBLE_BITS
    if entries > 1 << NIBBLE_BITS:
        codes = e.graph.constant(weight.name, weight.value)
    else:
        lowest = -(1 << (bits - 1))
        grid = Quantization.per_tensor(1.0, lowest)
        packed = e.graph.packed(weight.name, weight.value.astype(np.int16) + lowest, bits, grid)
        codes = e.graph.tensor(f"{weight.name}/codes", like)
        e.graph.operator("DEQUANTIZE", [packed], [codes])
    indices = e.graph.tensor(f"{weight.name}/indices", TensorType(like.shape, "int32"))
    e.graph.operator("CAST", [codes], [indices])
    out = e.graph.tensor(f"{weight.name}/real", like)
    e.graph.operator("GATHER", [codebook, indices], [out], schema.GatherOptionsT(axis=0))
    return out
