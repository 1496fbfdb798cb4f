"""Images of another size: LiteRT's three ways to map places."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.sources.steps.call import Call, Operator
from pocketpress.sources.tflite.operators.layout import on_image

Matrix = npt.NDArray[np.float32]
MAX_WEIGHTS = 1 << 22
"""Of a matrix that resizes."""


def _sizes(call: Call, x: Tensor) -> list[int]:
    sizes = call.ints(1, "size")
    if sizes is None or len(sizes) != 2 or min(sizes) < 1:
        raise call.refuse("size", sizes, "two numbers")
    call.bounded([*x.shape[:2], *sizes])
    return sizes


def _scale(call: Call, before: int, after: int) -> np.float32:
    if call.attribute("alignCorners") and after > 1:
        return np.float32(before - 1) / np.float32(after - 1)
    return np.float32(before) / np.float32(after)


def linear_weights(call: Call, before: int, after: int) -> Matrix:
    """How much of each old place is in each new one, (after, before) (LiteRT ComputeInterpolationValues)."""
    scale = _scale(call, before, after)
    places = np.arange(after, dtype=np.float32)
    if call.attribute("halfPixelCenters"):
        where = (places + np.float32(0.5)) * scale - np.float32(0.5)
    else:
        where = places * scale
    low = np.maximum(np.floor(where), 0).astype(np.int64)
    low = np.minimum(low, before - 1)
    high = np.clip(np.ceil(where), 0, before - 1).astype(np.int64)
    share = (where - low).astype(np.float32)
    found = _matrix(call, before, after)
    rows = np.arange(after)
    np.add.at(found, (rows, low), 1 - share)
    np.add.at(found, (rows, high), share)
    return found


def _matrix(call: Call, before: int, after: int) -> Matrix:
    if before * after > MAX_WEIGHTS:
        raise call.refuse("sizes", (before, after), f"a product of at most {MAX_WEIGHTS}")
    return np.zeros((after, before), np.float32)


def nearest_places(call: Call, before: int, after: int) -> npt.NDArray[np.int64]:
    """The old place of each new one (LiteRT GetNearestNeighbor)."""
    places = np.arange(after, dtype=np.float32)
    if call.attribute("halfPixelCenters"):
        places = places + np.float32(0.5)
    where = places * _scale(call, before, after)
    half = np.float32(0.5 if call.attribute("alignCorners") else 0)  # TfLiteRound of what is not negative
    found: npt.NDArray[np.int64] = np.floor(where + half).astype(np.int64)
    return np.clip(found, 0, before - 1)


def _by_matrices(x: Tensor, high: Matrix, wide: Matrix) -> Tensor:
    """Both axes by matrix products, where no runtime has the operator."""
    x = F.linear(x, torch.from_numpy(wide))
    return F.linear(x.transpose(2, 3), torch.from_numpy(high)).transpose(2, 3)


def _bilinear(call: Call, x: Tensor) -> Tensor:
    sizes = _sizes(call, x)
    aligned, centred = bool(call.attribute("alignCorners")), bool(call.attribute("halfPixelCenters"))
    if aligned and centred:
        raise call.refuse("alignCorners", "with halfPixelCenters", "one of them")
    if (aligned and min(sizes) > 1) or centred:
        return F.interpolate(x, size=sizes, mode="bilinear", align_corners=aligned)
    high, wide = (
        linear_weights(call, before, after) for before, after in zip(x.shape[2:], sizes, strict=True)
    )
    return _by_matrices(x, high, wide)


def _nearest(call: Call, x: Tensor) -> Tensor:
    sizes = _sizes(call, x)
    pairs = list(zip(x.shape[2:], sizes, strict=True))
    chosen = [nearest_places(call, before, after) for before, after in pairs]
    plain = [np.arange(after) * before // after for before, after in pairs]
    if all(np.array_equal(a, b) for a, b in zip(chosen, plain, strict=True)):
        return F.interpolate(x, size=sizes, mode="nearest")
    matrices = []
    for (before, after), places in zip(pairs, chosen, strict=True):
        matrices.append(_matrix(call, before, after))
        matrices[-1][np.arange(after), places] = 1
    return _by_matrices(x, *matrices)


TABLE: dict[str, Operator] = {
    "RESIZE_BILINEAR": on_image(_bilinear),
    "RESIZE_NEAREST_NEIGHBOR": on_image(_nearest),
}
