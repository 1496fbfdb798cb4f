"""Max pooling whose places are read by max unpooling only: SegNet's and ENet's pairs.

No runtime tells where in its window the largest number stood.  Behind a pooling of windows side by side a
number is the largest of its window where the pooled image, enlarged again, is not above it; of several such
places torch takes the first, which has the highest rank of a constant pattern.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from pocketpress.sources.aten.bound import Bound, pair
from pocketpress.sources.aten.comparisons import compare
from pocketpress.sources.aten.elementwise import emit_binary
from pocketpress.sources.aten.pooling import emit_maximum, max_pool2d

UNPOOLING = "aten::max_unpool2d"
_NEXT_STEP = "upsample by nearest or a transposed convolution"


class Places(NamedTuple):
    """Where the maxima of windows stood: what was pooled, what came of it, and the size of a window."""

    pooled_from: str
    pooled: str
    window: tuple[int, int]


def max_pool2d_with_indices(b: Bound) -> tuple[str, Places | None]:
    """Pooling and, for max unpooling alone, its places."""
    pooled = max_pool2d(b)
    readers = [
        reader
        for user in b.node.users
        if user.target is operator.getitem and user.args[1] == 1
        for reader in user.users
    ]
    if not readers:
        return pooled, None
    schemas = [getattr(reader.target, "_schema", None) for reader in readers]
    if any(schema is None or schema.name != UNPOOLING for schema in schemas):
        raise b.refuse("indices of max pooling, which no runtime has", _NEXT_STEP)
    window = pair(b["kernel_size"])
    source = b.activation()
    size, found = b.shape(source), b.out_shape
    whole = len(size) == 4 and size[2:] == (found[2] * window[0], found[3] * window[1])
    if not whole or pair(b["stride"] or window) != window or any(pair(b["padding"])):
        raise b.refuse("max unpooling of windows that overlap or leave something out", _NEXT_STEP)
    return pooled, Places(source, pooled, window)


def max_unpool2d(b: Bound) -> str:
    """Numbers at the places of the maxima that a pooling found, 0 elsewhere."""
    x, places = b.activation(), b["indices"]
    if not isinstance(places, Places):
        raise b.refuse("max unpooling by indices that are no max pooling's", _NEXT_STEP)
    shape = b.shape(places.pooled_from)
    if b.out_shape != shape or b.shape(x) != b.shape(places.pooled):
        raise b.refuse(f"max unpooling to {b.out_shape} of what was pooled from {shape}", _NEXT_STEP)
    chosen = _first_maxima(b, places)
    return emit_binary(b, "mul", _enlarged(b, x, shape), chosen)


def _first_maxima(b: Bound, places: Places) -> str:
    """1 at the first of the largest numbers of every window, 0 elsewhere."""
    shape, (height, width) = b.shape(places.pooled_from), places.window
    largest = compare(b, "ge", places.pooled_from, _enlarged(b, places.pooled, shape))
    ranks = torch.arange(float(height * width), 0, -1).reshape(height, width)
    pattern = ranks.repeat(shape[2] // height, shape[3] // width)[None, None]
    ranked = emit_binary(b, "mul", largest, pattern, last=False)
    first = emit_maximum(b, ranked, places.window, b.shape(places.pooled))
    # of the others, whose rank is 0, some rank is higher
    return compare(b, "ge", ranked, _enlarged(b, first, shape))


def _enlarged(b: Bound, x: str, shape: tuple[int, ...]) -> str:
    return b.emit("resize_nearest", [x], shape, last=False, size=shape[2:])


HANDLERS: dict[str, Callable[[Bound], Any]] = {
    "aten::max_pool2d_with_indices": max_pool2d_with_indices,
    UNPOOLING: max_unpool2d,
}
