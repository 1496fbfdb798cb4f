"""Translate a program into a ``.tflite`` file; `audit` asks the runtime what became of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.files import write_atomically
from pocketpress.core.program import Node, Program
from pocketpress.core.program.channels_last import to_channels_last
from pocketpress.core.signature import Signature
from pocketpress.core.target import Lowered
from pocketpress.targets.litert import (
    activation,
    borders,
    elementwise,
    movement,
    products,
    recurrent,
    reductions,
    upsampling,
)
from pocketpress.targets.litert.audit import audit
from pocketpress.targets.litert.emission import Emission
from pocketpress.targets.litert.islands import with_float_islands

__all__ = ["audit", "lower", "to_bytes"]

EMITTERS: dict[str, Callable[[Emission, Node], None]] = {
    **activation.EMITTERS,
    **borders.EMITTERS,
    **elementwise.EMITTERS,
    **movement.EMITTERS,
    **products.EMITTERS,
    **reductions.EMITTERS,
    **upsampling.EMITTERS,
}


def _recurrent(e: Emission, node: Node) -> None:
    recurrent.emit(e, node, _emit_nodes)


EMITTERS.update(dict.fromkeys(recurrent.RECURRENT, _recurrent))


def lower(program: Program, signature: Signature, path: Path) -> Lowered:
    """Write ``path``; names, shapes and dtypes at the border are the program's.

    Raises:
        UnsupportedError: the program has an operator that this target lacks.
    """
    emission = _emitted(program)
    write_atomically(path, _packed(emission, program, signature), next_step="free space or choose --out")
    return Lowered(skipped=tuple(emission.skipped))


def to_bytes(program: Program, signature: Signature) -> bytes:
    """The file's content."""
    return _packed(_emitted(program), program, signature)


def _emitted(program: Program) -> Emission:
    rewritten, islands = with_float_islands(to_channels_last(program).program)
    emission = Emission(rewritten)
    emission.skipped += islands
    _emit_nodes(emission)
    return emission


def _emit_nodes(emission: Emission) -> None:
    for node in emission.program.nodes:
        emit = EMITTERS.get(node.op)
        if emit is None:
            raise UnsupportedError(
                "target litert lacks an operator", got=f"{node.op} ({node.name})", allowed=sorted(EMITTERS)
            )
        emit(emission, node)


def _packed(emission: Emission, program: Program, signature: Signature) -> bytes:
    inputs = [(name, emission.index(name)) for name in program.inputs]
    outputs = [(name, emission.index(name)) for name in program.outputs]
    return emission.graph.pack(inputs, outputs, signature.to_json(), emission.loading)
