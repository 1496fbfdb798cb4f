"""Resizing and warping of images.

Nearest and bilinear resizing are operators of every runtime.  Everything else that weighs pixels by numbers
known beforehand (bicubic, antialiased, factors that do not divide the size, ``grid_sample`` of a constant
grid) is a matrix product with a constant, whose rows torch itself computes; it is an integer kernel in int8.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from pocketpress.sources.aten.bound import Bound
from pocketpress.sources.aten.elementwise import emit_binary
from pocketpress.sources.aten.shapes import emit_permute, emit_slice

MAX_WEIGHTS = 1 << 22
"""Of a matrix that stands for a warp or a resize: beyond it, it would weigh more than a network."""
MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")

Size = tuple[int, int]


def _image(b: Bound) -> str:
    return b.activation("input" if "input" in b.args else "self")


def _scales(b: Bound) -> tuple[float | None, float | None]:
    """Factors that torch computes the positions with, where the call gives them."""
    if "scale_factors" in b.args:
        given = b["scale_factors"]
        return (None, None) if not given else (float(given[0]), float(given[-1]))
    first, second = b.args.get("scales_h"), b.args.get("scales_w")
    return (None if first is None else float(first), None if second is None else float(second))


def _is_regular(b: Bound, x: str) -> bool:
    """Whether positions follow from the two sizes alone."""
    sizes = zip(b.shape(x)[2:], b.out_shape[2:], _scales(b), strict=True)
    return all(scale is None or abs(have * scale - want) < 1e-6 * want for have, want, scale in sizes)


def nearest(b: Bound) -> str:
    """Nearest neighbour, rounding down."""
    x = _image(b)
    if not _is_regular(b, x):
        return _resampled(b, x, torch.ops.aten.upsample_nearest2d)
    return b.emit("resize_nearest", [x], b.out_shape, size=b.out_shape[2:])


def nearest_exact(b: Bound) -> str:
    """The pixel nearest to the centre: every other pixel of a resize to twice the size.

    ``floor((i + 1/2) * in/out)`` is ``floor((2i + 1) * in/(2 out))``.
    """
    x = _image(b)
    if not _is_regular(b, x):
        return _resampled(b, x, torch.ops.aten._upsample_nearest_exact2d)
    have, want = b.shape(x)[2:], b.out_shape[2:]
    if all(w % h == 0 for h, w in zip(have, want, strict=True)):
        return b.emit("resize_nearest", [x], b.out_shape, size=want)
    shape, last = list(b.shape(x)), [i for i in (0, 1) if have[i] % want[i]]
    for axis in (0, 1):
        if have[axis] % want[axis] == 0 and have[axis] != want[axis]:
            step = have[axis] // want[axis]
            x = emit_slice(b, x, 2 + axis, step // 2, want[axis], step, last=not last and axis == 1)
            shape[2 + axis] = want[axis]
    if not last:
        return x
    double = (*shape[:2], *(2 * want[i] if i in last else want[i] for i in (0, 1)))
    x = b.emit("resize_nearest", [x], double, last=False, size=double[2:])
    for axis in last:
        x = emit_slice(b, x, 2 + axis, 1, want[axis], 2, last=axis == last[-1])
    return x


def bilinear(b: Bound) -> str:
    """Bilinear, without antialiasing."""
    x, corners = _image(b), bool(b["align_corners"])
    if not corners and not _is_regular(b, x):
        return _resampled(b, x, torch.ops.aten.upsample_bilinear2d, corners)
    size = b.out_shape[2:]
    return b.emit("resize_bilinear", [x], b.out_shape, size=size, align_corners=corners)


def _lengthened(b: Bound) -> str:
    """Sequences (N, C, L), as linear products with what torch does to the unit sequences."""
    x = _image(b)
    have, want = b.shape(x)[-1], b.out_shape[-1]
    unit = torch.eye(have)[None]
    given = b.args.get("scale_factors") or [b.args.get("scales")]
    more = [bool(b["align_corners"])] if "align_corners" in b.args else []
    op = torch.ops.aten.upsample_linear1d if more else torch.ops.aten.upsample_nearest1d
    matrix = op(unit, [want], *more, given[0])[0].T
    return _times(b, x, matrix, b.out_shape, last=True)


def nearest1d(b: Bound) -> str:
    """Nearest neighbour of sequences: of an image of height one where positions follow from the sizes."""
    x = _image(b)
    n, c, have = b.shape(x)
    want = b.out_shape[-1]
    given = (b.args.get("scale_factors") or [b.args.get("scales")])[0]
    if given is not None and abs(have * given - want) >= 1e-6 * want:
        return _lengthened(b)
    image = b.emit("reshape", [x], (n, c, 1, have), last=False, shape=(n, c, 1, have))
    made = b.emit("resize_nearest", [image], (n, c, 1, want), last=False, size=(1, want))
    return b.emit("reshape", [made], b.out_shape, shape=b.out_shape)


def _by_matrix(op: Any) -> Callable[[Bound], str]:
    def handler(b: Bound) -> str:
        return _resampled(b, _image(b), op, bool(b["align_corners"]))

    return handler


def _resampled(b: Bound, x: str, op: Any, *more: Any) -> str:
    """Any linear resize as one product along the width and one along the height."""
    (height, width), out, scales = b.shape(x)[2:], b.out_shape[2:], _scales(b)
    rows = op(torch.eye(width)[None, None], [width, out[1]], *more, None, scales[1])
    columns = op(torch.eye(height)[None, None], [out[0], height], *more, scales[0], None)
    return separable(b, x, rows[0, 0].T, columns[0, 0])


def separable(b: Bound, x: str, along_width: torch.Tensor, along_height: torch.Tensor) -> str:
    """``along_height @ image @ along_width.T`` for every channel; matrices of shape (out, in)."""
    n, c, height, _ = b.shape(x)
    rows = _times(b, x, along_width, (n, c, height, len(along_width)))
    turned = emit_permute(b, rows, (0, 1, 3, 2), last=False)
    columns = _times(b, turned, along_height, (n, c, len(along_width), len(along_height)))
    return emit_permute(b, columns, (0, 1, 3, 2))


def _times(b: Bound, x: str, matrix: torch.Tensor, shape: tuple[int, ...], *, last: bool = False) -> str:
    if matrix.numel() > MAX_WEIGHTS:
        raise b.refuse(
            f"a resampling of {matrix.shape[1]} to {matrix.shape[0]} pixels",
            "resize bilinearly or by nearest",
        )
    weight = b.tensor(matrix.contiguous(), "resampling")
    return b.emit("linear", [x, weight], shape, last=last, clamp=None)


def grid_sampler(b: Bound) -> str:
    """``grid_sample``: any mode of a constant grid; bilinear, zeros or border padding, of a computed one."""
    x, grid = b.activation("input"), b["grid"]
    mode, padding = MODES[int(b["interpolation_mode"])], PADDINGS[int(b["padding_mode"])]
    corners = bool(b["align_corners"])
    if len(b.shape(x)) != 4 or b.shape(x)[0] != 1:
        raise b.refuse("grid_sample of volumes or of several images", "sample one image at a time")
    if isinstance(grid, str):
        return _computed_grid(b, x, grid, mode, padding, corners)
    options = (int(b["interpolation_mode"]), int(b["padding_mode"]), corners)
    matrices = _aligned(grid, b.shape(x)[2:], options) if mode == "bilinear" else None
    if matrices is not None:
        return separable(b, x, *matrices)
    return _constant_grid(b, x, grid, options)


def _aligned(
    grid: torch.Tensor, size: Sequence[int], options: Any
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Matrices of a grid whose x depends on the column alone and y on the row alone (crop, zoom, flip)."""
    xs, ys = grid[0, :1, :, 0], grid[0, :, :1, 1]
    if not (torch.equal(grid[0, ..., 0], xs.expand(grid.shape[1:3]))
            and torch.equal(grid[0, ..., 1], ys.expand(grid.shape[1:3]))):  # fmt: skip
        return None
    height, width = size
    across = torch.stack([xs, torch.zeros_like(xs)], -1)[None]
    down = torch.stack([torch.zeros_like(ys), ys], -1)[None]
    rows = torch.grid_sampler(torch.eye(width).reshape(1, width, 1, width), across, *options)
    columns = torch.grid_sampler(torch.eye(height).reshape(1, height, height, 1), down, *options)
    return rows[0, :, 0].T, columns[0, :, :, 0].T


