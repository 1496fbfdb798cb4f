"""Reshaping, permuting, slicing, joining, padding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from pocketpress.sources.aten.bound import Bound, axis_of

MAX_RUNS = 32
"""Slices that one selection may become."""
MAX_COPIES = 64
"""Inputs of one concatenation of copies."""


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
    pair = next((p for p in (("dim0", "dim1"), ("axis0", "axis1")) if p[0] in b.args), None)
    first, second = (b[pair[0]], b[pair[1]]) if pair else (0, 1)
    if len(axes) < 2:
        return x
    axes[first], axes[second] = axes[second], axes[first]
    return emit_permute(b, x, tuple(axes))


def moved(b: Bound) -> str:
    """aten::movedim."""
    x = b.activation()
    rank = len(b.shape(x))
    axes = list(range(rank))
    sources, targets = ([v] if isinstance(v, int) else list(v) for v in (b["source"], b["destination"]))
    sources, targets = [axis_of(a, rank) for a in sources], [axis_of(a, rank) for a in targets]
    others = iter([a for a in axes if a not in sources])
    given = dict(zip(targets, sources, strict=True))
    return emit_permute(b, x, tuple(given[i] if i in given else next(others) for i in axes))


def reversed_axes(b: Bound) -> str:
    """aten::numpy_T: all axes in the other order."""
    x = b.activation()
    return emit_permute(b, x, tuple(range(len(b.shape(x)) - 1, -1, -1)))


def last_two(b: Bound) -> str:
    """aten::mT: the last two axes exchanged."""
    x = b.activation()
    rank = len(b.shape(x))
    return emit_permute(b, x, (*range(rank - 2), rank - 1, rank - 2))


def narrow(b: Bound) -> str:
    """aten::narrow."""
    x, start = b.activation(), b["start"]
    if isinstance(start, str):
        raise b.refuse("a slice at a computed place", "slice at a constant one")
    axis = axis_of(int(b["dim"]), len(b.shape(x)))
    return emit_slice(b, x, axis, axis_of(int(start), b.shape(x)[axis]), int(b["length"]))


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
    """aten::pad and constant_pad_nd: by a number, or by what is near or opposite to the border."""
    x, mode = b.activation(), b.args.get("mode", "constant")
    rank = len(b.shape(x))
    before, after = [0] * rank, [0] * rank
    for i, amount in enumerate(b["pad"]):
        axis = rank - 1 - i // 2
        (before if i % 2 == 0 else after)[axis] = int(amount)
    if mode != "constant":
        return _pad_by_copies(b, x, mode, before, after)
    if min(*before, *after) < 0:
        x = _cropped(b, x, before, after)
        before, after = [max(n, 0) for n in before], [max(n, 0) for n in after]
        if not any((*before, *after)):
            return x
    value = b["value"]
    return b.emit(
        "pad", [x], b.out_shape, before=tuple(before), after=tuple(after), value=float(value or 0.0)
    )


def _cropped(b: Bound, x: str, before: list[int], after: list[int]) -> str:
    """Without what negative padding takes away."""
    for axis, (low, high) in enumerate(zip(before, after, strict=True)):
        start, size = max(-low, 0), b.shape(x)[axis] + min(low, 0) + min(high, 0)
        if size != b.shape(x)[axis]:
            x = emit_slice(b, x, axis, start, size, last=False)
    return x


def _pad_by_copies(b: Bound, x: str, mode: str, before: list[int], after: list[int]) -> str:
    """Padding modes reflect, replicate and circular: joined slices along one axis after the other."""
    for axis, (low, high) in enumerate(zip(before, after, strict=True)):
        if min(low, high) < 0:
            raise b.refuse(f"negative padding of mode {mode}", "slice instead")
        size = b.shape(x)[axis]
        low_start, high_start = _PAD_STARTS[mode](size, low, high)
        ends = [(low_start, low), (high_start, high)]
        borders = [_border(b, x, axis, mode, start, count) if count else None for start, count in ends]
        parts = [part for part in (borders[0], x, borders[1]) if part is not None]
        if len(parts) > 1:
            shape = tuple(d + low + high if i == axis else d for i, d in enumerate(b.shape(x)))
            x = b.emit("concat", parts, shape, axis=axis)
    return x


_PAD_STARTS: dict[str, Callable[[int, int, int], tuple[int, int]]] = {
    "reflect": lambda size, low, high: (1, size - 1 - high),
    "circular": lambda size, low, high: (size - low, 0),
    "replicate": lambda size, low, high: (0, size - 1),
}
"""Where the elements before and those behind come from."""


def _border(b: Bound, x: str, axis: int, mode: str, start: int, count: int) -> str:
    if mode == "replicate":
        edge = emit_slice(b, x, axis, start, 1, last=False)
        return _copies(b, edge, [count if i == axis else 1 for i in range(len(b.shape(x)))])
    part = emit_slice(b, x, axis, start, count, last=False)
    return _flipped(b, part, axis) if mode == "reflect" else part


def emit_gather(b: Bound, x: str, axis: int, places: Sequence[int], *, last: bool = True) -> str:
    """Append elements of an axis by constant index: one slice, or some of them joined."""
    runs = runs_of(places)
    if len(runs) > MAX_RUNS:
        raise b.refuse(f"a selection in {len(runs)} slices, at most {MAX_RUNS} are", "slice instead")
    if len(runs) == 1:
        return emit_slice(b, x, axis, runs[0].start, len(runs[0]), runs[0].step, last=last)
    parts = [emit_slice(b, x, axis, run[0], len(run), run.step, last=False) for run in runs]
    out = tuple(len(places) if i == axis else d for i, d in enumerate(b.shape(x)))
    return b.emit("concat", parts, out, last=last, axis=axis)


def runs_of(places: Sequence[int]) -> list[range]:
    """Indices as few ranges of positive steps, from the left."""
    runs: list[range] = []
    for index in places:
        last = runs[-1] if runs else range(0)
        step = index - last[-1] if len(last) else 0
        if len(last) and step > 0 and (len(last) == 1 or step == last.step):
            runs[-1] = range(last[0], index + 1, step)
        else:
            runs.append(range(index, index + 1))
    return runs


def flip(b: Bound) -> str:
    """aten::flip: joined slices of one element; of a long axis blocks, and the elements in each."""
    x = b.activation()
    for axis in sorted(axis_of(int(d), len(b.shape(x))) for d in b["dims"]):
        x = _flipped(b, x, axis)
    return x


def _flipped(b: Bound, x: str, axis: int) -> str:
    shape = b.shape(x)
    size = shape[axis]
    if size <= MAX_RUNS:
        return emit_gather(b, x, axis, range(size - 1, -1, -1))
    block = max((n for n in range(2, math.isqrt(size) + 1) if size % n == 0), default=1)
    if block == 1 or size // block > MAX_RUNS:
        raise b.refuse(f"a flip of {size} elements", "flip outside the network")
    blocks = (*shape[:axis], size // block, block, *shape[axis + 1 :])
    x = b.emit("reshape", [x], blocks, last=False, shape=blocks)
    x = _flipped(b, _flipped(b, x, axis), axis + 1)
    return b.emit("reshape", [x], shape, shape=shape)


def roll(b: Bound) -> str:
    """aten::roll: two joined slices an axis."""
    x = b.activation()
    if not b["dims"]:
        size = b.builder.type(x).elements
        flat = b.emit("reshape", [x], (size,), last=False, shape=(size,))
        moved = _rolled(b, flat, 0, int(b["shifts"][0]))
        return b.emit("reshape", [moved], b.out_shape, shape=b.out_shape)
    for axis, shift in zip(b["dims"], b["shifts"], strict=True):
        x = _rolled(b, x, axis_of(int(axis), len(b.shape(x))), int(shift))
    return x


def _rolled(b: Bound, x: str, axis: int, shift: int) -> str:
    size = b.shape(x)[axis]
    cut = -shift % size
    if not cut:
        return x
    ends = ((cut, size - cut), (0, cut))
    parts = [emit_slice(b, x, axis, start, count, last=False) for start, count in ends]
    return b.emit("concat", parts, b.shape(x), axis=axis)


def repeat(b: Bound) -> str:
    """aten::repeat and aten::tile: joined copies."""
    x = b.activation()
    times = [int(n) for n in b["repeats" if "repeats" in b.args else "dims"]]
    rank = max(len(times), len(b.shape(x)))
    shape = (1,) * (rank - len(b.shape(x))) + b.shape(x)
    if shape != b.shape(x):
        x = b.emit("reshape", [x], shape, last=False, shape=shape)
    return _copies(b, x, [1] * (rank - len(times)) + times)


def repeat_interleave(b: Bound) -> str:
    """aten::repeat_interleave by one number: every element so many times."""
    times, dim = b["repeats"], b["dim"]
    if not isinstance(times, int):
        raise b.refuse("repetitions that differ by element", "repeat by one number")
    x = b.activation()
    if dim is None:
        size = b.builder.type(x).elements
        x, dim = b.emit("reshape", [x], (size,), last=False, shape=(size,)), 0
    axis = axis_of(int(dim), len(b.shape(x)))
    shape = (*b.shape(x)[: axis + 1], 1, *b.shape(x)[axis + 1 :])
    x = b.emit("reshape", [x], shape, last=False, shape=shape)
    x = _copies(b, x, [times if i == axis + 1 else 1 for i in range(len(shape))])
    return b.emit("reshape", [x], b.out_shape, shape=b.out_shape)


def pixel_shuffle(b: Bound) -> str:
    """(N, C*r*r, H, W) -> (N, C, H*r, W*r) as reshape, permute, reshape (Shi et al. 2016)."""
    x, r = b.activation(), int(b["upscale_factor"])
    *outer, h, w = b.shape(x)
    split_shape = (math.prod(outer) // (r * r), r, r, h, w)
    y = b.emit("reshape", [x], split_shape, last=False, shape=split_shape)
    y = emit_permute(b, y, (0, 3, 1, 4, 2), last=False)
    return b.emit("reshape", [y], b.out_shape, shape=b.out_shape)


def pixel_unshuffle(b: Bound) -> str:
    """(N, C, H*r, W*r) -> (N, C*r*r, H, W), the inverse of `pixel_shuffle`."""
    x, r = b.activation(), int(b["downscale_factor"])
    *outer, h, w = b.shape(x)
    split_shape = (math.prod(outer), h // r, r, w // r, r)
    y = b.emit("reshape", [x], split_shape, last=False, shape=split_shape)
    y = emit_permute(b, y, (0, 2, 4, 1, 3), last=False)
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
    """aten::expand by joining copies."""
    return emit_expanded(b, b.activation(), b.out_shape)


def emit_expanded(b: Bound, x: str, out: tuple[int, ...]) -> str:
    """Append what broadcasting to ``out`` gives."""
    shape = b.shape(x)
    if len(shape) < len(out):
        shape = (1,) * (len(out) - len(shape)) + shape
        x = b.emit("reshape", [x], shape, last=False, shape=shape)
    return _copies(b, x, [want // have for have, want in zip(shape, out, strict=True)])


def _copies(b: Bound, x: str, times: list[int]) -> str:
    """Copies side by side; many of them as copies of copies, or by repeating pixels."""
    for axis, count in enumerate(times):
        while count > 1:
            now = next(n for n in range(min(count, MAX_COPIES), 0, -1) if count % n == 0)
            if now == 1:
                raise b.refuse(f"expand by {count}", "let broadcasting do it")
            grown = tuple(d * now if i == axis else d for i, d in enumerate(b.shape(x)))
            x = b.emit("concat", [x] * now, grown, axis=axis)
            count //= now
    return x


_RESHAPES = (
    "reshape", "view", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "view_copy", "view_as",
    "reshape_as", "_reshape_alias", "ravel", "squeeze_", "unsqueeze_",
)  # fmt: skip

HANDLERS: dict[str, Callable[[Bound], Any]] = {
    **{f"aten::{name}": reshape for name in _RESHAPES},
    "aten::permute": permute,
    "aten::movedim": moved,
    "aten::moveaxis": moved,
    "aten::transpose": transpose,
    "aten::transpose_": transpose,
    "aten::swapaxes": transpose,
    "aten::swapdims": transpose,
    "aten::t": transpose,
    "aten::numpy_T": reversed_axes,
    "aten::mT": last_two,
    "aten::adjoint": last_two,
    "aten::slice": slice_,
    "aten::narrow": narrow,
    "aten::select": select,
    "aten::split": split,
    "aten::split_with_sizes": split,
    "aten::tensor_split": split,
    "aten::chunk": split,
    "aten::unbind": unbind,
    "aten::cat": cat,
    "aten::concat": cat,
    "aten::concatenate": cat,
    "aten::stack": stack,
    "aten::pad": pad,
    "aten::constant_pad_nd": pad,
    "aten::flip": flip,
    "aten::roll": roll,
    "aten::repeat": repeat,
    "aten::tile": repeat,
    "aten::repeat_interleave": repeat_interleave,
    "aten::pixel_unshuffle": pixel_unshuffle,
    "aten::pixel_shuffle": pixel_shuffle,
    "aten::channel_shuffle": channel_shuffle,
    "aten::expand": expand,
    "aten::expand_as": expand,
    "aten::broadcast_to": expand,
}
