"""Powers, of which base and exponent may be computed; of whole numbers as far as float32 is exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pocketpress.sources.aten.bound import Bound
from pocketpress.sources.aten.elementwise import emit_binary
from pocketpress.sources.aten.whole import INEXACT, NEXT_STEP, reach

MOST_FACTORS = 16
"""Of a whole number's power that is written as products."""
SURELY_ROUNDED = 2**20
"""Powers of whole numbers are rounded up to here: float32 errs by some of its steps, which are eighths."""


def power(b: Bound) -> str:
    """aten::pow: squares become products, roots a root, powers of a positive number its exponential."""
    if b.node.meta["val"].dtype in (torch.int32, torch.int64):
        return _of_whole_numbers(b)
    base, exponent = b["self"], _number(b, "exponent")
    if exponent is not None and isinstance(base, str):
        return _of_constant_exponent(b, b.real(base), exponent)
    number = _number(b, "self")
    if number is not None and number > 0:
        scaled = b.activation("exponent")
        if np.float32(number) != np.float32(math.e):
            scaled = emit_binary(b, "mul", scaled, math.log(number), last=False)
        return b.emit("exp", [scaled], b.out_shape)
    return _computed(b)


def _of_constant_exponent(b: Bound, x: str, exponent: float) -> str:
    if exponent == 1:
        return x
    if exponent == 2:
        return emit_binary(b, "mul", x, x)
    if exponent == 0.5:
        return b.emit("sqrt", [x], b.out_shape)
    return b.emit("pow", [x], b.out_shape, exponent=exponent)


def _computed(b: Bound, *, last: bool = True) -> str:
    base, exponent = (b.real(b.tensor(_single(b[name]))) for name in ("self", "exponent"))
    return b.emit("power", [base, exponent], b.out_shape, last=last)


def _of_whole_numbers(b: Bound) -> str:
    """Products, or a power that is rounded: no runtime's power is exact of itself."""
    exponent = _number(b, "exponent")
    if exponent is not None and isinstance(b["self"], str) and 1 <= exponent <= MOST_FACTORS:
        x = found = b.real(b["self"])
        for _ in range(int(exponent) - 1):
            found = emit_binary(b, "mul", found, x, last=False)
        return found
    found = _computed(b, last=False)
    least = reach(b.builder, b.builder.producer(found).inputs[1])[0]  # type: ignore[union-attr]
    if least < 0 or max(map(abs, reach(b.builder, found))) > SURELY_ROUNDED:
        raise b.refuse(f"a power of {INEXACT}", NEXT_STEP)
    return b.emit("round", [found], b.out_shape)


def _single(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and not value.is_floating_point() else value


def _number(b: Bound, name: str) -> float | None:
    """An argument that is one number everywhere, and gives the result none of its axes."""
    value, other = b[name], b["exponent" if name == "self" else "self"]
    if isinstance(value, torch.Tensor):
        if not value.numel() or np.broadcast_shapes(b.shape(other), tuple(value.shape)) != b.shape(other):
            return None
        first = value.reshape(-1)[0]
        return float(first) if bool((value == first).all()) else None
    return float(value) if isinstance(value, (int, float)) else None


HANDLERS: dict[str, Callable[[Bound], Any]] = {
    "aten::pow": power,
    "aten::pow_": power,
}
