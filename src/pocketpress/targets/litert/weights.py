"""A product's weight as its operator reads it: rearranged, packed, and decoded where arithmetic is in float.

XNNPACK decodes DEQUANTIZE of an int8 or float16 constant once, when the file is loaded, and its operators
take the result as the constant they ask for.  LiteRT's own DEQUANTIZE decodes int4 on the first run and keeps
the result.  Blocks and palettes are decoded by a second subgraph that runs once and leaves a variable behind.
What is not a constant to XNNPACK is called computed here: BATCH_MATMUL alone multiplies by it (`matrices`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pocketpress.core.program import Quantization, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.targets.litert.emission import Emission
from pocketpress.targets.litert.graph import Graph

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
        bits: of packed integers (4, or 2 for small palettes), else None.
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
        return self.bits is not None or not self.is_plain

    @property
    def is_plain(self) -> bool:
        """Whether it has neither blocks nor a palette."""
        return self.scales is None and self.palette is None


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
    if weight.value.dtype.kind == "f":
        return e.constant(weight.name, weight.value)
    return _constant(e.graph, weight)


def _constant(graph: Graph, weight: Weight) -> int:
    if weight.bits is None:
        return graph.constant(weight.name, weight.value, weight.quant)
    assert weight.quant is not None
    return graph.packed(weight.name, weight.value, weight.bits, weight.quant)


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
        made = _looked_up(e.loading, weight, weight.palette, like)
    elif weight.scales is not None:
        made = _scaled_in_blocks(e.loading, weight, weight.scales, like)
    elif weight.quant is not None:
        return _dequantized(e.graph, weight, like)
    else:
        return e.constant(weight.name, weight.value)
    variable = f"{weight.name}/{'x'.join(map(str, like.shape))}"
    e.loading.assign(variable, made)
    return e.graph.read(variable, like)


def _scaled_in_blocks(graph: Graph, weight: Weight, scales: Array, like: TensorType) -> int:
    """Integers times scales of shape (channels, 1, blocks, 1)."""
    channels, _, blocks, _ = scales.shape
    split = weight.value.reshape(channels, weight.taps, blocks, -1)
    view = TensorType(tuple(split.shape))
    wide = _dequantized(graph, replace(weight, value=split), view)
    constant = graph.constant(f"{weight.name}/scales", scales)
    scaled = graph.tensor("/scaled", view)
    graph.operator("MUL", [wide, constant], [scaled], schema.MulOptionsT())
    out = graph.tensor("/real", like)
    graph.operator("RESHAPE", [scaled, graph.integers("shape", like.shape)], [out])
    return out


def _dequantized(graph: Graph, weight: Weight, like: TensorType) -> int:
    out = graph.tensor("/real", like)
    graph.operator("DEQUANTIZE", [_constant(graph, weight)], [out])
    return out


def _looked_up(graph: Graph, weight: Weight, palette: tuple[float, ...], like: TensorType) -> int:
    """GATHER from the codebook by indices of 2, 4 or 8 bits."""
    codebook = graph.constant(f"{weight.name}/codebook", np.asarray(palette, np.float32))
    bits = CRUMB_BITS if len(palette) <= 1 << CRUMB_BITS else NIBBLE_BITS
    if len(palette) > 1 << NIBBLE_BITS:
        codes = graph.constant(weight.name, weight.value)
    else:
        lowest = -(1 << (bits - 1))
        shifted = (weight.value.astype(np.int16) + lowest).astype(np.int8)
        grid = Quantization.per_tensor(1.0, lowest)
        codes = _dequantized(graph, Weight(weight.name, shifted, bits, grid), like)
    indices = graph.tensor("/indices", TensorType(like.shape, "int32"))
    graph.operator("CAST", [codes], [indices])
    out = graph.tensor("/real", like)
    graph.operator("GATHER", [codebook, indices], [out], schema.GatherOptionsT(axis=0))
    return out
