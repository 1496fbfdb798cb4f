"""Translate a program into a ``.tflite`` file that LiteRT.js takes: LiteRT's lowering behind other borders."""

from __future__ import annotations

from pathlib import Path

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Program
from pocketpress.core.signature import Signature
from pocketpress.core.target import Lowered, Skipped
from pocketpress.targets.litert import lower as litert
from pocketpress.targets.litert_web.borders import ALLOWED, web_signature, with_web_borders

__all__ = ["audit", "lower"]


def lower(program: Program, signature: Signature, path: Path) -> Lowered:
    """Write ``path``; its dtypes at the border are those that LiteRT.js has.

    Raises:
        UnsupportedError: the program has an operator, or a border, that this target lacks.
    """
    outside = with_web_borders(program)
    for name in (*outside.inputs, *outside.outputs):
        if outside.type(name).dtype not in ALLOWED:
            raise UnsupportedError(
                f"LiteRT.js cannot be given {name}", got=outside.type(name).dtype, allowed=ALLOWED
            )
    return litert.lower(outside, web_signature(outside, signature), path)


def audit(path: Path, program: Program) -> tuple[Skipped, ...]:
    """What of an int8 program is not an integer kernel of XNNPACK.

    LiteRT.js does not say what its delegate takes; the same file in LiteRT of this machine does.

    Raises:
        ArtifactError: LiteRT cannot load the file.
    """
    return litert.audit(path, with_web_borders(program))
