"""Programs of one operator on given integers, for tests of the reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketpress.core.program import ProgramBuilder, Quantization, TensorType
from pocketpress.verify.reference import interpret

Array = Any


def grid(scale: float, zero_point: int = 0) -> Quantization:
    return Quantization.per_tensor(scale, zero_point)


def run(
    op: str,
    inputs: list[tuple[Array, Quantization | None]],
    out_shape: tuple[int, ...],
    out: Quantization | None,
    constants: list[tuple[Array, Quantization | None]] | None = None,
    dtype: str = "int8",
    **attrs: Any,
) -> Array:
    """Run ``op`` on stored inputs (then constants) and return the stored output."""
    builder = ProgramBuilder()
    feeds, names = {}, []
    for i, (value, quant) in enumerate(inputs):
        array = np.asarray(value)
        name = builder.input(f"x{i}", TensorType(array.shape, str(array.dtype), quant))
        feeds[name] = array
        names.append(name)
    names += [builder.constant("c", np.asarray(value), quant) for value, quant in constants or []]
    out_type = TensorType(out_shape, dtype if out is not None else "float32", out)
    result = builder.node(op, names, out_type, name="out", **attrs)
    return interpret(builder.build([result]), feeds)["out"]
