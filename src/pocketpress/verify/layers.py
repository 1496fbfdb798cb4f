"""Error of every layer: what quantisation did to each tensor, against the float network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from pocketpress.core.program import Program
from pocketpress.core.program.ir import Array
from pocketpress.core.record import LayerError
from pocketpress.core.target import file_to_real
from pocketpress.verify.parity import sqnr_db
from pocketpress.verify.reference import interpret

Feeds = Mapping[str, Array]


def layer_errors(
    float_program: Program,
    quantized: Program,
    samples: Iterable[tuple[Feeds, Feeds]],
) -> tuple[LayerError, ...]:
    """SQNR of every tensor both programs compute.

    Args:
        float_program: before quantisation.
        quantized: after.
        samples: pairs of feeds, for the float and for the quantised program.
    """
    shared = _shared(float_program, quantized)
    signal = {name: 0.0 for name in shared}
    noise = {name: 0.0 for name in shared}
    for real_feeds, grid_feeds in samples:
        real = interpret(float_program, real_feeds, keep=shared)
        grid = interpret(quantized, grid_feeds, keep=shared.values())
        for name, other in shared.items():
            a = real[name].astype(np.float64)
            b = _real(quantized, other, grid[other])
            signal[name] += float(np.sum(a**2))
            noise[name] += float(np.sum((a - b) ** 2))
    ops = {out: node for node in float_program.nodes for out in node.outputs}
    return tuple(
        LayerError(
            name=name,
            op=ops[name].op,
            sqnr_db=sqnr_db(np.sqrt(np.asarray([signal[name]])), np.sqrt(np.asarray([noise[name]]))),
            source=ops[name].source or None,
        )
        for name in shared
    )


def _shared(float_program: Program, quantized: Program) -> dict[str, str]:
    """Float tensor name -> the quantised program's tensor that stands for it, in order."""
    found: dict[str, str] = {}
    for node in float_program.nodes:
        name = node.outputs[0]
        other = f"{name}_int8" if f"{name}_int8" in quantized.types else name
        if other in quantized.types and other not in quantized.constants:
            found[name] = other
    return found


def _real(program: Program, name: str, value: Array) -> Array:
    quant = program.type(name).quant
    if quant is None:
        return value.astype(np.float64)
    return file_to_real(value, float(quant.step), quant.zero_point).astype(np.float64)
