"""Translate a program into a ``.tflite`` file for LiteRT.js: LiteRT's lowering of what is fast there.

XNNPACK in WebAssembly has fast kernels for 8-bit and float networks.  Packed 4-bit weights run ten times
slower, so they lie in bytes, which compression on the way to the browser makes small again.  Nothing fast
takes 16-bit activations: they are computed in float32 on the same 8-bit weights.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Program
from pocketpress.core.program.reals import all_on_reals
from pocketpress.core.signature import Signature
from pocketpress.core.target import Lowered, Skipped
from pocketpress.targets.litert import lower as litert
from pocketpress.targets.litert_web.borders import ALLOWED, web_signature, with_web_borders

__all__ = ["audit", "lower"]

NIBBLES = (
    "4-bit weights lie in bytes: packed ones have no fast kernel in LiteRT.js; "
    "compressed on its way to a browser the file is as small"
)
_WIDE = Skipped("16-bit activations", "LiteRT.js has no fast kernels for them: computed in float32")


def lower(program: Program, signature: Signature, path: Path) -> Lowered:
    """Write ``path``; its dtypes at the border are those that LiteRT.js has.

    Raises:
        UnsupportedError: the program has an operator, or a border, that this target lacks.
    """
    form = web_form(program)
    for name in (*form.inputs, *form.outputs):
        if form.type(name).dtype not in ALLOWED:
            raise UnsupportedError(
                f"LiteRT.js cannot be given {name}", got=form.type(name).dtype, allowed=ALLOWED
            )
    lowered = litert.lower(form, web_signature(form, signature), path)
    wide = (_WIDE,) if _has(program, "int16") else ()
    notes = (NIBBLES,) if _packed(program) else ()
    return Lowered((*lowered.skipped, *wide), (*lowered.notes, *notes), lowered.stored_only)


def audit(path: Path, program: Program) -> tuple[Skipped, ...]:
    """What of an int8 program is not an integer kernel of XNNPACK.

    LiteRT.js does not say what its delegate takes; the same file in LiteRT of this machine does.

    Raises:
        ArtifactError: LiteRT cannot load the file.
    """
    return litert.audit(path, web_form(program))


def web_form(program: Program) -> Program:
    """The program that the file holds."""
    program = _in_bytes(program)
    if _has(program, "int16"):
        program = all_on_reals(program)
    return with_web_borders(program)


def _has(program: Program, dtype: str) -> bool:
    return any(type_.dtype == dtype for type_ in program.types.values())


def _packed(program: Program) -> list[str]:
    """Constants of 4 bits with a scale per channel; blocks are decoded by the runtime anyway."""
    return [
        n
        for n, t in program.types.items()
        if t.dtype == "int4" and (t.quant is None or t.quant.block is None)
    ]


def _in_bytes(program: Program) -> Program:
    packed = _packed(program)
    if not packed:
        return program
    types = {**program.types, **{n: replace(program.type(n), dtype="int8") for n in packed}}
    return replace(program, types=types)
