"""Translate a program into an ML program, operator by operator.

No converter and no optimisation pass is involved, so nothing can decide a scale or round a weight again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Node, Program
from pocketpress.core.signature import Signature
from pocketpress.core.target import Lowered
from pocketpress.targets.coreml import elementwise, movement, products, recurrent, reductions
from pocketpress.targets.coreml.audit import audit
from pocketpress.targets.coreml.constants import opset_of
from pocketpress.targets.coreml.emission import INTEGER_LIMITS, Emission, Handler, border_dtype
from pocketpress.targets.coreml.graph import NEW_OPSET, OPSET, Value
from pocketpress.targets.coreml.package import SIGNATURE_KEY, write_package
from pocketpress.targets.coreml.protos import model_messages

__all__ = ["audit", "lower", "to_model"]

SPECIFICATION_VERSIONS = {OPSET: 8, NEW_OPSET: 9}
"""Core ML of iOS 17 and macOS 14; of iOS 18 and macOS 15."""

HANDLERS: dict[str, Handler] = {
    **products.HANDLERS,
    **elementwise.HANDLERS,
    **reductions.HANDLERS,
    **movement.HANDLERS,
}


def _recurrent(emission: Emission, node: Node) -> Value:
    return recurrent.emit(emission, node, _emit_nodes)


HANDLERS.update(dict.fromkeys(recurrent.RECURRENT, _recurrent))


def lower(program: Program, signature: Signature, path: Path) -> Lowered:
    """Write the package at ``path`` and compare what was written with the program.

    Equal programs give equal bytes.  The comparison is made here because most machines cannot execute the
    package: it is the proof they can give.

    Raises:
        CheckFailed: the file differs from the program, which is a bug.
        UnsupportedError: an operator, dtype or rank that Core ML lacks, with the user's line.
        DeviceError: the folder cannot be written.
    """
    model, weights = to_model(program, signature)
    write_package(path, model, weights)
    return Lowered(skipped=audit(path, program), notes=_notes(program))


def to_model(program: Program, signature: Signature) -> tuple[Any, list[bytes]]:
    """The model message and the content of its weight file."""
    emission = Emission(program)
    for name in program.inputs:
        emission.input(name)
    _emit_nodes(emission)
    outputs = [emission.output(name) for name in program.outputs]
    emission.name_all()
    model = model_messages().Model(specificationVersion=SPECIFICATION_VERSIONS[emission.graph.opset])
    model.mlProgram.CopyFrom(emission.graph.to_program(outputs))
    inputs = model.mlProgram.functions["main"].inputs
    for named, name in zip(inputs, program.inputs, strict=True):
        type_ = program.type(name)
        _feature(model.description.input.add(), named.name, type_.shape, border_dtype(type_.dtype, name))
    for value in outputs:
        _feature(model.description.output.add(), emission.graph.name_of(value), value.shape, value.dtype)
    metadata = model.description.metadata
    metadata.shortDescription = f"Pocketpress, {signature.precision}"
    metadata.userDefined[SIGNATURE_KEY] = signature.to_json()
    return model, emission.graph.weights.parts()


def _emit_nodes(emission: Emission) -> None:
    for node in emission.program.nodes:
        emission.store(node, _translated(emission, node))


def _translated(emission: Emission, node: Node) -> Value:
    handler = HANDLERS.get(node.op)
    where = f"{node.source}: " if node.source else ""
    if handler is None:
        raise UnsupportedError(f"{where}Core ML lacks the operator {node.op}", allowed=sorted(HANDLERS))
    try:
        return handler(emission, node)
    except UnsupportedError as error:
        if not where:
            raise
        raise UnsupportedError(
            f"{where}{error.what}", got=error.got, allowed=error.allowed, next_step=error.next_step
        ) from error


def _feature(message: Any, name: str, shape: tuple[int, ...], dtype: str) -> None:
    message.name = name
    array = message.type.multiArrayType
    array.shape.extend(shape)
    array.dataType = type(array).INT32 if dtype == "int32" else type(array).FLOAT32


def _notes(program: Program) -> tuple[str, ...]:
    notes = []
    if opset_of(program) == NEW_OPSET:
        notes.append("needs iOS 18 or macOS 15: weights of 4 bits, in blocks, or in codebooks of 8")
    if program.is_quantized:
        notes.append("read back: every integer, scale and zero point in the file equals the program's")
    borders = [n for n in (*program.inputs, *program.outputs) if program.type(n).dtype in INTEGER_LIMITS]
    if borders:
        names = ", ".join(borders)
        notes.append(f"Core ML has no 8-bit features: {names} travel as whole float32 numbers")
    return tuple(notes)
