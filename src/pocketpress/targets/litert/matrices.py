"""Products as one matrix product, where XNNPACK has no convolution for the weight.

Two weights need it.  *int4 between int8 activations*: XNNPACK's int8 kernels read packed int4 weights in
FULLY_CONNECTED only; they round as its convolutions do, so the integers are those of the reference.
*Computed float weights* (int4, blocks and palettes between float activations): XNNPACK's CONV_2D wants
constants, its BATCH_MATMUL does not, and is several times as fast as LiteRT's own convolution.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ai_edge_litert import schema_py_generated as schema

from pocketpress.core.program import TensorType
from pocketpress.targets.litert.emission import Emission
from pocketpress.targets.litert.movement import reshape_to
from pocketpress.targets.litert.weights import Weight, real, stored

FEW_ROWS = 4
"""BATCH_MATMUL packs its weight in every run: with so few rows LiteRT's own FULLY_CONNECTED is faster."""


def as_matrix(weight: Weight) -> Weight:
    """The weight as (output channels, everything else)."""
    return replace(weight, value=weight.value.reshape(weight.value.shape[0], -1))


def multiply(e: Emission, source: int, weight: Weight, bias: int, out: int, fused: int) -> None:
    """``out = source @ weight.T + bias`` over the last axis, with a fused activation."""
    matrix = as_matrix(weight)
    if e.graph.type(source).quant is not None:
        fully_connected(e, source, stored(e, matrix), bias, out, fused)
        return
    shape = e.graph.type(source).shape
    rows, width = math.prod(shape[:-1]), shape[-1]
    if rows <= FEW_ROWS or not matrix.is_computed:
        fully_connected(e, source, real(e, matrix), bias, out, fused)
        return
    flat = source
    if len(shape) != 2:
        flat = e.scratch("rows", TensorType((rows, width)))
        reshape_to(e, source, flat)
    like = TensorType((rows, matrix.value.shape[0]))
    options = schema.BatchMatMulOptionsT(adjY=True)
    product = e.step("BATCH_MATMUL", [flat, real(e, matrix)], "product", like, options)
    summed = out if e.graph.type(out).shape == like.shape else e.scratch("sum", like)
    e.graph.operator("ADD", [product, bias], [summed], schema.AddOptionsT(fusedActivationFunction=fused))
    if summed != out:
        reshape_to(e, summed, out)


def fully_connected(e: Emission, source: int, weight: int, bias: int, out: int, fused: int) -> None:
    """FULLY_CONNECTED over the last axis."""
    keep = len(e.graph.type(source).shape) != 2
    at_run_time = e.graph.type(source).quant is None and e.graph.type(weight).quant is not None
    options = schema.FullyConnectedOptionsT(
        fusedActivationFunction=fused,
        keepNumDims=keep,
        asymmetricQuantizeInputs=at_run_time,
        quantizedBiasType=bias_type(e, source),
    )
    e.graph.operator("FULLY_CONNECTED", [source, weight, bias], [out], options)


def bias_type(e: Emission, source: int) -> int:
    """For int16 activations: int32, which chooses LiteRT's fast kernel; FLOAT32 is "not given"."""
    is_wide = e.graph.type(source).dtype == "int16"
    chosen: int = schema.TensorType.INT32 if is_wide else schema.TensorType.FLOAT32
    return chosen
