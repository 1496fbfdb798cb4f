"""Operators that are made of others: traced, and translated by their parts.

The vocabulary of programs is small on purpose.  An operator without a handler, or in a form that its
handler refuses, is rewritten by `FORMULAS` here, or by PyTorch's own decompositions, and what that gives is
translated like the rest of the network.  Only calls that need it are rewritten, each by itself, so that
nothing else of a network changes.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Container
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

MAX_PARTS = 64
"""Steps of a product over an axis, written one after the other."""
MAX_NODES = 1000
"""Calls that one operator may become."""
_TRACES = ("nn_module_stack", "stack_trace", "custom")


def parts(node: torch.fx.Node, known: Container[str]) -> torch.fx.GraphModule | None:
    """A call as calls of other operators, with `tensors_of` it as inputs; None if there are none.

    Args:
        node: a call of an ATen operator, with fake tensors as ``meta["val"]``.
        known: names of operators that need not be rewritten further.
    """
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return None
    target = _functional(target)
    formula = FORMULAS.get(target._schema.name.partition(".")[0])
    table = _decompositions(known)
    if formula is None and target not in table and not _is_composite(target):
        return None
    graph = _traced(formula or table.get(target) or target, node, table)
    if graph is None or len(graph.graph.nodes) > MAX_NODES or any(map(_is_random, graph.graph.nodes)):
        return None
    for part in graph.graph.nodes:
        part.meta.update({key: node.meta[key] for key in _TRACES if key in node.meta})
        if part.op == "call_function":
            part.name = f"{node.name}_{part.name}"
    return graph


def tensors_of(node: torch.fx.Node) -> list[torch.fx.Node]:
    """The tensors that a call takes, in order of its arguments, each as often as it stands there."""
    found: list[torch.fx.Node] = []
    torch.fx.node.map_arg((node.args, node.kwargs), found.append)
    return found


def _functional(target: torch._ops.OpOverload) -> torch._ops.OpOverload:
    """Of an operator that writes into its first tensor the one that makes a new tensor."""
    if not target._schema.is_mutable:
        return target
    packet = getattr(torch.ops.aten, target._schema.name.removeprefix("aten::").removesuffix("_"), None)
    found = getattr(packet, target._overloadname, target)
    return found if isinstance(found, torch._ops.OpOverload) else target


def _is_random(part: torch.fx.Node) -> bool:
    """Whether a part draws numbers: drawn once, they would be constants of the program."""
    return torch.Tag.nondeterministic_seeded in getattr(part.target, "tags", ())


def _is_composite(target: torch._ops.OpOverload) -> bool:
    return bool(target.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd))


def _traced(
    function: Callable[..., Any], node: torch.fx.Node, table: dict[Any, Callable[..., Any]]
) -> torch.fx.GraphModule | None:
    values = [tensor.meta["val"] for tensor in tensors_of(node)]

    def call(*given: Tensor) -> Any:
        left = iter(given)
        args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), lambda n: next(left))
        return function(*args, **kwargs)

    level = logging.root.manager.disable
    logging.disable(logging.ERROR)  # of what a decomposition that does not fit tells its authors
    try:
        return make_fx(call, decomposition_table=table, tracing_mode="fake")(*values)
    except Exception:  # whatever a decomposition raises, this operator has none
        return None
    finally:
        logging.disable(level)


@functools.cache
def _all_decompositions() -> dict[Any, Callable[..., Any]]:
    from torch._decomp import decomposition_table

    return dict(decomposition_table)


def _decompositions(known: Container[str]) -> dict[Any, Callable[..., Any]]:
    """PyTorch's and ours, for operators that are not known."""
    table = {op: do for op, do in _all_decompositions().items() if op.name().partition(".")[0] not in known}
    for name, formula in FORMULAS.items():
        packet = getattr(torch.ops.aten, name.removeprefix("aten::"), None)
        for overload in packet.overloads() if packet is not None and name not in known else ():
            table[getattr(packet, overload)] = formula
    return table


