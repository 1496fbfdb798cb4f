from __future__ import annotations

from pathlib import Path

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Program
from pocketpress.core.program.serialize import to_bytes
from pocketpress.core.signature import Signature
from pocketpress.core.target import Lowered


def lower(program: Program, signature: Signature, path: Path) -> Lowered:
    if any(node.op == "mul" for node in program.nodes):
        raise UnsupportedError("this target lacks mul")
    path.write_bytes(to_bytes(program))
    return Lowered()
