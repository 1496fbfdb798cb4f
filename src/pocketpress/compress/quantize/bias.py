"""Bias correction: rounding a weight shifts the mean of a layer's output; the bias takes the shift back.

``E[W x] - E[Q(W) x] = (W - Q(W)) E[x]`` per output channel (Nagel et al. 2019, arXiv:1906.04721, eq. (17)),
with ``E[x]`` measured on the calibration samples rather than derived from batch-norm.  Padding is neglected.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pocketpress.compress.quantize.weights import LIMIT, quantize_weight
from pocketpress.core.program import Node, Quantization

Real = npt.NDArray[np.float64]


def bias_shift(
    node: Node,
    weight: npt.NDArray[np.float32],
    quant: Quantization,
    channel_mean: Real,
    limit: int = LIMIT,
) -> Real:
    """What to add to the bias, shape (output channels,).

    Args:
        node: conv2d, conv_transpose2d (one group) or linear.
        weight: float weight.
        quant: its per-channel quantisation.
        channel_mean: mean of the layer's input per channel, shape (input channels,).
        limit: the largest weight integer.
    """
    axis = quant.axis or 0
    shape = [1] * weight.ndim
    shape[axis] = -1
    rounded = quantize_weight(weight, quant.scales(), axis, limit) * quant.scales().astype(
        np.float64
    ).reshape(shape)
    error = weight.astype(np.float64) - rounded
    if node.op == "linear":
        return np.asarray(error @ channel_mean)
    if node.op == "conv_transpose2d":
        taps = float(np.prod(node.attrs["stride"]))
        return np.asarray(channel_mean @ error.sum(axis=(2, 3))) / taps
    groups = int(node.attrs["groups"])
    per_input = error.sum(axis=(2, 3)).reshape(groups, weight.shape[0] // groups, -1)
    shift = np.einsum("goi,gi->go", per_input, channel_mean.reshape(groups, -1))
    return np.asarray(shift.reshape(-1), dtype=np.float64)