def _product(x: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Over one axis, factor by factor: no runtime has products everywhere."""
    x, dim = (x.reshape(-1), 0) if dim is None else (x, dim)
    if x.shape[dim] > MAX_PARTS:
        raise ValueError("too long")
    found = functools.reduce(torch.mul, x.unbind(dim))
    return found.unsqueeze(dim) if keepdim else found


def _running_product(x: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    if x.shape[dim] > MAX_PARTS:
        raise ValueError("too long")
    done = [x.select(dim, 0)]
    for factor in x.unbind(dim)[1:]:
        done.append(done[-1] * factor)
    return torch.stack(done, dim)


def _ahead(rows: int, columns: int) -> Tensor:
    """Column minus row of every place."""
    return torch.arange(columns)[None, :] - torch.arange(rows)[:, None]


def _lower_triangle(x: Tensor, diagonal: int = 0) -> Tensor:
    return x * (_ahead(*x.shape[-2:]) <= diagonal).float()


def _upper_triangle(x: Tensor, diagonal: int = 0) -> Tensor:
    return x * (_ahead(*x.shape[-2:]) >= diagonal).float()


def _taps(channels: int, kernel: list[int]) -> Tensor:
    """Filters of which each picks one place of a window of one channel: (channels * places, 1, *kernel)."""
    places = kernel[0] * kernel[1]
    same = (_ahead(places, places) == 0).float()  # torch.eye is traced to something that fails beyond 255
    return same.reshape(places, 1, *kernel).repeat(channels, 1, 1, 1)


def _windows_to_columns(
    x: Tensor, kernel_size: list[int], dilation: list[int], padding: list[int], stride: list[int]
) -> Tensor:
    """nn.Unfold as a convolution of each channel that copies; windows side by side are moved alone."""
    batch, channels = x.shape[:2]
    if stride == kernel_size and dilation == [1, 1] and padding == [0, 0]:
        (h, w), rows, columns = kernel_size, x.shape[2] // kernel_size[0], x.shape[3] // kernel_size[1]
        tiles = x[:, :, : rows * h, : columns * w].reshape(batch, channels, rows, h, columns, w)
        return tiles.permute(0, 1, 3, 5, 2, 4).reshape(batch, channels * h * w, rows * columns)
    taps = _taps(channels, kernel_size)
    found = F.conv2d(x, taps, None, stride, padding, dilation, channels)
    return found.reshape(batch, found.shape[1], -1)


def _columns_to_windows(
    x: Tensor,
    output_size: list[int],
    kernel_size: list[int],
    dilation: list[int],
    padding: list[int],
    stride: list[int],
) -> Tensor:
    """nn.Fold as a transposed convolution of each channel that copies and adds; windows side by side move."""
    places = kernel_size[0] * kernel_size[1]
    batch, channels = x.shape[0], x.shape[1] // places
    if stride == kernel_size and dilation == [1, 1] and padding == [0, 0]:
        (h, w), rows, across = kernel_size, output_size[0] // kernel_size[0], output_size[1] // kernel_size[1]
        tiles = x.reshape(batch, channels, h, w, rows, across).permute(0, 1, 4, 2, 5, 3)
        image = tiles.reshape(batch, channels, rows * h, across * w)
        below, beside = output_size[0] - rows * h, output_size[1] - across * w
        return F.pad(image, (0, beside, 0, below)) if below or beside else image
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel_size, strict=True)]
    outer = [size + 2 * pad for size, pad in zip(output_size, padding, strict=True)]
    grid = [(o - r) // s + 1 for o, r, s in zip(outer, reach, stride, strict=True)]
    columns = x.reshape(batch, -1, *grid)
    whole = F.conv_transpose2d(columns, _taps(channels, kernel_size), None, stride, 0, 0, channels, dilation)
    rest = [o - size for o, size in zip(outer, whole.shape[2:], strict=True)]
    whole = F.pad(whole, (0, rest[1], 0, rest[0]))
    top, left = padding
    return whole[:, :, top : top + output_size[0], left : left + output_size[1]]


def _computed_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = (1, 1),
    padding: Any = (0, 0),
    dilation: Any = (1, 1),
    groups: int = 1,
) -> Tensor:
    """A convolution without a batch axis; or with filters that are computed, as a product with windows."""
    if x.ndim == 3:
        return F.conv2d(x[None], weight, bias, stride, padding, dilation, groups)[0]
    if len(x) != 1 or isinstance(padding, str):
        raise ValueError("no formula")
    outputs, channels, *kernel = weight.shape
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    sizes = zip(x.shape[2:], padding, reach, stride, strict=True)
    height, width = ((size + 2 * pad - r) // s + 1 for size, pad, r, s in sizes)
    plain = kernel == [1, 1] and not any(padding) and all(s == 1 for s in stride)
    columns = x.flatten(2) if plain else F.unfold(x, (kernel[0], kernel[1]), dilation, padding, stride)
    columns = columns.reshape(groups, channels * kernel[0] * kernel[1], -1)
    found = torch.bmm(weight.reshape(groups, outputs // groups, -1), columns)
    found = found.reshape(1, outputs, height, width)
    return found if bias is None else found + bias.reshape(1, -1, 1, 1)


def _sliding(x: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Tensor.unfold: windows over one axis, their places last."""
    axis = dimension % x.ndim
    count = (x.shape[axis] - size) // step + 1
    if count > MAX_PARTS:
        raise ValueError("too many windows")
    windows = [x.narrow(axis, start * step, size).movedim(axis, -1) for start in range(count)]
    return torch.stack(windows, axis)


def _mean_of_slices(
    x: Tensor,
    kernel_size: list[int],
    stride: list[int] | None = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """avg_pool3d over the first of its axes by single steps: what local response normalisation is made of."""
    size, *image = kernel_size
    plain = not any([padding] if isinstance(padding, int) else padding) and divisor_override is None
    if any(k != 1 for k in image) or any(s != 1 for s in (stride or kernel_size)) or not plain:
        raise ValueError("no formula")
    axis = x.ndim - 3
    count = x.shape[axis] - size + 1
    slices = [x.narrow(axis, start, count) for start in range(size)]
    return functools.reduce(torch.add, slices) / size


def _distances(a: Tensor, b: Tensor, p: float = 2.0, compute_mode: int | None = None) -> Tensor:
    """torch.cdist of order 2 and 1."""
    apart = a.unsqueeze(-2) - b.unsqueeze(-3)
    if p not in (1.0, 2.0):
        raise ValueError("no formula")
    return apart.abs().sum(-1) if p == 1 else apart.square().sum(-1).sqrt()


def _clamp(x: Tensor, min: Tensor | None = None, max: Tensor | None = None) -> Tensor:
    """Limits that are tensors."""
    x = x if min is None else torch.maximum(x, min)
    return x if max is None else torch.minimum(x, max)


def _masked_write(
    x: Tensor, indices: list[Tensor | None], values: Tensor, accumulate: bool = False
) -> Tensor:
    """``x[mask] = number``."""
    (axis, mask), *others = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    if others or accumulate or mask.dtype is not torch.bool or values.numel() != 1:
        raise ValueError("no formula")
    after = x.ndim - axis - mask.ndim
    return torch.where(mask.reshape(*[1] * axis, *mask.shape, *[1] * after), values.reshape(()), x)


def _any(x: Tensor, dim: int | list[int] | None = None, keepdim: bool = False) -> Tensor:
    dims = list(range(x.ndim)) if dim is None else dim
    return x.to(torch.bool).float().amax(dims, keepdim)


def _all(x: Tensor, dim: int | list[int] | None = None, keepdim: bool = False) -> Tensor:
    dims = list(range(x.ndim)) if dim is None else dim
    return x.to(torch.bool).float().amin(dims, keepdim)


def _tensor_times_vector(a: Tensor, b: Tensor) -> Tensor:
    """torch.matmul where one side is a vector: one more axis, and away again."""
    if a.ndim == 1 and b.ndim == 1:
        return (a * b).sum(0)
    if a.ndim == 1:
        return torch.matmul(a.unsqueeze(0), b).squeeze(-2)
    if b.ndim == 1:
        return torch.matmul(a, b.unsqueeze(-1)).squeeze(-1)
    raise ValueError("no vector")


def _error_function(x: Tensor) -> Tensor:
    """Abramowitz and Stegun 7.1.26, whose error is below 1.5e-7."""
    size = x.abs()
    t = 1 / (size * 0.3275911 + 1)
    factors = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    polynomial = functools.reduce(lambda sum_, factor: sum_ * t + factor, factors, torch.zeros(()))
    return torch.sign(x) * (1 - polynomial * t * torch.exp(-size.square()))


def _with_mean(spread: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, Tensor]]:
    def formula(
        x: Tensor,
        dim: Any = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: float | None = None,
    ) -> tuple[Tensor, Tensor]:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        dims = dim or list(range(x.ndim))
        less = (1 if unbiased else 0) if correction is None else correction
        return spread(x, dims, correction=less, keepdim=keepdim), x.mean(dims, keepdim)

    return formula


def _bilinear(left: Tensor, right: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """nn.Bilinear: of each output the sum over i and j of left[i] * weight[i, j] * right[j]."""
    outputs, first, second = weight.shape
    rows = left.reshape(-1, first) @ weight.permute(1, 0, 2).reshape(first, -1)
    found = (rows.reshape(-1, outputs, second) * right.reshape(-1, 1, second)).sum(-1)
    found = found.reshape(*left.shape[:-1], outputs)
    return found if bias is None else found + bias


def _diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Every so many elements of a matrix written as a line."""
    matrix = x.movedim((dim1, dim2), (-2, -1))
    rows, columns = matrix.shape[-2:]
    start = offset if offset >= 0 else -offset * columns
    length = min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns)
    if length < 1:
        raise ValueError("no elements")
    return matrix.flatten(-2)[..., start : start + (length - 1) * (columns + 1) + 1 : columns + 1]


FORMULAS: dict[str, Callable[..., Any]] = {
    "aten::addbmm": lambda x, a, b, beta=1, alpha=1: beta * x + alpha * torch.bmm(a, b).sum(0),
    "aten::all": _all,
    "aten::any": _any,
    "aten::avg_pool3d": _mean_of_slices,
    "aten::bilinear": _bilinear,
    "aten::cdist": _distances,
    "aten::clamp": _clamp,
    "aten::col2im": _columns_to_windows,
    "aten::conv2d": _computed_convolution,
    "aten::cosh": lambda x: (x.exp() + (-x).exp()) / 2,
    "aten::cumprod": _running_product,
    "aten::diagonal": _diagonal,
    "aten::erf": _error_function,
    "aten::index_put": _masked_write,
    "aten::hypot": lambda a, b: (a.square() + b.square()).sqrt(),
    "aten::im2col": _windows_to_columns,
    "aten::matmul": _tensor_times_vector,
    "aten::prod": _product,
    "aten::sinh": lambda x: (x.exp() - (-x).exp()) / 2,
    "aten::std_mean": _with_mean(torch.std),
    "aten::unfold": _sliding,
    "aten::var_mean": _with_mean(torch.var),
    "aten::tril": _lower_triangle,
    "aten::triu": _upper_triangle,
}
"""By the operator's name; a ValueError says that this form has none."""
