"""Rewrite an NCHW program so that its image operators read and write NHWC, as LiteRT and XNNPACK compute.

A tensor of the original program may exist in several *versions*: the declared one, its NHWC transpose, or
another order left by a permute of the user.  A version is made when somebody asks for it, and only once;
permutes therefore cancel, merge, and shrink to a `reshape` where they move only axes of size 1.  Operators
that do not care about the order (elementwise, concat, pad, ...) are computed in the version that moves the
fewest bytes, which puts the permute of an image behind its `quantize` and before its `dequantize`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from pocketpress.core.program.ir import Array, Node, Program, TensorType

Axes = tuple[int, ...]

NHWC: Axes = (0, 2, 3, 1)
"""``nhwc.shape[i] == nchw.shape[NHWC[i]]``."""

IMAGE_OPS = frozenset(
    {
        "conv2d",
        "dynamic_conv2d",
        "conv_transpose2d",
        "max_pool2d",
        "avg_pool2d",
        "resize_nearest",
        "resize_bilinear",
        "prelu",
    }
)
"""Operators whose input 0 and output are NHWC in a `ChannelsLastProgram` (`prelu` when of rank 4)."""

ELEMENTWISE_OPS = frozenset(
    {
        "quantize",
        "dequantize",
        "requantize",
        "add",
        "sub",
        "mul",
        "div",
        "minimum",
        "maximum",
        "pow",
        "power",
        "clamp",
        "sigmoid",
        "tanh",
        "hardswish",
        "hardsigmoid",
        "leaky_relu",
        "elu",
        "gelu",
        "exp",
        "log",
        "sqrt",
        "rsqrt",
        "abs",
        "neg",
        "step",
        "floor",
        "round",
        "sin",
        "cos",
    }
)
_AXIS_OPS = frozenset({"concat", "mean", "softmax", "pad", "slice", "argmax"})


@dataclass(frozen=True)
class ChannelsLastProgram:
    """A program whose `IMAGE_OPS` read and write NHWC; it must not be read as an ordinary `Program`.

    Weights keep their order (conv2d OIHW, conv_transpose2d IOHW), ``pads`` and ``size`` their meaning; axes
    of all other operators are those of their own tensors.  Inputs and outputs keep name, shape and order of
    the original program.

    Attributes:
        program: the rewritten nodes.
        image_tensors: for every tensor held in NHWC, the name it has in the original program.
    """

    program: Program
    image_tensors: Mapping[str, str]


def to_channels_last(program: Program) -> ChannelsLastProgram:
    """Rewrite ``program``; values of equally named tensors do not change."""
    return _Rewriter(program).run()


def is_image_node(node: Node, program: Program) -> bool:
    """Whether a node takes NHWC in a `ChannelsLastProgram`."""
    return node.op in IMAGE_OPS and (node.op != "prelu" or len(program.type(node.inputs[0]).shape) == 4)


class _Rewriter:
    """One run over one program: emitted nodes, and the versions of every original tensor.

    ``_versions[name][axes]`` is the emitted tensor that equals the declared one transposed by ``axes``.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._users = program.consumers()
        self._types: dict[str, TensorType] = {n: program.types[n] for n in program.inputs}
        self._constants: dict[str, Array] = {}
        self._nodes: list[Node] = []
        self._makers: dict[str, Node] = {}
        self._images: dict[str, str] = {}
        self._declared: dict[str, TensorType] = dict(program.types)
        self._versions: dict[str, dict[Axes, str]] = {n: {self._identity(n): n} for n in program.inputs}

    def run(self) -> ChannelsLastProgram:
        for node in self._program.nodes:
            self._rewrite(node)
        for name in self._program.outputs:
            self._expose(name)
        whole = Program(
            self._program.inputs,
            self._program.outputs,
            self._types,
            self._constants,
            tuple(self._nodes),
        ).prefix(self._program.outputs)
        images = {n: original for n, original in self._images.items() if n in whole.types}
        return ChannelsLastProgram(whole, MappingProxyType(images))

    # --- one node -------------------------------------------------------------------------------------

    def _rewrite(self, node: Node) -> None:
        out = node.outputs[0]
        rank = len(self._declared[out].shape)
        if node.op == "permute" and not self._program.is_constant(node.inputs[0]):
            self._view(node)
        elif is_image_node(node, self._program):
            inputs = [self._get(node.inputs[0], NHWC), *map(self._plain, node.inputs[1:])]
            self._emit(node, inputs, NHWC)
        elif node.op in ELEMENTWISE_OPS and rank == 4 and self._prefers_nhwc(node):
            self._emit(node, [self._broadcast(n) for n in node.inputs], NHWC)
        elif node.op in _AXIS_OPS and self._axis_rank(node) == 4 and self._prefers_nhwc(node):
            self._axis_node(node)
        else:
            inputs = [self._plain(n) for n in node.inputs]
            if node.op == "reshape":
                inputs = [self._before_reshapes(inputs[0])]
            self._emit(node, inputs, tuple(range(rank)))

    def _axis_rank(self, node: Node) -> int:
        if node.op in ("mean", "argmax") and not _keeps_order(node):
            return 0
        return len(self._declared[node.inputs[0]].shape)

    def _axis_node(self, node: Node) -> None:
        """Concat, mean, argmax, softmax, pad or slice over NHWC inputs, with its axes renumbered."""
        out = node.outputs[0]
        inputs = [self._get(n, NHWC) for n in node.inputs]
        flat = len(self._declared[out].shape) != 4
        axes = self._identity(out) if flat else NHWC
        self._emit(replace(node, attrs=_renumbered(node)), inputs, axes)

    def _view(self, node: Node) -> None:
        """A permute of the user: no node, only the versions of its input under their new order."""
        order: Axes = tuple(node.attrs["axes"])
        source = self._versions[node.inputs[0]]
        self._versions[node.outputs[0]] = {
            tuple(order.index(axis) for axis in axes): name for axes, name in source.items()
        }

    def _emit(self, node: Node, inputs: list[str], axes: Axes) -> None:
        """Append the node; its output is the version ``axes`` of the declared output."""
        original = node.outputs[0]
        declared = self._declared[original]
        name = _version_name(original, axes)
        self._types[name] = replace(declared, shape=tuple(declared.shape[a] for a in axes))
        self._append(replace(node, inputs=tuple(inputs), outputs=(name,)))
        self._versions[original] = {axes: name}
        if axes == NHWC:
            self._images[name] = original

    def _append(self, node: Node) -> None:
        self._nodes.append(node)
        self._makers[node.outputs[0]] = node

    # --- versions of a tensor -------------------------------------------------------------------------

    def _identity(self, name: str) -> Axes:
        return tuple(range(len(self._declared[name].shape)))

    def _plain(self, name: str) -> str:
        return self._get(name, self._identity(name))

    def _get(self, name: str, axes: Axes) -> str:
        """The version ``axes`` of ``name``, made now if it does not exist."""
        if self._program.is_constant(name):
            return self._constant(name, axes)
        versions = self._versions[name]
        if axes not in versions:
            versions[axes] = self._make(name, axes)
            if axes == NHWC:
                self._images[versions[axes]] = name
        return versions[axes]

    def _make(self, name: str, axes: Axes) -> str:
        ways = [
            (tuple(held.index(axis) for axis in axes), source)
            for held, source in self._versions[name].items()
        ]
        free = [(order, source) for order, source in ways if _moves_nothing(self._types[source].shape, order)]
        order, source = (free or ways)[0]
        return self._moved(source, order, _version_name(name, axes))

    def _moved(self, source: str, order: Axes, target: str) -> str:
        """Emit ``target = permute(source, order)``, as a reshape when no element changes its place."""
        held = self._types[source]
        shape = tuple(held.shape[a] for a in order)
        if _moves_nothing(held.shape, order):
            return self._reshaped(source, shape, target)
        self._types[target] = replace(held, shape=shape)
        self._append(Node("permute", target, (source,), (target,), {"axes": order}))
        return target

    def _reshaped(self, source: str, shape: tuple[int, ...], target: str) -> str:
        self._types[target] = replace(self._types[source], shape=shape)
        self._append(Node("reshape", target, (self._before_reshapes(source),), (target,), {"shape": shape}))
        return target

    def _before_reshapes(self, name: str) -> str:
        while name in self._makers and self._makers[name].op == "reshape":
            name = self._makers[name].inputs[0]
        return name

    def _constant(self, name: str, axes: Axes) -> str:
        target = _version_name(name, axes)
        if target in self._constants:
            return target
        declared = self._declared[name]
        value = np.asarray(self._program.constants[name])
        if axes != self._identity(name):
            value = np.ascontiguousarray(np.transpose(value, axes))
        quant = declared.quant
        if quant is not None and quant.axis is not None:
            quant = replace(quant, axis=axes.index(quant.axis))
        self._types[target] = replace(declared, shape=tuple(value.shape), quant=quant)
        self._constants[target] = value
        return target

    def _broadcast(self, name: str) -> str:
        """NHWC version of an operand that may have a lower rank; single numbers stay as they are."""
        declared = self._declared[name]
        if len(declared.shape) == 4:
            return self._get(name, NHWC)
        if declared.elements == 1:
            return self._plain(name)
        return self._get(self._lifted(name), NHWC)

    def _lifted(self, name: str) -> str:
        """``name`` with leading axes of size 1 up to rank 4, as if the program had declared it."""
        lifted = f"{name}:4d"
        if lifted in self._declared:
            return lifted
        declared = self._declared[name]
        missing = 4 - len(declared.shape)
        shape = (1,) * missing + declared.shape
        quant = declared.quant
        if quant is not None and quant.axis is not None:
            quant = replace(quant, axis=quant.axis + missing)
        self._declared[lifted] = TensorType(shape, declared.dtype, quant)
        if self._program.is_constant(name):
            value = np.asarray(self._program.constants[name]).reshape(shape)
            self._program = replace(self._program, constants={**self._program.constants, lifted: value})
        else:
            self._versions[lifted] = {(0, 1, 2, 3): self._reshaped(self._plain(name), shape, lifted)}
        return lifted

    def _expose(self, name: str) -> None:
        """Make sure that a program output exists under its own name in its declared order."""
        if self._program.is_constant(name) or name in self._program.inputs:
            self._plain(name)
            return
        held = self._plain(name)
        if held != name:
            self._reshaped(held, self._declared[name].shape, name)

    # --- which order costs less -----------------------------------------------------------------------

    def _prefers_nhwc(self, node: Node) -> bool:
        """Whether computing in NHWC moves fewer bytes; on a tie, whether an input is already NHWC."""
        nhwc, declared, held = 0, 0, False
        for name in node.inputs:
            if self._program.is_constant(name):
                continue
            type_ = self._declared[name]
            size = 0 if _flat(type_.shape) else _bytes(type_)
            versions = self._versions[name]
            has_nhwc = NHWC in versions
            held = held or has_nhwc
            nhwc += 0 if has_nhwc or len(type_.shape) != 4 else size
            declared += 0 if self._identity(name) in versions else size
        wants = self._wanted_orders(node.outputs[0])
        out_type = self._declared[node.outputs[0]]
        out = 0 if _flat(out_type.shape) or len(out_type.shape) != 4 else _bytes(out_type)
        nhwc += out if "declared" in wants and "any" not in wants else 0
        declared += out if wants == {"nhwc"} else 0
        return nhwc < declared or (nhwc == declared and held)

    def _wanted_orders(self, name: str) -> set[str]:
        wants = {"declared"} if name in self._program.outputs else set()
        for user in self._users.get(name, []):
            if is_image_node(user, self._program):
                wants.add("nhwc")
            elif user.op in ELEMENTWISE_OPS or user.op in _AXIS_OPS or user.op == "permute":
                wants.add("any")
            else:
                wants.add("declared")
        return wants


