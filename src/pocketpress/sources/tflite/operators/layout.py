"""Images are (N, H, W, C) in TFLite and (N, C, H, W) in torch."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from pocketpress.sources.steps.call import Call, Operator

TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def image(call: Call, index: int = 0) -> Tensor:
    """An input of rank 4 as (N, C, H, W)."""
    x = call.input(index)
    if x.ndim != 4:
        raise call.refuse("rank", x.ndim, 4)
    return x.permute(TO_NCHW)


def on_image(function: Callable[[Call, Tensor], Tensor]) -> Operator:
    """An operator whose function takes and returns (N, C, H, W)."""
    return lambda call: function(call, image(call)).permute(TO_NHWC)


def narrowed(call: Call, x: Tensor, axis: int, start: int, length: int) -> Tensor:
    """``length`` elements of an axis from ``start`` on."""
    if start < 0 or length < 0 or start + length > x.shape[axis]:
        raise call.refuse("window", f"{start} to {start + length}", f"0 to {x.shape[axis]}")
    return x[(*[slice(None)] * axis, slice(start, start + length))]
