"""Reshaping, permuting, slicing, joining, padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pocketpress.sources.aten.bound import Bound, axis_of


def reshape(b: Bound) -> str:
    """Any operator that keeps the elements and their order."""
    x = b.activation("input" if "input" in b.args else "self")
    return b.emit("reshape", [x], b.out_shape, shape=b.out_shape)


def emit_permute(b: Bound, x: str, axes: tuple[int, ...], *, last: bool = True) -> str:
    """Append a permutation."""
    shape = b.shape(x)
    return b.emit("permute", [x], tuple(shape[a] for a in axes), last=last, axes=axes)


def permute(b: Bound) -> str:
    """aten::permute."""
    x = b.activation()
    rank = len(b.shape(x))
    return emit_permute(b, x, tuple(axis_of(d, rank) for d in b["dims"]))


def transpose(b: Bound) -> str:
    """aten::transpose and aten::t."""
    x = b.activation()
    axes = list(range(len(b.shape(x))))
    first, second = (b["dim0"], b["dim1"]) if "dim0" in b.args else (0, 1)
    if len(axes) < 2:
        return x
    axes[first], axes[second] = axes[second], axes[first]
    return emit_permute(b, x, tuple(axes))


def emit_slice(
    b: Bound, x: str, axis: int, start: int, size: int, step: int = 1, *, last: bool = True
) -> str:
    """Append a window along one axis."""
    shape = b.shape(x)
    starts = tuple(start if i == axis else 0 for i in range(len(shape)))
    sizes = tuple(size if i == axis else d for i, d in enumerate(shape))
    steps = tuple(step if i == axis else 1 for i in range(len(shape)))
    return b.emit("slice", [x], sizes, last=last, starts=starts, sizes=sizes, steps=steps)


def slice_(b: Bound) -> str:
    """aten::slice with constant limits."""
    x = b.activation()
    axis = axis_of(int(b["dim"]), len(b.shape(x)))
    size = b.shape(x)[axis]
    start = 0 if b["start"] is None else int(b["start"])
    start = max(start + size, 0) if start < 0 else min(start, size)
    if b.out_shape == b.shape(x):
        return x
    return emit_slice(b, x, axis, start, b.out_shape[axis], int(b["step"]))


def select(b: Bound) -> str:
    """aten::select: one index of an axis, axis removed."""
    x = b.activation()
    axis = axis_of(int(b["dim"]), len(b.shape(x)))
    index = axis_of(int(b["index"]), b.shape(x)[axis])
    window = emit_slice(b, x, axis, index, 1, last=False)
    return b.emit("reshape", [window], b.out_shape, shape=b.out_shape)


def _parts(b: Bound, sizes: list[int], axis: int) -> list[str]:
    x, start, parts = b.activation(), 0, []
    for size in sizes:
        parts.append(emit_slice(b, x, axis, start, size))
        start += size
    return parts


def split(b: Bound) -> list[str]:
    """aten::split, split_with_sizes, chunk: sizes are read off the results."""
    axis = axis_of(int(b["dim"]), len(b.shape(b["self"])))
    return _parts(b, [int(v.shape[axis]) for v in b.node.meta["val"]], axis)


def unbind(b: Bound) -> list[str]:
    """aten::unbind: every index of an axis, axis removed."""
    x = b.activation()
    axis = axis_of(int(b["dim"]), len(b.shape(x)))
    windows = _parts(b, [1] * b.shape(x)[axis], axis)
    return [b.emit("reshape", [w], b.out_shape, shape=b.out_shape) for w in windows]


def cat(b: Bound) -> str:
    """aten::cat."""
    inputs = [b.tensor(v) for v in b["tensors"]]
    inputs = [n for n in inputs if b.builder.type(n).elements]
    if len(inputs) == 1:
        return inputs[0]
    return b.emit("concat", inputs, b.out_shape, axis=axis_of(int(b["dim"]), len(b.out_shape)))


def stack(b: Bound) -> str:
    """aten::stack: a new axis, then concatenation."""
    axis = axis_of(int(b["dim"]), len(b.out_shape))
    single = tuple(1 if i == axis else d for i, d in enumerate(b.out_shape))
    parts = [b.emit("reshape", [b.tensor(v)], single, last=False, shape=single) for v in b["tensors"]]
    return b.emit("concat", parts, b.out_shape, axis=axis)


def pad(b: Bound) -> str:
    """aten::pad in constant mode, constant_pad_nd."""
    if b.args.get("mode", "constant") != "constant":
        raise b.refuse(f"padding mode {b['mode']}", "use constant padding")
    x = b.activation()
    rank = len(b.shape(x))
    before, after = [0] * rank, [0] * rank
    for i, amount in enumerate(b["pad"]):
        axis = rank - 1 - i // 2
        (before if i % 2 == 0 else after)[axis] = int(amount)
    if min(*before, *after) < 0:
        raise b.refuse("negative padding", "slice instead")
    value = b["value"]
    return b.emit(
        "pad", [x], b.out_shape, before=tuple(before), after=tuple(after), value=float(value or 0.0)
    )


def pixel_shuffle(b: Bound) -> str:
    """(N, C*r*r, H, W) -> (N, C, H*r, W*r) as reshape, permute, reshape (Shi et al. 2016)."""
    x, r = b.activation(), int(b["upscale_factor"])
    n, c, h, w = b.shape(x)
    split_shape = (n, c // (r * r), r, r, h, w)
    y = b.emit("reshape", [x], split_shape, last=False, shape=split_shape)
    y = emit_permute(b, y, (0, 1, 4, 2, 5, 3), last=False)
    return b.emit("reshape", [y], b.out_shape, shape=b.out_shape)


def pixel_unshuffle(b: Bound) -> str:
    """(N, C, H*r, W*r) -> (N, C*r*r, H, W), the inverse of `pixel_shuffle`."""
    x, r = b.activation(), int(b["downscale_factor"])
    n, c, h, w = b.shape(x)
    split_shape = (n, c, h // r, r, w // r, r)
    y = b.emit("reshape", [x], split_shape, last=False, shape=split_shape)
    y = emit_permute(b, y, (0, 1, 3, 5, 2, 4), last=False)
    return b.emit("reshape", [y], b.out_shape, shape=b.out_shape)


def channel_shuffle(b: Bound) -> str:
    """Transpose groups and channels per group (Zhang et al. 2018)."""
    x, groups = b.activation(), int(b["groups"])
    n, c, h, w = b.shape(x)
    grouped = (n, groups, c // groups, h * w)
    y = b.emit("reshape", [x], grouped, last=False, shape=grouped)
    y = emit_permute(b, y, (0, 2, 1, 3), last=False)
    return b.emit("reshape", [y], b.out_shape, shape=b.out_shape)


def expand(b: Bound) -> str:
    """aten::expand by concatenating copies (small factors only)."""
    x = b.activation()
    shape, out = b.shape(x), b.out_shape
    if len(shape) < len(out):
        shape = (1,) * (len(out) - len(shape)) + shape
        x = b.emit("reshape", [x], shape, last=False, shape=shape)
    for axis, (have, want) in enumerate(zip(shape, out, strict=True)):
        if have != want:
            if want > 64:
                raise b.refuse(f"expand by {want}", "let broadcasting do it")
            grown = tuple(want if i == axis else d for i, d in enumerate(b.shape(x)))
            x = b.emit("concat", [x] * want, grown, axis=axis)
    return x


_RESHAPES = ("reshape", "view", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "view_copy")

HANDLERS: dict[str, Callable[[Bound], Any]] = {
    **{f"aten::{name}": reshape for name in _RESHAPES},
    "aten::permute": permute,
    "aten::transpose": transpose,
    "aten::t": transpose,
    "aten::slice": slice_,
    "aten::select": select,
    "aten::split": split,
    "aten::split_with_sizes": split,
    "aten::chunk": split,
    "aten::unbind": unbind,
    "aten::cat": cat,
    "aten::stack": stack,
    "aten::pad": pad,
    "aten::constant_pad_nd": pad,
    "aten::pixel_unshuffle": pixel_unshuffle,
    "aten::pixel_shuffle": pixel_shuffle,
    "aten::channel_shuffle": channel_shuffle,
    "aten::expand": expand,
}
