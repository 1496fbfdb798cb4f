"""Transposed convolutions.  Weights: TRANSPOSE_CONV OHWI, as a matrix (phases and channels, taps and inputs).

A transposed convolution whose kernel is a whole multiple ``m`` of its stride ``s`` is an ordinary convolution
of ``m x m`` pixels that computes ``s x s`` results side by side, and DEPTH_TO_SPACE (sub-pixel convolution,
Shi et al. 2016, arXiv:1609.07009, section 4): the form for weights that want a matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pocketpress.core.program import Node, Quantization
from pocketpress.core.program.decode import real_constant
from pocketpress.core.program.ir import Array
from pocketpress.core.target import Skipped
from pocketpress.targets.litert import activation, matrices
from pocketpress.targets.litert.emission import Emission
from pocketpress.targets.litert.padding import SAME, VALID, Window, pad_image
from pocketpress.targets.litert.products import WORTH_UNFOLDING, bias, filters, is_matrix
from pocketpress.targets.litert.unfold import unfolded
from pocketpress.targets.litert.weights import NIBBLE_BITS, Weight, arranged

Pair = tuple[int, int]

_BYTES_PER_CHANNEL = 28
"""A bias of 4 bytes, and scale and zero point (4 and 8 bytes) of weight and bias."""


@dataclass(frozen=True)
class Geometry:
    """Sizes as (height, width); ``cut`` is what is dropped before ``result`` of the ``full`` result."""

    image: Pair
    kernel: Pair
    stride: Pair
    full: Pair
    cut: Pair
    result: Pair

    @classmethod
    def of(cls, e: Emission, node: Node) -> Geometry:
        """From a node in NHWC."""
        rows, cols = e.in_type(node).shape[1:3]
        height, width = e.out_type(node).shape[1:3]
        kernel = e.program.type(node.inputs[1]).shape[2:]
        down, across = (int(s) for s in node.attrs["stride"])
        top, left = (int(p) for p in node.attrs["pads"][:2])
        full = (
            max((rows - 1) * down + kernel[0], top + height),
            max((cols - 1) * across + kernel[1], left + width),
        )
        return cls((rows, cols), (kernel[0], kernel[1]), (down, across), full, (top, left), (height, width))

    @property
    def natural(self) -> Pair:
        """The size that inputs reach."""
        rows, cols = ((self.image[i] - 1) * self.stride[i] + self.kernel[i] for i in (0, 1))
        return rows, cols

    @property
    def same(self) -> bool:
        """Whether SAME cuts the same rows and columns."""
        return all(
            self.result[i] == self.image[i] * self.stride[i]
            and self.kernel[i] >= self.stride[i]
            and (self.natural[i] - self.result[i]) // 2 == self.cut[i]
            for i in (0, 1)
        )

    @property
    def has_phases(self) -> bool:
        """Whether it is a convolution and a DEPTH_TO_SPACE, which knows square blocks only."""
        whole = all(k % s == 0 for k, s in zip(self.kernel, self.stride, strict=True))
        return whole and self.stride[0] == self.stride[1] and self.full == self.natural


def conv_transpose2d(e: Emission, node: Node) -> None:
    """TRANSPOSE_CONV with SAME where that cuts the same rows, else VALID and a SLICE; or phases."""
    geometry, weight = Geometry.of(e, node), _dense(e, node)
    if node.attrs["groups"] == 1 and geometry.has_phases:
        phases = _phases(e, node, geometry)
        worth = 0 if geometry.kernel == geometry.stride else WORTH_UNFOLDING
        if is_matrix(e, node, phases, worth) and _pays(e, node, phases):
            _by_phases(e, node, geometry, phases)
            return
    written, fused, rest = activation.finish(e, node, node.attrs["clamp"])
    batch, *_, channels = e.out_type(node).shape
    same, like = geometry.same, e.out_type(node)
    full = replace(like, shape=(batch, *geometry.full, channels))
    target = written if same else e.scratch("full", full)
    shape = e.graph.integers("shape", (like if same else full).shape)
    options = schema.TransposeConvOptionsT(
        padding=SAME if same else VALID,
        strideH=geometry.stride[0],
        strideW=geometry.stride[1],
        fusedActivationFunction=fused,
    )
    inputs = [shape, filters(e, node, weight), e.index(node.inputs[0]), bias(e, node, channels)]
    e.graph.operator("TRANSPOSE_CONV", inputs, [target], options)
    if not same:
        _cut(e, node, geometry, target, written)
    activation.clamp_after(e, node, written, rest)


def _pays(e: Emission, node: Node, phases: Weight) -> bool:
    """Whether 4 bits save more than the scales and biases repeated for every phase cost."""
    if e.in_type(node).quant is None:
        return True
    repeated = phases.value.shape[0] - e.out_type(node).shape[3]
    return bool(phases.value.size // 2 > repeated * _BYTES_PER_CHANNEL)


def _cut(e: Emission, node: Node, geometry: Geometry, source: int, target: int) -> None:
    begin = e.graph.integers("begin", (0, *geometry.cut, 0))
    e.graph.operator("SLICE", [source, begin, e.graph.integers("shape", e.out_type(node).shape)], [target])


def _by_phases(e: Emission, node: Node, geometry: Geometry, weight: Weight) -> None:
    """All results of one image pixel at once, then moved to their places."""
    batch, *_, channels = e.out_type(node).shape
    block = geometry.stride[0]
    taps = (geometry.kernel[0] // block, geometry.kernel[1] // block)
    top, left = taps[0] - 1, taps[1] - 1
    source = e.index(node.inputs[0])
    if top or left:
        image = pad_image(e, source, (top, left, top, left), None)
        size = (geometry.image[0] + top, geometry.image[1] + left)
        window = Window((size[0] + top, size[1] + left), size, taps, (1, 1), (1, 1), (0, 0, 0, 0))
        source = unfolded(e, image, window)
    written, fused, rest = activation.finish(e, node, node.attrs["clamp"])
    like, pixels = e.out_type(node), e.graph.type(source).shape[1:3]
    deep = replace(like, shape=(batch, *pixels, block * block * channels))
    full = replace(like, shape=(batch, *geometry.full, channels))
    whole = geometry.full == geometry.result
    spread = written if whole else e.scratch("full", full)
    product = e.scratch("phases", deep) if block > 1 else spread
    matrices.multiply(e, source, weight, _tiled_bias(e, node, block * block), product, fused)
    if block > 1:
        options = schema.DepthToSpaceOptionsT(blockSize=block)
        e.graph.operator("DEPTH_TO_SPACE", [product], [spread], options)
    if not whole:
        _cut(e, node, geometry, spread, written)
    activation.clamp_after(e, node, written, rest)


def _phases(e: Emission, node: Node, geometry: Geometry) -> Weight:
    """Shape (s * s * O, m, m, I): phase and channel first; the last tap of a phase meets the first pixel."""
    s = geometry.stride[0]

    def rearrange(value: Array) -> Array:
        inputs, outputs, rows, cols = value.shape
        split = value.reshape(inputs, outputs, rows // s, s, cols // s, s)[:, :, ::-1, :, ::-1, :]
        ordered = np.transpose(split, (3, 5, 1, 2, 4, 0))
        return ordered.reshape(s * s * outputs, rows // s, cols // s, inputs)

    return arranged(e, node.inputs[1], rearrange, "phases")


def _tiled_bias(e: Emission, node: Node, times: int) -> int:
    channels = e.out_type(node).shape[3]
    given = bias(e, node, channels)
    if times == 1:
        return given
    if len(node.inputs) > 2:
        name, value = node.inputs[2], e.value(node.inputs[2])
    else:
        dtype = np.float32 if e.in_type(node).quant is None else np.int32
        name, value = "zero_bias", np.zeros(channels, dtype)
    quant = e.graph.type(given).quant
    if quant is not None and quant.axis is not None:
        quant = replace(quant, scale=quant.scale * times)
    return e.constant(f"{name}:phases", np.tile(value, times), quant)


def _dense(e: Emission, node: Node) -> Weight:
    """OHWI weight of one group: other groups' channels get weight 0, for TRANSPOSE_CONV knows no groups."""
    name, groups = node.inputs[1], int(node.attrs["groups"])
    if groups == 1:
        return arranged(e, name, lambda value: np.transpose(value, (1, 2, 3, 0)), "ohwi")
    type_ = e.program.type(name)
    if type_.palette is not None or (type_.quant is not None and type_.quant.block is not None):
        reason = "weights are stored in float32: TRANSPOSE_CONV knows no groups, a palette need not hold 0"
        e.skipped.append(Skipped(f"{node.op} {node.name}", reason))
        dense = _spread_groups(real_constant(e.program, name), groups)
        return Weight(f"{name}:ohwi", np.ascontiguousarray(dense))
    value, quant = np.ascontiguousarray(_spread_groups(e.value(name), groups)), type_.quant
    if quant is not None and quant.axis is not None:
        scales = quant.scale * (value.shape[0] // len(quant.scale))
        quant = Quantization(scales, axis=0)
    return Weight(f"{name}:ohwi", value, NIBBLE_BITS if type_.dtype == "int4" else None, quant)


def _spread_groups(weight: Array, groups: int) -> Array:
    """IOHW of ``groups`` groups to OHWI of one."""
    inputs, outputs, *kernel = weight.shape
    dense = np.zeros((inputs, outputs * groups, *kernel), weight.dtype)
    share = inputs // groups
    for g in range(groups):
        rows = slice(g * share, (g + 1) * share)
        dense[rows, g * outputs : (g + 1) * outputs] = weight[rows]
    return np.transpose(dense, (1, 2, 3, 0))


EMITTERS = {"conv_transpose2d": conv_transpose2d}
