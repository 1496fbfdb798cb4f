"""Pooling, and the largest and least numbers along axes, which are pooling."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from pocketpress.sources.aten.bound import Bound, axis_of, pair
from pocketpress.sources.aten.elementwise import emit_binary
from pocketpress.sources.aten.resampling import separable
from pocketpress.sources.aten.shapes import MAX_RUNS, emit_permute, emit_slice


def _pool_pads(
    b: Bound, x: str, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Pads that give the shape torch computed: ceil_mode grows the bottom and right."""
    h, w = pair(b["padding"])
    size, out = b.shape(x), b.out_shape
    need = [
        (out[2 + i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 - size[2 + i] - (h, w)[i]
        for i in range(2)
    ]
    return (h, w, max(need[0], 0), max(need[1], 0))


def max_pool2d(b: Bound) -> str:
    """aten::max_pool2d, ceil_mode included."""
    kernel = pair(b["kernel_size"])
    stride = pair(b["stride"]) if b["stride"] else kernel
    dilation, x = pair(b["dilation"]), b.activation()
    pads = _pool_pads(b, x, kernel, stride, dilation)
    return b.emit("max_pool2d", [x], b.out_shape, kernel=kernel, stride=stride, pads=pads, dilation=dilation)


def max_pool1d(b: Bound) -> str:
    """aten::max_pool1d over an image of height one."""
    kernel, dilation = int(b["kernel_size"][0]), int(b["dilation"][0])
    stride = int(b["stride"][0]) if b["stride"] else kernel
    x, padding = _line(b), int(b["padding"][0])
    rest = (b.out_shape[-1] - 1) * stride + dilation * (kernel - 1) + 1 - b.shape(x)[3] - padding
    pads = (0, padding, 0, max(rest, 0))
    attrs = {"kernel": (1, kernel), "stride": (1, stride), "pads": pads, "dilation": (1, dilation)}
    return _as_line(b, "max_pool2d", x, **attrs)


def avg_pool2d(b: Bound) -> str:
    """aten::avg_pool2d; windows that ceil_mode adds are averages of what lies inside the image."""
    kernel = pair(b["kernel_size"])
    stride = pair(b["stride"]) if b["stride"] else kernel
    x, (h, w), divisor = b.activation(), pair(b["padding"]), b["divisor_override"]
    pads, counted = (h, w, h, w), bool(b["count_include_pad"] or divisor)
    if _is_grown(b, x, kernel, stride):
        if counted and (h or w or divisor):
            raise b.refuse(
                "avg_pool2d with ceil_mode where a window is cut off, and padding or a divisor counts",
                "count_include_pad=False, or nn.ZeroPad2d before it",
            )
        pads, counted = _pool_pads(b, x, kernel, stride, (1, 1)), False
    y = b.emit(
        "avg_pool2d",
        [x],
        b.out_shape,
        last=not divisor,
        kernel=kernel,
        stride=stride,
        pads=pads,
        count_include_pad=counted,
    )
    return emit_binary(b, "mul", y, kernel[0] * kernel[1] / divisor) if divisor else y


def _is_grown(b: Bound, x: str, kernel: tuple[int, int], stride: tuple[int, int]) -> bool:
    """Whether ceil_mode adds windows that reach over the border."""
    return bool(b["ceil_mode"]) and any(_pool_pads(b, x, kernel, stride, (1, 1))[2 + i] > p
                                        for i, p in enumerate(pair(b["padding"])))  # fmt: skip


def avg_pool1d(b: Bound) -> str:
    """aten::avg_pool1d over an image of height one."""
    kernel, padding = int(b["kernel_size"][0]), int(b["padding"][0])
    stride = int(b["stride"][0]) if b["stride"] else kernel
    x = _line(b)
    if b["ceil_mode"] and (b.out_shape[-1] - 1) * stride + kernel > b.shape(x)[3] + 2 * padding:
        raise b.refuse("avg_pool1d with ceil_mode where a window is cut off")
    attrs = {"kernel": (1, kernel), "stride": (1, stride), "pads": (0, padding, 0, padding)}
    return _as_line(b, "avg_pool2d", x, **attrs, count_include_pad=bool(b["count_include_pad"]))


def _line(b: Bound) -> str:
    """A sequence (N, C, L) as an image of height one."""
    x = b.activation()
    if len(b.shape(x)) != 3:
        raise b.refuse("pooling without a batch axis", "add a batch axis of one")
    shape = (*b.shape(x)[:2], 1, b.shape(x)[2])
    return b.emit("reshape", [x], shape, last=False, shape=shape)


def _as_line(b: Bound, op: str, image: str, **attrs: Any) -> str:
    """Append an operator on an image of height one; its result as a sequence."""
    out = b.out_shape
    made = b.emit(op, [image], (*out[:2], 1, out[2]), last=False, **attrs)
    return b.emit("reshape", [made], out, shape=out)


def adaptive_avg_pool2d(b: Bound) -> str:
    """To 1x1 a mean; windows where the sizes divide; else the mean over each window as a product."""
    x, out = b.activation(), b.out_shape
    if len(b.shape(x)) != 4:
        raise b.refuse("pooling without a batch axis", "add a batch axis of one")
    h, w = b.shape(x)[2:]
    if out[2:] == (1, 1):
        return b.emit("mean", [x], out, axes=(2, 3), keepdims=True)
    if h % out[2] or w % out[3]:
        return separable(b, x, _means(w, out[3]), _means(h, out[2]))
    kernel = (h // out[2], w // out[3])
    return b.emit(
        "avg_pool2d", [x], out, kernel=kernel, stride=kernel, pads=(0, 0, 0, 0), count_include_pad=True
    )


def _means(have: int, want: int) -> torch.Tensor:
    """The matrix (want, have) of a mean over windows, which may overlap."""
    return F.adaptive_avg_pool1d(torch.eye(have)[None], want)[0].T


def adaptive_avg_pool1d(b: Bound) -> str:
    """A mean, windows where the sizes divide, or a product."""
    x = _line(b)
    have, want = b.shape(x)[3], b.out_shape[-1]
    if want == 1:
        return b.emit("mean", [b.activation()], b.out_shape, axes=(2,), keepdims=True)
    if have % want:
        weight = b.tensor(_means(have, want), "windows")
        return b.emit("linear", [b.activation(), weight], b.out_shape, clamp=None)
    attrs = {"kernel": (1, have // want), "stride": (1, have // want), "pads": (0, 0, 0, 0)}
    return _as_line(b, "avg_pool2d", x, **attrs, count_include_pad=True)


def adaptive_max_pool2d(b: Bound) -> tuple[str, None]:
    """Windows, joined slices where they are uneven; the indices are not available."""
    _check_indices(b)
    x, out = b.activation(), b.out_shape
    if len(b.shape(x)) != 4:
        raise b.refuse("pooling without a batch axis", "add a batch axis of one")
    return _adaptive_maximum(b, x, out, last=True), None


def adaptive_max_pool1d(b: Bound) -> tuple[str, None]:
    """Windows over an image of height one; the indices are not available."""
    _check_indices(b)
    made = _adaptive_maximum(b, _line(b), (*b.out_shape[:2], 1, b.out_shape[-1]))
    return b.emit("reshape", [made], b.out_shape, shape=b.out_shape), None


def _adaptive_maximum(b: Bound, x: str, out: tuple[int, ...], *, last: bool = False) -> str:
    """One pooling where the windows of both axes repeat, else one axis after the other."""
    sizes = b.shape(x)[2:]
    height, width = (_repeated(_windows(have, want)) for have, want in zip(sizes, out[2:], strict=True))
    if height and width:
        return emit_maximum(b, x, (height[0], width[0]), out, stride=(height[1], width[1]), last=last)
    x = _maximum_over(b, x, 2, out[2])
    return _maximum_over(b, x, 3, out[3], last=last)


def _windows(have: int, want: int) -> list[range]:
    """The windows of an adaptive pooling over one axis; they may overlap."""
    return [range(i * have // want, -(-(i + 1) * have // want)) for i in range(want)]


def _repeated(windows: list[range]) -> tuple[int, int] | None:
    """Size and distance of windows; None where they differ in one of them."""
    steps = {after.start - before.start for before, after in itertools.pairwise(windows)} or {1}
    sizes = {len(window) for window in windows}
    return (sizes.pop(), steps.pop()) if len(sizes) == len(steps) == 1 else None


def _maximum_over(b: Bound, x: str, axis: int, want: int, *, last: bool = False) -> str:
    """The largest number of every window over one axis of an image."""
    shape, windows = b.shape(x), _windows(b.shape(x)[axis], want)
    found = _repeated(windows)
    out = tuple(want if i == axis else size for i, size in enumerate(shape))
    if found:
        kernel, stride = ((n, 1) if axis == 2 else (1, n) for n in found)
        return emit_maximum(b, x, kernel, out, stride=stride, last=last)
    if want > MAX_RUNS:
        raise b.refuse(
            f"adaptive max pooling from {shape[axis]} to {want} has uneven windows, at most {MAX_RUNS} are",
            "a size that divides the other, or nn.MaxPool2d",
        )
    parts = []
    for window in windows:
        part = emit_slice(b, x, axis, window.start, len(window), last=False)
        kernel = (len(window), 1) if axis == 2 else (1, len(window))
        one = tuple(1 if i == axis else size for i, size in enumerate(shape))
        parts.append(emit_maximum(b, part, kernel, one))
    return b.emit("concat", parts, out, last=last, axis=axis)


def emit_maximum(
    b: Bound,
    x: str,
    kernel: tuple[int, int],
    out: tuple[int, ...],
    *,
    stride: tuple[int, int] | None = None,
    last: bool = False,
) -> str:
    """Append a max pooling without padding; windows stand side by side unless ``stride`` says otherwise."""
    attrs: dict[str, Any] = {"kernel": kernel, "stride": stride or kernel, "dilation": (1, 1)}
    return b.emit("max_pool2d", [x], out, last=last, pads=(0, 0, 0, 0), **attrs)


def _check_indices(b: Bound) -> None:
    if any(user.args[1] == 1 and user.users for user in b.node.users if user.target is operator.getitem):
        raise b.refuse("indices of maxima, which no runtime has", "let the network end with the values")


def emit_max(b: Bound, x: str, axes: Sequence[int], *, least: bool = False) -> str:
    """Append the largest (or least) number over ``axes``, as one max pooling; axes stay, of size one."""
    check_filled(b, x)
    shape = b.shape(x)
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    if least:
        x = emit_binary(b, "mul", x, -1.0, last=False)
    if len(shape) == 4 and tuple(axes) == (2, 3):
        x = emit_maximum(b, x, shape[2:], kept)
    else:
        front = [a for a in range(len(shape)) if a not in axes and a < min(axes)]
        back = [a for a in range(len(shape)) if a not in axes and a > min(axes)]
        order = (*front, *axes, *back)
        if order != tuple(range(len(shape))):
            x = emit_permute(b, x, order, last=False)
        sizes = (math.prod(shape[a] for a in group) for group in (front, axes, back))
        image = (1, *sizes)
        x = b.emit("reshape", [x], image, last=False, shape=image)
        x = emit_maximum(b, x, (image[2], 1), (1, image[1], 1, image[3]))
        x = b.emit("reshape", [x], kept, last=False, shape=kept)
    return emit_binary(b, "mul", x, -1.0, last=False) if least else x


def extreme(*, least: bool) -> Callable[[Bound], str]:
    """aten::amax, aten::amin and the forms of aten::max and aten::min without indices."""

    def handler(b: Bound) -> str:
        x = b.real(b.activation())
        rank, dims = len(b.shape(x)), b.args.get("dim")
        axes = sorted({axis_of(int(d), rank) for d in dims}) if dims else list(range(rank))
        return b.emit("reshape", [emit_max(b, x, axes, least=least)], b.out_shape, shape=b.out_shape)

    return handler


def check_filled(b: Bound, x: str) -> None:
    """Refuse a reduction of no numbers: there is no mean and no maximum of them.

    Raises:
        UnsupportedError: an axis of ``x`` has size 0.
    """
    if not b.builder.type(x).elements:
        raise b.refuse(f"a reduction of an empty tensor, of shape {b.shape(x)}", "leave it out")


HANDLERS: dict[str, Callable[[Bound], Any]] = {
    "aten::max_pool2d": max_pool2d,
    "aten::max_pool1d": max_pool1d,
    "aten::avg_pool2d": avg_pool2d,
    "aten::avg_pool1d": avg_pool1d,
    "aten::adaptive_avg_pool2d": adaptive_avg_pool2d,
    "aten::_adaptive_avg_pool2d": adaptive_avg_pool2d,
    "aten::adaptive_avg_pool1d": adaptive_avg_pool1d,
    "aten::adaptive_max_pool2d": adaptive_max_pool2d,
    "aten::adaptive_max_pool1d": adaptive_max_pool1d,
    "aten::amax": extreme(least=False),
    "aten::amin": extreme(least=True),
}
