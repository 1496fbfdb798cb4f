"""Layer normalisation that a file has in pieces becomes one operator again.

``(x - mean) / sqrt(mean((x - mean)^2) + eps)``, times a constant and plus a constant where they follow
(Ba et al. 2016, eq. 4).  Converters write it in three ways: as a quotient, as a product with the root's
reciprocal, and, as TensorFlow's batch normalisation does, as ``x * r + (bias - mean * r)`` with
``r = weight / sqrt(variance + eps)``.  In pieces its variance would be rounded to 8 bits, which ranges over
squares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from pocketpress.core.program import Node, Program
from pocketpress.core.program.ir import Array
from pocketpress.graph.rewrite import Rewrite, sole_consumer


@dataclass(frozen=True)
class _Found:
    """A normalisation of ``x`` whose result is that of ``last``; no constant is 1 or 0."""

    x: str
    axes: tuple[int, ...]
    eps: float
    last: Node
    weight: Array | None = None
    bias: Array | None = None


def recognize_layer_norm(program: Program) -> Program:
    """Replace every normalisation over the last axes."""
    rewrite, pieces = Rewrite(program), _Pieces(program)
    changes: dict[str, tuple[Node, ...]] = {}
    for node in program.nodes:
        found = pieces.ending_in(node)
        if found is not None and node.name not in changes:
            changes[found.last.name] = _nodes(program, rewrite, found)
    rewrite.replace_nodes(changes)
    return rewrite.build() if changes else program


def _nodes(program: Program, rewrite: Rewrite, found: _Found) -> tuple[Node, ...]:
    """The operator, and behind it the clamp that the last piece had."""
    last, shape = found.last, tuple(program.type(found.x).shape[a] for a in found.axes)
    weight = np.ones(shape, np.float32) if found.weight is None else found.weight
    bias = np.zeros(shape, np.float32) if found.bias is None else found.bias
    inputs = (
        found.x,
        rewrite.constant(f"{last.name}_weight", weight),
        rewrite.constant(f"{last.name}_bias", bias),
    )
    attrs = {"axes": found.axes, "eps": found.eps}
    clamp = last.attrs.get("clamp")
    if clamp is None:
        return (Node("layer_norm", last.name, inputs, last.outputs, attrs, last.source),)
    name = rewrite.unique(f"{last.name}_normalized")
    rewrite.types[name] = program.type(last.outputs[0])
    bounds = {"low": clamp[0], "high": clamp[1]}
    return (
        Node("layer_norm", name, inputs, (name,), attrs, last.source),
        Node("clamp", last.name, (name,), last.outputs, bounds, last.source),
    )


class _Pieces:
    """What a program has of normalisations."""

    def __init__(self, program: Program) -> None:
        self._program, self._producers = program, program.producers()

    def ending_in(self, node: Node) -> _Found | None:
        """The normalisation whose result, but for constants behind it, a node makes."""
        if node.op in ("mul", "div"):
            found = self._of_centred(node)
            return None if found is None else self._with_constants(found)
        return self._of_products(node) if node.op in ("add", "sub") else None

    def _of_centred(self, node: Node) -> _Found | None:
        """``(x - mean) * r`` and ``(x - mean) / sqrt(variance + eps)``."""
        if not _plain(node):
            return None
        for centred, other in self._orders(node):
            root = self._root_below(other) if node.op == "div" else self._root(other)
            if centred is not None and root is not None:
                found = self._found(root, node)
                if found is not None and self._is_centred(centred, found.x, found.axes):
                    return found
        return None

    def _of_products(self, node: Node) -> _Found | None:
        """``x * r + (bias - mean * r)``, ``x * r - mean * r`` and ``x * r + -mean * r``."""
        for product, moved in self._orders(node):
            found = None if product is None else self._of_product(product, moved, node)
            if found is not None:
                return found
        return None

    def _of_product(self, product: Node, moved: str, node: Node) -> _Found | None:
        if product.op != "mul" or not _plain(product):
            return None
        bias, moved, sign = self._bias(moved, 1 if node.op == "add" else -1)
        for x, factor in (product.inputs, product.inputs[::-1]):
            root, weight = self._weighted_root(factor)
            found = None if root is None else self._found(root, node)
            if found is None or found.x != x or not self._is_mean_times(moved, factor, found, sign):
                continue
            shape = tuple(self._program.type(x).shape[a] for a in found.axes)
            full = [None if v is None else _spread(v, shape) for v in (weight, bias)]
            if self._program.type(node.outputs[0]).shape != self._program.type(x).shape:
                return None
            if (weight is None) == (full[0] is None) and (bias is None) == (full[1] is None):
                return replace(found, weight=full[0], bias=full[1])
        return None

    def _orders(self, node: Node) -> Iterator[tuple[Node | None, str]]:
        """Who makes one operand, and the other; both ways round where the order makes no difference."""
        first, second = node.inputs
        yield self._producers.get(first), second
        if node.op in ("add", "mul"):
            yield self._producers.get(second), first

    def _found(self, root: Node, last: Node) -> _Found | None:
        """What the root of ``variance + eps`` normalises."""
        safe = self._producers.get(root.inputs[0])
        if safe is None or safe.op != "add" or not _plain(safe):
            return None
        eps = self._program.constants.get(safe.inputs[1])
        variance = self._producers.get(safe.inputs[0])
        if eps is None or eps.size != 1 or variance is None or variance.op != "mean":
            return None
        square, axes = self._producers.get(variance.inputs[0]), self._axes(variance)
        if square is None or square.op != "mul" or not _plain(square) or axes is None:
            return None
        differences = [self._producers.get(name) for name in square.inputs]
        x = differences[0].inputs[0] if differences[0] is not None else ""
        if all(d is not None and self._is_centred(d, x, axes) for d in differences):
            return _Found(x, axes, float(eps.reshape(-1)[0]), last)
        return None

    def _root(self, name: str) -> Node | None:
        """The root that a tensor is the reciprocal of."""
        node = self._producers.get(name)
        if node is None or node.op == "rsqrt":
            return node
        one = self._program.constants.get(node.inputs[0])
        if node.op != "div" or one is None or not bool((one == 1).all()):
            return None
        return self._root_below(node.inputs[1])

    def _root_below(self, name: str) -> Node | None:
        node = self._producers.get(name)
        return node if node is not None and node.op == "sqrt" else None

    def _weighted_root(self, name: str) -> tuple[Node | None, Array | None]:
        """The root that a tensor is the reciprocal of, times a constant where there is one."""
        node = self._producers.get(name)
        if node is not None and node.op == "mul" and _plain(node):
            weight = self._program.constants.get(node.inputs[1])
            if weight is not None:
                return self._root(node.inputs[0]), weight
        return self._root(name), None

    def _bias(self, name: str, sign: int) -> tuple[Array | None, str, int]:
        """The constant that a tensor is taken off, the tensor, and its sign then."""
        node = self._producers.get(name)
        if sign > 0 and node is not None and node.op == "sub" and _plain(node):
            bias = self._program.constants.get(node.inputs[0])
            if bias is not None:
                return bias, node.inputs[1], -1
        return None, name, sign

    def _is_mean_times(self, name: str, factor: str, found: _Found, sign: int) -> bool:
        """Whether a tensor is the mean times ``factor``, with a minus sign where it is added."""
        node = self._producers.get(name)
        if node is None or node.op != "mul" or not _plain(node) or factor not in node.inputs:
            return False
        mean = self._producers.get(node.inputs[1 - node.inputs.index(factor)])
        if mean is not None and mean.op == "neg":
            mean, sign = self._producers.get(mean.inputs[0]), -sign
        return sign < 0 and mean is not None and self._is_mean(mean, found.x, found.axes)

    def _is_centred(self, node: Node, x: str, axes: tuple[int, ...]) -> bool:
        if node.op != "sub" or not _plain(node) or node.inputs[0] != x:
            return False
        mean = self._producers.get(node.inputs[1])
        return mean is not None and self._is_mean(mean, x, axes)

    def _is_mean(self, node: Node, x: str, axes: tuple[int, ...]) -> bool:
        return node.op == "mean" and node.inputs[0] == x and self._axes(node) == axes

    def _axes(self, mean: Node) -> tuple[int, ...] | None:
        """The last axes of the input, kept; None for other means."""
        rank = len(self._program.type(mean.inputs[0]).shape)
        axes = tuple(sorted(int(a) % rank for a in mean.attrs["axes"]))
        last = tuple(range(rank - len(axes), rank))
        return axes if mean.attrs["keepdims"] and axes == last else None

    def _with_constants(self, found: _Found) -> _Found:
        shape = tuple(self._program.type(found.x).shape[a] for a in found.axes)
        weight, last = self._constant(found.last, "mul", shape)
        bias, last = self._constant(last, "add", shape) if _plain(last) else (None, last)
        return replace(found, weight=weight, bias=bias, last=last)

    def _constant(self, node: Node, op: str, shape: tuple[int, ...]) -> tuple[Array | None, Node]:
        """The constant that the one reader multiplies by or adds, and that reader; else None and the node."""
        reader = sole_consumer(self._program, node.outputs[0])
        if reader is None or reader.op != op:
            return None, node
        value = self._program.constants.get(reader.inputs[1])
        same = self._program.type(reader.outputs[0]).shape == self._program.type(node.outputs[0]).shape
        full = _spread(value, shape) if value is not None and same else None
        return (None, node) if full is None else (full, reader)


def _plain(node: Node) -> bool:
    """Whether nothing is cut off the result."""
    return node.attrs.get("clamp") is None


def _spread(value: Array, shape: tuple[int, ...]) -> Array | None:
    """A constant as one of the normalised axes' shape; None when it differs along other axes."""
    own = value.shape[: max(value.ndim - len(shape), 0)]
    if any(size != 1 for size in own):
        return None
    return np.array(np.broadcast_to(value.reshape(value.shape[len(own) :]), shape), np.float32)