def _constant_grid(b: Bound, x: str, grid: torch.Tensor, options: Any) -> str:
    n, c, height, width = b.shape(x)
    pixels, places = height * width, math.prod(b.out_shape[2:])
    if pixels * places > MAX_WEIGHTS:
        raise _too_large(b, pixels, places)
    identity = torch.eye(pixels).reshape(1, pixels, height, width)
    matrix = torch.grid_sampler(identity, grid, *options).reshape(pixels, places).T
    flat = b.emit("reshape", [x], (n, c, pixels), last=False, shape=(n, c, pixels))
    taken = _times(b, flat, matrix, (n, c, places))
    return b.emit("reshape", [taken], b.out_shape, shape=b.out_shape)


def _too_large(b: Bound, pixels: int, places: int) -> Exception:
    return b.refuse(
        f"grid_sample of {pixels} pixels at {places} places is a matrix of {pixels * places} numbers, "
        f"at most {MAX_WEIGHTS} are",
        "warp a smaller feature map, or outside the network",
    )


def _computed_grid(b: Bound, x: str, grid: str, mode: str, padding: str, corners: bool) -> str:
    """Bilinear sampling as arithmetic: pixel (i, j) weighs ``max(0, 1 - |y - i|) * max(0, 1 - |x - j|)``."""
    if mode != "bilinear" or padding == "reflection":
        raise b.refuse(
            f"grid_sample of a computed grid with mode {mode} and {padding} padding",
            "use bilinear with zeros or border padding, or make the grid a buffer",
        )
    _, c, height, width = b.shape(x)
    places = math.prod(b.out_shape[2:])
    if height * width * places > MAX_WEIGHTS:
        raise _too_large(b, height * width, places)
    border = padding == "border"
    rows = _hats(b, grid, 1, height, corners, border)
    columns = _hats(b, grid, 0, width, corners, border)
    tall = b.emit("reshape", [rows], (places, height, 1), last=False, shape=(places, height, 1))
    wide = b.emit("reshape", [columns], (places, 1, width), last=False, shape=(places, 1, width))
    weights = emit_binary(b, "mul", tall, wide, last=False)
    flat = (1, places, height * width)
    weights = emit_permute(
        b, b.emit("reshape", [weights], flat, last=False, shape=flat), (0, 2, 1), last=False
    )
    line = (1, c, height * width)
    image = b.emit("reshape", [x], line, last=False, shape=line)
    taken = b.emit("matmul", [image, weights], (1, c, places), last=False)
    return b.emit("reshape", [taken], b.out_shape, shape=b.out_shape)


