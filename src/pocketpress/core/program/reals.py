"""Float32 in place of integer activations, for runtimes that have no fast kernel for those.

Rounding every result to its grid between float kernels would cost time and buy error, so only what the caller
gets is rounded.  Weights stay the integers that were decided.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pocketpress.core.program.builder import ProgramBuilder
from pocketpress.core.program.decode import real_constant
from pocketpress.core.program.ir import Node, Program, TensorType
from pocketpress.core.program.recurrent import RECURRENT

_WITH_WEIGHTS = (
    "conv2d", "conv_transpose2d", "linear", "dynamic_conv2d", "dynamic_linear", "embedding", *RECURRENT,
)  # fmt: skip
_ACTIVATIONS = ("int8", "int16")


def on_reals(program: Program, names: Iterable[str]) -> Program:
    """The same program with float32 in place of the integers of ``names``; the rest stays as it is."""
    replaced = set(names)
    return replace(_OnReals(program, replaced).run(), states=program.states) if replaced else program


def all_on_reals(program: Program) -> Program:
    """The same program with float32 in place of all activations in 8 and 16 bits, and of biases.

    Inputs and outputs keep their dtypes.
    """
    return on_reals(
        program, [n for n, t in program.types.items() if t.quant is not None and _held(program, n, t)]
    )


def _held(program: Program, name: str, type_: TensorType) -> bool:
    if not program.is_constant(name):
        return type_.dtype in _ACTIVATIONS
    if type_.dtype in ("int32", "int64"):
        return True
    weight = any(node.op in _WITH_WEIGHTS and name in node.inputs[1:] for node in program.nodes)
    return type_.dtype in _ACTIVATIONS and not weight


class _OnReals:
    def __init__(self, program: Program, replaced: set[str]) -> None:
        self.program, self.replaced = program, replaced
        self.builder = ProgramBuilder(program.types)
        self.names: dict[str, str] = {}
        """Tensors of the program to the tensors that hold their real values."""

    def run(self) -> Program:
        program = self.program
        for name in program.inputs:
            self.builder.release(name)
            self.builder.input(name, program.type(name))
            if name in self.replaced:
                self.names[name] = self._add("dequantize", name, f"{name}_real", self._real(name))
        for name in program.constants:
            self._constant(name)
        for node in program.nodes:
            self._node(node)
        for name in program.outputs:
            if name in self.replaced and name not in program.inputs:
                self._add("quantize", self.names[name], name, program.type(name))
        return self.builder.build(program.outputs)

    def _constant(self, name: str) -> None:
        if name in self.replaced:
            self.names[name] = self.builder.constant(f"{name}_real", real_constant(self.program, name))
            return
        self.builder.release(name)
        self.builder.constant(name, self.program.constants[name], type_=self.program.type(name))

    def _node(self, node: Node) -> None:
        out = node.outputs[0]
        if node.op == "dequantize" and node.inputs[0] in self.replaced:
            self._dequantize(node.inputs[0], out)
        elif node.op in ("quantize", "requantize") and out in self.replaced:
            self.names[out] = self._real_source(node.inputs[0], out)
        elif out in self.replaced:
            self.names[out] = self._copy(node, self.builder.unique(f"{out}_real"), self._real(out))
        else:
            self._copy(node, out, self.program.type(out))

    def _dequantize(self, source: str, out: str) -> None:
        real = self.names[source]
        if out in self.program.outputs:
            grid = self._add("quantize", real, f"{out}_grid", self.program.type(source))
            self._add("dequantize", grid, out, self._real(out))
        else:
            self.names[out] = real

    def _real_source(self, name: str, out: str) -> str:
        """What is about to become integers, as reals: raw pixels are dequantised."""
        if name in self.replaced or self.program.type(name).quant is None:
            return self.names.get(name, name)
        return self._add("dequantize", name, f"{out}_real", self._real(out))

    def _copy(self, node: Node, out: str, type_: TensorType) -> str:
        self.builder.release(out)
        inputs = tuple(self.names.get(name, name) for name in node.inputs)
        return self.builder.node(node.op, inputs, type_, name=out, source=node.source, **node.attrs)

    def _add(self, op: str, source: str, out: str, type_: TensorType) -> str:
        self.builder.release(out)
        return self.builder.node(op, (source,), type_, name=out)

    def _real(self, name: str) -> TensorType:
        return replace(self.program.type(name), dtype="float32", quant=None)
