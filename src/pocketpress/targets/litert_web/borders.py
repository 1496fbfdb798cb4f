"""Inputs and outputs as LiteRT.js takes them: float32, int32 and uint8, and nothing else.

Integers in int8 become uint8 with the zero point moved by 128, which is the same real values; 16-bit ones
become float32 and are rounded inside; int64, which holds rows of tables here, becomes int32.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pocketpress.core.program import Node, Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.signature import Signature, TensorSpec, signature_of

ALLOWED = ("float32", "int32", "uint8")
_SHIFT = 128


def with_web_borders(program: Program) -> Program:
    """The same program with inputs and outputs of `ALLOWED` dtypes."""
    program = _without_int64(program)
    names = (*program.inputs, *program.outputs)
    if all(program.type(name).dtype in ALLOWED for name in names):
        return program
    return _Rewrite(program).run()


def web_signature(program: Program, given: Signature) -> Signature:
    """``given`` with the dtypes and scales that the rewritten program has at its borders."""
    own = signature_of(program, precision=given.precision, preprocessing=given.preprocessing)

    def stored(spec: TensorSpec, as_found: TensorSpec) -> TensorSpec:
        return replace(spec, dtype=as_found.dtype, scale=as_found.scale, zero_point=as_found.zero_point)

    return replace(
        given,
        inputs=tuple(stored(s, f) for s, f in zip(given.inputs, own.inputs, strict=True)),
        outputs=tuple(_on_grid(stored(s, f), s) for s, f in zip(given.outputs, own.outputs, strict=True)),
    )


def _on_grid(stored: TensorSpec, given: TensorSpec) -> TensorSpec:
    """Floats that were integers at the border lie on their grid still."""
    if given.scale is None or stored.scale is not None:
        return stored
    return replace(stored, grid_scale=given.scale, grid_zero_point=given.zero_point)


def _without_int64(program: Program) -> Program:
    """Rows of tables in 32 bits: no table that fits a phone has more."""
    if not any(type_.dtype == "int64" for type_ in program.types.values()):
        return program
    types = {
        name: replace(type_, dtype="int32") if type_.dtype == "int64" else type_
        for name, type_ in program.types.items()
    }
    constants = {
        name: value.astype(np.int32) if value.dtype == np.int64 else value
        for name, value in program.constants.items()
    }
    return replace(program, types=types, constants=constants)


class _Rewrite:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.builder = ProgramBuilder(program.types)
        self.inside: dict[str, str] = {}
        """Tensors at the border to the tensors that hold them inside."""

    def run(self) -> Program:
        program = self.program
        for name in program.inputs:
            self._enter(name)
        for name, value in program.constants.items():
            self.builder.release(name)
            self.builder.constant(name, value, type_=program.type(name))
        for node in program.nodes:
            self._copy(node)
        for name in program.outputs:
            if name in self.inside and name not in program.inputs:
                self._leave(name)
        return replace(self.builder.build(program.outputs), states=program.states)

    def _enter(self, name: str) -> None:
        type_ = self.program.type(name)
        outer = _outer(type_)
        self.builder.release(name)
        self.builder.input(name, outer)
        if outer != type_:
            self.inside[name] = self._convert(name, f"{name}_inside", outer, type_)

    def _copy(self, node: Node) -> None:
        out = node.outputs[0]
        type_ = self.program.type(out)
        name = out
        if out in self.program.outputs and _outer(type_) != type_:
            name = self.inside[out] = self.builder.unique(f"{out}_inside")
        self.builder.release(name)
        inputs = tuple(self.inside.get(source, source) for source in node.inputs)
        self.builder.node(node.op, inputs, type_, name=name, source=node.source, **node.attrs)

    def _leave(self, name: str) -> None:
        type_ = self.program.type(name)
        self.builder.release(name)
        self._convert(self.inside[name], name, type_, _outer(type_))

    def _convert(self, source: str, name: str, before: TensorType, after: TensorType) -> str:
        real = after.quant is None
        op = "quantize" if before.quant is None else "dequantize" if real else "requantize"
        return self.builder.node(op, (source,), after, name=name)


def _outer(type_: TensorType) -> TensorType:
    """The type at the border for a type inside."""
    if type_.dtype == "int8" and type_.quant is not None:
        quant = type_.quant
        return replace(type_, dtype="uint8", quant=_shifted(quant))
    if type_.dtype == "int16" and type_.quant is not None:
        return TensorType(type_.shape)
    return type_


def _shifted(quant: Quantization) -> Quantization:
    return replace(quant, zero_point=quant.zero_point + _SHIFT)