def _version_name(name: str, axes: Axes) -> str:
    if axes == tuple(range(len(axes))):
        return name
    return f"{name}:nhwc" if axes == NHWC else f"{name}:{''.join(map(str, axes))}"


def _moves_nothing(shape: tuple[int, ...], order: Axes) -> bool:
    """Whether the axes larger than 1 keep their order."""
    moved = [a for a in order if shape[a] != 1]
    return moved == sorted(moved)


def _flat(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and _moves_nothing(shape, NHWC)


def _bytes(type_: TensorType) -> int:
    return type_.elements * np.dtype(type_.dtype).itemsize


def _keeps_order(node: Node) -> bool:
    """Whether a reduction of an NHWC image gives the declared order (always when it keeps its axes)."""
    if node.attrs["keepdims"]:
        return True
    axes = node.attrs["axes"] if node.op == "mean" else (node.attrs["axis"],)
    gone = {int(a) % 4 for a in axes}
    left = [a for a in NHWC if a not in gone]
    return left == sorted(left)


def _renumbered(node: Node) -> dict[str, Any]:
    """Attributes of an operator over axes of NCHW tensors, for NHWC tensors."""
    attrs: dict[str, Any] = dict(node.attrs)
    for key in ("starts", "sizes", "steps", "before", "after"):
        if key in attrs:
            attrs[key] = tuple(attrs[key][a] for a in NHWC)
    if "axis" in attrs:
        attrs["axis"] = NHWC.index(int(attrs["axis"]) % 4)
    if "axes" in attrs:
        attrs["axes"] = tuple(sorted(NHWC.index(int(a) % 4) for a in attrs["axes"]))
    return attrs
