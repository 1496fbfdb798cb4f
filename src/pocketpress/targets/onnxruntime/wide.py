"""Activations that no kernel is wanted or found for: reals take their place.

With 16-bit activations no kernel of ONNX Runtime's CPU provider computes.  Rounding every result to its
16-bit grid between float kernels costs time (a ResNet-20 takes twice as long as in float) and buys error;
besides, ONNX Runtime quantises float weights between a DequantizeLinear and a QuantizeLinear anew, with one
scale per tensor.  So only what the caller gets is rounded to its grid.  The same is done with 8-bit
activations where a runtime computes in integers more slowly than in float (``targets/onnxruntime_web``).
"""

from __future__ import annotations

from dataclasses import replace

from pocketpress.core.program import Node, Program, ProgramBuilder, TensorType
from pocketpress.core.program.decode import real_constant
from pocketpress.core.program.recurrent import RECURRENT

WIDE = "int16"
_WITH_WEIGHTS = (
    "conv2d", "conv_transpose2d", "linear", "dynamic_conv2d", "dynamic_linear", "embedding", *RECURRENT,
)  # fmt: skip


def is_wide(program: Program) -> bool:
    """Whether any tensor has 16 bits."""
    return any(type_.dtype == WIDE for type_ in program.types.values())


def on_reals(program: Program) -> Program:
    """The same program with float32 in place of 16-bit activations; weights stay stored as they are."""
    if not is_wide(program):
        return program
    return _OnReals(program, {n for n, t in program.types.items() if t.dtype == WIDE}).run()


def all_on_reals(program: Program) -> Program:
    """The same program with float32 in place of all activations in 8 and 16 bits.

    Weights and biases stay stored as they are; inputs and outputs keep their dtypes.
    """
    weights = {name for node in program.nodes if node.op in _WITH_WEIGHTS for name in node.inputs[1:]}
    held = {
        name
        for name, type_ in program.types.items()
        if type_.dtype in ("int8", WIDE)
        and type_.quant is not None
        and not (name in weights and program.is_constant(name))
    }
    return _OnReals(program, held).run() if held else program


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
