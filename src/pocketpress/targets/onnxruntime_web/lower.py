"""Translate a program into the ONNX file that is fastest in ONNX Runtime Web.

An 8-bit network is written in integer operators where `cost` says that they win.  Elsewhere its weights stay
the integers that were decided, decoded once when the file is loaded, and the arithmetic is float32: as small
as the other, and as fast as the float network.
"""

from __future__ import annotations

from pathlib import Path

from pocketpress.core.program import Program
from pocketpress.core.program.reals import all_on_reals
from pocketpress.core.signature import Signature
from pocketpress.core.target import Lowered, Skipped
from pocketpress.targets.onnxruntime import lower as onnxruntime
from pocketpress.targets.onnxruntime.wide import is_wide
from pocketpress.targets.onnxruntime_web.cost import Cost, predicted

__all__ = ["audit", "lower", "lower_as"]


def lower(program: Program, signature: Signature, path: Path) -> Lowered:
    """Write ``path``; equal programs give equal bytes.

    Raises:
        UnsupportedError: an operator, dtype or size that the file cannot hold.
    """
    return lower_as(program, signature, path, integers=computes_in_integers(program))


def lower_as(program: Program, signature: Signature, path: Path, *, integers: bool) -> Lowered:
    """`lower` in a given arithmetic."""
    if integers or not program.is_quantized or is_wide(program):
        return onnxruntime.lower(program, signature, path)
    lowered = onnxruntime.lower(all_on_reals(program), signature, path)
    return Lowered((*lowered.skipped, _skipped(predicted(program))), lowered.notes, stored_only=True)


def audit(path: Path, program: Program) -> tuple[Skipped, ...]:
    """What of an int8 program is computed in float.

    A browser's runtime does not say what it executes; the same file in ONNX Runtime of this machine does.
    """
    if not computes_in_integers(program):
        return (_skipped(predicted(program)),)
    return onnxruntime.audit(path, program)


def computes_in_integers(program: Program) -> bool:
    """Whether a program's 8-bit activations stay integers in the file."""
    return not program.is_quantized or is_wide(program) or predicted(program).integers_win


def _skipped(cost: Cost) -> Skipped:
    share = cost.integer_s / cost.float_s if cost.float_s else 1.0
    return Skipped(
        "8-bit activations",
        f"integer kernels of ONNX Runtime Web would take {share:.1f} times the time of the float ones for "
        "this network: computed in float32 on the same 8-bit weights",
    )
