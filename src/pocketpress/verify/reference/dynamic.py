"""Products whose activations are quantised at run time, with integer weights.

Per row ``r`` (a whole image for a convolution, one vector for a fully connected layer), as XNNPACK's qd8
kernels do it: ``s = (max(x, 0) - min(x, 0)) / 255``, ``z = round(-128 - min(x, 0) / s)``,
``q = clip(round(x / s) + z)``, then ``s * s_w[c] * sum((q - z) * w) + bias[c]`` in float32.  Runtimes
differ in how they round ``z`` and in how much shares one range: they agree up to quantisation noise only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from pocketpress.core.program.ir import Array
from pocketpress.verify.reference.context import Context

Real = npt.NDArray[np.float32]


def quantize_rows(x: Real, axes: tuple[int, ...]) -> tuple[npt.NDArray[np.float64], Real]:
    """Centred integers ``q - z`` and their scales; ``axes`` share one range."""
    low = np.minimum(x.min(axis=axes, keepdims=True), np.float32(0))
    high = np.maximum(x.max(axis=axes, keepdims=True), np.float32(0))
    scale = ((high - low) / np.float32(255)).astype(np.float32)
    scale = np.where(scale > 0, scale, np.float32(1))
    zero = np.clip(np.rint(-128 - low / scale), -128, 127)
    grid = np.clip(np.rint(x / scale) + zero, -128, 127) - zero
    return grid.astype(np.float64), scale


def dynamic_conv2d(c: Context) -> Array:
    """Convolution; one range per image."""
    grid, scale = quantize_rows(np.asarray(c.inputs[0], np.float32), (1, 2, 3))
    top, left, bottom, right = c.attr("pads")
    out = F.conv2d(
        F.pad(torch.from_numpy(grid), (left, right, top, bottom)),
        torch.from_numpy(c.inputs[1].astype(np.float64)),
        stride=tuple(c.attr("stride")),
        dilation=tuple(c.attr("dilation")),
        groups=c.attr("groups"),
    )
    return _finish(c, out.numpy(), scale, (1, -1, 1, 1))


def dynamic_linear(c: Context) -> Array:
    """Fully connected layer; one range per row."""
    grid, scale = quantize_rows(np.asarray(c.inputs[0], np.float32), (-1,))
    return _finish(c, grid @ c.inputs[1].astype(np.float64).T, scale, (-1,))


def _finish(c: Context, sums: npt.NDArray[np.float64], scale: Real, shape: tuple[int, ...]) -> Array:
    out = sums.astype(np.float32) * (scale * c.quant(1).scales().reshape(shape))
    if len(c.inputs) > 2:
        out = out + np.asarray(c.inputs[2], np.float32).reshape(shape)
    low, high = c.attr("clamp") or (None, None)
    return np.asarray(out if low is None and high is None else np.clip(out, low, high), np.float32)


KERNELS: dict[str, Callable[[Context], Array]] = {
    "dynamic_conv2d": dynamic_conv2d,
    "dynamic_linear": dynamic_linear,
}