def affine_grid(b: Bound) -> str:
    """aten::affine_grid_generator: the places (x, y, 1) of all pixels times a computed matrix."""
    theta, size = b.activation("theta"), [int(n) for n in b["size"]]
    if len(size) != 4 or size[0] != 1:
        raise b.refuse("affine_grid of volumes or of several images", "warp one image at a time")
    plain = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    places = torch.affine_grid_generator(plain, size, bool(b["align_corners"])).reshape(1, -1, 2)
    places = torch.cat([places, torch.ones(1, places.shape[1], 1)], -1)
    turned = emit_permute(b, theta, (0, 2, 1), last=False)
    grid = b.emit("matmul", [b.tensor(places, "places"), turned], (1, places.shape[1], 2), last=False)
    return b.emit("reshape", [grid], b.out_shape, shape=b.out_shape)


def _hats(b: Bound, grid: str, which: int, size: int, corners: bool, border: bool) -> str:
    """How near every place is to each pixel of an axis, 1 to 0 at a distance of 1: (places, size)."""
    places = b.builder.type(grid).elements // 2
    part = emit_slice(b, grid, 3, which, 1, last=False)
    part = b.emit("reshape", [part], (places, 1), last=False, shape=(places, 1))
    scaled = emit_binary(b, "mul", part, (size - 1) / 2 if corners else size / 2, last=False)
    position = emit_binary(b, "add", scaled, (size - 1) / 2, last=False)
    if border:
        position = b.emit("clamp", [position], (places, 1), last=False, low=0.0, high=float(size - 1))
    pixels = torch.from_numpy(np.arange(size, dtype=np.float32)).reshape(1, size)
    away = b.emit("abs", [emit_binary(b, "sub", position, pixels, last=False)], (places, size), last=False)
    near = emit_binary(b, "add", emit_binary(b, "mul", away, -1.0, last=False), 1.0, last=False)
    return b.emit("clamp", [near], (places, size), last=False, low=0.0, high=None)


HANDLERS: dict[str, Callable[[Bound], Any]] = {
    "aten::upsample_nearest1d": nearest1d,
    "aten::upsample_linear1d": _lengthened,
    "aten::upsample_nearest2d": nearest,
    "aten::_upsample_nearest_exact2d": nearest_exact,
    "aten::upsample_bilinear2d": bilinear,
    "aten::upsample_bicubic2d": _by_matrix(torch.ops.aten.upsample_bicubic2d),
    "aten::_upsample_bicubic2d_aa": _by_matrix(torch.ops.aten._upsample_bicubic2d_aa),
    "aten::_upsample_bilinear2d_aa": _by_matrix(torch.ops.aten._upsample_bilinear2d_aa),
    "aten::affine_grid_generator": affine_grid,
    "aten::grid_sampler": grid_sampler,
    "aten::grid_sampler_2d": grid_sampler,
}
