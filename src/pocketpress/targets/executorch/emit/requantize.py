"""Integers to integers of another scale or dtype, only where XNNPACK finds the contract's integers.

int8 to int8 is a product with a constant one: that kernel multiplies in float32 and rounds half to even, and
XNNPACK's own int8 conversion is a coarser fixed-point kernel.  A conversion that changes the dtype is a
table that XNNPACK builds in float32.  Both are computed here for all 256 inputs before they are chosen.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pocketpress.core.program.ir import Array, Quantization
from pocketpress.targets.executorch.emit.site import Emitter, Site

_NUDGES = (0.0, 3e-7, -3e-7, 1e-6, -1e-6, 1e-5, -1e-5, 1e-4, -1e-4, 1e-3, -1e-3)
"""Relative changes of the constant's scale; they decide ties as the float64 of the contract happens to."""


def requantize(site: Site) -> None:
    """Emit the first of copy, conversion and product whose 256 results are the contract's."""
    source, target = site.type(0), site.out_type
    if source.dtype == target.dtype and source.quant == target.quant:
        site.unary("XNNCopy", site.value(0), target, site.out)
        return
    wanted = _contract_table(source.dtype, site.quant(0), target.dtype, site.out_quant)
    if source.dtype != target.dtype:
        found = _converted_table(source.dtype, site.quant(0), target.dtype, site.out_quant)
        if (found == wanted).all():
            site.unary("XNNConvert", site.value(0), target, site.out)
            return
    if target.dtype != "int8":
        raise site.unsupported(f"{source.dtype} to {target.dtype} across rounding ties", "calibrate again")
    _by_product(site, wanted)


def _by_product(site: Site, wanted: Array) -> None:
    value, type_ = site.value(0), site.type(0)
    if type_.dtype == "uint8":
        shifted = replace(site.quant(0), zero_point=site.quant(0).zero_point - 128)
        type_ = replace(type_, dtype="int8", quant=shifted)
        value = site.unary("XNNConvert", value, type_)
    for nudge in _NUDGES:
        one = Quantization.per_tensor(1.0 + nudge)
        if type_.quant is not None and (_product_table(type_.quant, one, site.out_quant) == wanted).all():
            constant = site.graph.constant(np.ones(1, np.int8), one)
            site.binary("XNNMultiply", value, constant, site.out_type, site.out)
            return
    raise site.unsupported("scales whose ratio ends on rounding ties", "calibrate again")


def _contract_table(dtype_in: str, quant_in: Quantization, dtype_out: str, quant_out: Quantization) -> Array:
    ratio = np.float64(quant_in.step) / np.float64(quant_out.step)
    return _stored(np.rint(_centred(dtype_in, quant_in) * ratio), quant_out, dtype_out)


def _product_table(quant_in: Quantization, one: Quantization, quant_out: Quantization) -> Array:
    """``qs8-vmul`` with a second factor of 1."""
    scaled = _centred("int8", quant_in).astype(np.float32) * (quant_in.step * one.step / quant_out.step)
    return _stored(np.rint(scaled), quant_out, "int8")


def _converted_table(dtype_in: str, quant_in: Quantization, dtype_out: str, quant_out: Quantization) -> Array:
    """``reference/unary-elementwise.cc``: float32, the zero point added before rounding."""
    real = _centred(dtype_in, quant_in).astype(np.float32) * quant_in.step
    shifted = real * (np.float32(1) / quant_out.step) + np.float32(quant_out.zero_point)
    return _stored(np.rint(shifted) - quant_out.zero_point, quant_out, dtype_out)


def _centred(dtype: str, quant: Quantization) -> Array:
    info = np.iinfo(dtype)
    return np.asarray(np.arange(info.min, info.max + 1, dtype=np.int32) - quant.zero_point)


def _stored(grid: Array, quant: Quantization, dtype: str) -> Array:
    info = np.iinfo(dtype)
    return np.asarray(np.clip(grid + quant.zero_point, info.min, info.max).astype(np.int32))


EMITTERS: dict[str, Emitter] = {"requantize": requantize}
