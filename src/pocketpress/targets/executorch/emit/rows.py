"""Products by XNNPACK's fully connected operator: integer weights between float activations, 4-bit weights.

Between float activations XNNPACK multiplies sum *and bias* by the scale of the output channel; the bias is
therefore an addition of its own.  Weights that share scales in blocks are one product a block, added up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pocketpress.core.program.ir import Array, TensorType
from pocketpress.targets.executorch.emit.filters import integer_bias
from pocketpress.targets.executorch.emit.movement import cut
from pocketpress.targets.executorch.emit.site import Site
from pocketpress.targets.executorch.emit.windows import Grid, spread, sub_pixel_weight, windows
from pocketpress.targets.executorch.graph import INVALID_ID, QCINT4, QCINT8


@dataclass(frozen=True)
class Rows:
    """A product over the last axis, or over windows.

    Attributes:
        weight: integers, (out, in) or (out, height, width, in).
        scales: float32, (out, blocks); blocks cut ``in`` into equal parts.
        bias: as stored, (out,), or None.
        grid: where windows are, None for the last axis alone.
    """

    weight: Array
    scales: Array
    bias: Array | None
    grid: Grid | None = None


def linear_rows(site: Site) -> None:
    """Fully connected layer."""
    weight = site.constant(1)
    _emit(site, Rows(weight, _scales(site, len(weight)), _bias(site)), site.out_type, site.out)


def conv2d_rows(site: Site) -> None:
    """Convolution of one group."""
    weight = site.constant(1)
    grid = Grid(
        kernel=(weight.shape[2], weight.shape[3]),
        stride=tuple(site.attr("stride")),
        dilation=tuple(site.attr("dilation")),
        before=tuple(site.attr("pads")[:2]),
        size=(site.out_type.shape[1], site.out_type.shape[2]),
    )
    rows = Rows(weight.transpose(0, 2, 3, 1), _scales(site, len(weight)), _bias(site), grid)
    _emit(site, rows, site.out_type, site.out)


def conv_transpose2d_rows(site: Site) -> None:
    """Transposed convolution of one group, as a convolution whose channels are places inside a step."""
    stride, start = tuple(site.attr("stride")), tuple(site.attr("pads")[:2])
    weight = sub_pixel_weight(site.constant(1), stride)
    places, kernel = stride[0] * stride[1], weight.shape[1:3]
    first = tuple(begin // step for begin, step in zip(start, stride, strict=True))
    last = (-(-(b + n) // s) for b, n, s in zip(start, site.out_type.shape[1:3], stride, strict=True))
    size = tuple(b - a for a, b in zip(first, last, strict=True))
    before = tuple(taps - 1 - a for taps, a in zip(kernel, first, strict=True))
    grid = Grid(kernel, stride=(1, 1), dilation=(1, 1), before=before, size=size)
    scales, bias = _scales(site, len(weight) // places), _bias(site)
    repeated = None if bias is None else np.tile(bias, places)
    rows = Rows(weight, np.tile(scales, (places, 1)), repeated, grid)
    coarse = replace(site.out_type, shape=(site.out_type.shape[0], *size, len(weight)))
    value = site.graph.new(coarse)
    _emit(site, rows, coarse, value)
    spread(site, value, coarse, stride, (start[0] % stride[0], start[1] % stride[1]))


def _emit(site: Site, rows: Rows, out_type: TensorType, out: int) -> None:
    limits = site.limits(site.attr("clamp"))
    if site.quantized:
        _product(site, rows, 0, out_type, out, rows.bias, limits)
        return
    blocks = rows.scales.shape[1]
    addends = [_product(site, rows, block, out_type) for block in range(blocks - 1)]
    if rows.bias is not None:
        addends.append(site.graph.constant(np.asarray(rows.bias, np.float32)))
    if not addends:
        _product(site, rows, 0, out_type, out, None, limits)
        return
    total = _product(site, rows, blocks - 1, out_type)
    for addend in addends[:-1]:
        total = site.binary("XNNAdd", total, addend, out_type)
    site.graph.node("XNNAdd", limits=limits, input1_id=total, input2_id=addends[-1], output_id=out)


def _product(
    site: Site,
    rows: Rows,
    block: int,
    out_type: TensorType,
    target: int | None = None,
    bias: Array | None = None,
    limits: tuple[float, float] | None = None,
) -> int:
    """Append the product of one block of input channels; returns its output's id."""
    size = rows.weight.shape[-1] // rows.scales.shape[1]
    value, type_ = _channels(site, block * size, size)
    if rows.grid is not None:
        value, type_ = windows(site, value, type_, rows.grid)
    weight = rows.weight[..., block * size : (block + 1) * size].reshape(len(rows.weight), -1)
    scales = rows.scales[:, block]
    datatype = QCINT4 if site.type(1).dtype == "int4" else QCINT8
    out = site.graph.new(out_type) if target is None else target
    site.graph.node(
        "XNNFullyConnected",
        limits=limits,
        input1_id=value,
        filter_id=site.graph.packed(weight, datatype, scales),
        bias_id=integer_bias(site, bias, scales) if site.quantized else INVALID_ID,
        output_id=out,
    )
    return out


def _channels(site: Site, start: int, size: int) -> tuple[int, TensorType]:
    type_ = site.type(0)
    part = replace(type_, shape=(*type_.shape[:-1], size))
    offsets = [0] * (len(type_.shape) - 1) + [start]
    return cut(site, site.value(0), type_, offsets, part.shape), part


def _scales(site: Site, channels: int) -> Array:
    """(channels, blocks)."""
    held = site.quant(1).scales()
    return np.broadcast_to(held, (channels, 1)) if len(held) == 1 else held.reshape(channels, -1)


def _bias(site: Site) -> Array | None:
    return site.constant(2) if len(site.node.inputs) > 2 else None
