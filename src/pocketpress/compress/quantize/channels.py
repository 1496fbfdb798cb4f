"""Which activations can be rescaled channel by channel without changing what the network computes.

Multiplying channel c of an activation by ``1 / s[c]`` is undone by multiplying the weights that read it by
``s[c]``; the weights that write it absorb ``1 / s[c]``.  Between writer and reader there may be anything
positively homogeneous, ``f(x / s) = f(x) / s``: ReLU, pooling, resizing, zero padding, additions.  Tensors
joined by such operators must share one vector ``s``; they form a group.  Everything else freezes its group.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pocketpress.compress.quantize.groups import Groups
from pocketpress.core.program import Node, Program

PRODUCTS = ("conv2d", "conv_transpose2d", "linear")
_ANY_AXIS = {"add", "sub", "clamp", "leaky_relu"}
"""Joining operators that do not care where the channels are."""
_FOLLOW = {"max_pool2d", "avg_pool2d", "resize_nearest", "resize_bilinear", "leaky_relu", "prelu", "clamp"}


@dataclass(frozen=True)
class ChannelGroup:
    """Activations that share one scale per channel.

    Attributes:
        tensors: all of them, in execution order.
        writers: names of the products whose output channels they are.
        readers: names of the products whose input channels they are.
        ceiling: upper limit of the clamps inside (6 for ReLU6), None without one.
        channels: how many.
        axis: of the channels in every tensor.
    """

    tensors: tuple[str, ...]
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    ceiling: float | None
    channels: int
    axis: int


def channel_groups(program: Program) -> tuple[ChannelGroup, ...]:
    """All groups that can be rescaled, in execution order of their first tensor."""
    return _Finder(program).find()


def channel_axis(op: str, rank: int) -> int:
    """Axis along which a product reads and writes channels."""
    return rank - 1 if op == "linear" else 1


def channel_axes(program: Program) -> dict[str, int]:
    """Axis of every activation's channels, as the products around it have it: the last, for linear layers.

    Without any it is axis 1 of an image, else the last.
    """
    return _Finder(program).visited().axes()


class _Finder:
    def __init__(self, program: Program) -> None:
        self.program = program
        names = [*program.inputs, *(out for node in program.nodes for out in node.outputs)]
        self.groups = Groups(names)
        self.frozen = set(program.inputs) | set(program.outputs)
        self.ceilings: dict[str, set[float | None]] = {}
        self.along: dict[str, set[int]] = {}

    def visited(self) -> _Finder:
        """Itself, after all nodes."""
        for node in self.program.nodes:
            self._visit(node)
        return self

    def axes(self) -> dict[str, int]:
        """One axis per activation; scalars have none."""
        found = {}
        for tensors in self.groups.members().values():
            along = self._along(tensors)
            for name in tensors:
                rank = len(self.program.type(name).shape)
                if rank:
                    found[name] = next(iter(along)) if len(along) == 1 else 1 if rank == 4 else rank - 1
        return found

    def _along(self, tensors: Iterable[str]) -> set[int]:
        return {axis for name in tensors for axis in self.along.get(name, ())}

    def find(self) -> tuple[ChannelGroup, ...]:
        self.visited()
        members = self.groups.members()
        frozen = {self.groups.find(name) for name in self.frozen}
        writers, readers = self._ends()
        found = []
        for root, tensors in members.items():
            ceilings = {c for t in tensors for c in self.ceilings.get(t, ())}
            along = self._along(tensors)
            usable = root not in frozen and writers.get(root) and readers.get(root) and len(ceilings) < 2
            if usable and len(along) == 1:
                axis = along.pop()
                found.append(
                    ChannelGroup(
                        tuple(tensors),
                        tuple(writers[root]),
                        tuple(readers[root]),
                        next(iter(ceilings), None),
                        self.program.type(tensors[0]).shape[axis],
                        axis,
                    )
                )
        return tuple(found)

    def _ends(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        writers: dict[str, list[str]] = {}
        readers: dict[str, list[str]] = {}
        for node in self.program.nodes:
            if node.op in PRODUCTS:
                writers.setdefault(self.groups.find(node.outputs[0]), []).append(node.name)
                readers.setdefault(self.groups.find(node.inputs[0]), []).append(node.name)
        return writers, readers

    def _visit(self, node: Node) -> None:
        activations = [n for n in node.inputs if n not in self.program.constants]
        out = node.outputs[0]
        if node.op in PRODUCTS:
            for name in (node.inputs[0], out):
                self._runs_along(name, channel_axis(node.op, len(self.program.type(name).shape)))
        if node.op in PRODUCTS and self._plain_product(node):
            self._clamp(node, node.attrs["clamp"])
        elif self._joins(node, activations):
            for name in activations:
                self.groups.union(name, out)
                if node.op not in _ANY_AXIS:
                    self._runs_along(name, 1)
            clamp = node.attrs.get("clamp")
            if node.op == "clamp":
                clamp = (node.attrs["low"], node.attrs["high"])
            self._clamp(node, clamp)
        else:
            self.frozen |= {*activations, out}

    def _runs_along(self, name: str, axis: int) -> None:
        self.along.setdefault(name, set()).add(axis)

    def _plain_product(self, node: Node) -> bool:
        types = [self.program.type(n) for n in node.inputs[1:] if n in self.program.constants]
        constants = [t.dtype for t in types] == ["float32"] * (len(node.inputs) - 1)
        transposed_groups = node.op == "conv_transpose2d" and node.attrs["groups"] != 1
        shared = any(len(self.program.consumers().get(n, ())) > 1 for n in node.inputs[1:])
        return constants and not transposed_groups and not shared

    def _joins(self, node: Node, activations: list[str]) -> bool:
        out = self.program.type(node.outputs[0]).shape
        shapes = [self.program.type(n).shape for n in activations]
        if node.op in ("add", "sub"):
            return len(activations) == 2 and shapes[0] == shapes[1]
        if node.op == "mean":
            return len(shapes[0]) == 4 and set(node.attrs["axes"]) <= {2, 3} and out[1] == shapes[0][1]
        if node.op == "reshape":
            source = shapes[0]
            return len(source) == 4 and source[2:] == (1, 1) and len(out) == 2 and out == source[:2]
        if node.op == "pad":
            spatial = not any(node.attrs["before"][:2]) and not any(node.attrs["after"][:2])
            return len(out) == 4 and spatial and node.attrs["value"] == 0
        return node.op in _FOLLOW and len(out) == 4

    def _clamp(self, node: Node, clamp: tuple[float | None, float | None] | None) -> None:
        low, high = clamp or (None, None)
        out = node.outputs[0]
        if low not in (None, 0.0) or (high is not None and (low is None or high <= 0)):
            self.frozen.add(out)
        elif high is not None:
            self.ceilings.setdefault(out, set()).add(float(high))


def frozen_tensors(program: Program, groups: Iterable[ChannelGroup]) -> list[str]:
    """Activations in no group: for reports."""
    grouped = {name for group in groups for name in group.tensors}
    return [out for node in program.nodes for out in node.outputs if out not in grouped]
